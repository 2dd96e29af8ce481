"""The engine that runs a model in a child process, as the rest of hychat sees it.

A child that dies costs one answer, never the program: what was written stands, the error says how it ended, and the next
request starts a new child and loads the model again.
"""

import json
import signal
import threading
from binascii import b2a_base64
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import (
    EngineError,
    HychatError,
    Interrupted,
    ModelDamaged,
    UsageError,
)
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine import wire
from hychat.engine.adapters import Adapter, check_adapters
from hychat.engine.audit import AuditVerdict, audit
from hychat.engine.child import Child, Inbox
from hychat.engine.experts import ExpertUse
from hychat.engine.failures import error_of
from hychat.engine.footprint import KV_TYPES
from hychat.engine.gguf import all_parts, read_header
from hychat.engine.greeting import offload_devices, worker_devices
from hychat.engine.memory import machine_memory
from hychat.engine.plan import NO_WISHES, Device, LoadPlan, Wishes, plan
from hychat.engine.projector import check_projector
from hychat.engine.prompt.choose import builder_for
from hychat.engine.prompt.segments import ChatTurn, Prompt, PromptBuilder
from hychat.engine.protocol import BenchResult, Done, EngineEvent, LoadedModel, Piece, result_of
from hychat.engine.workers import Endpoint, lost, not_answering, silent
from hychat.messages import _, listed

_FALLBACK: Final = GenerationSettings(temperature=0.7, top_k=20, top_p=0.8, min_p=0.0, repeat_penalty=1.05)
"""What nothing else says: the Hunyuan instruct models' own recommendation."""
_SLOTS: Final = 4
_CRASHES: Final = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
_LOOK_SECONDS: Final = 0.1
"""How often a request that waits for another one's load looks whether it was cancelled."""

_Wanted = TypeVar("_Wanted", bound=wire.Reply)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What to load, and how."""

    path: str
    name: str
    """What the user calls the model."""
    projector: str | None = None
    """The file that lets it see."""
    context_tokens: int | None = None
    """What suits the model, less where it does not fit; None: as the header, the machine and good sense allow."""
    wishes: Wishes = NO_WISHES
    """What the user decided of the plan."""
    adapters: tuple[Adapter, ...] = ()
    """LoRA adapters to put over it."""
    workers: tuple[Endpoint, ...] = ()
    """Other machines to put layers on."""
    threads: int | None = None
    """None: as many as are fast, found out while it runs."""
    slots: int = _SLOTS
    log_file: str | None = None
    defaults: GenerationSettings = field(default_factory=GenerationSettings)
    """The catalogue's sampling defaults."""


class EngineProcess:
    """Runs one model in a child process. Thread-safe; up to `slots` streams run at once, others wait their turn."""

    def __init__(self, options: EngineOptions, child: Child | None = None) -> None:
        """A child that is already starting may be given; it is closed with the engine."""
        self._options = options
        self._child = child
        self._loaded: LoadedModel | None = None
        self._lock = threading.Lock()
        self._lost_workers: tuple[Endpoint, ...] = ()
        """Those that went away; they are left out from then on."""
        self._adapters = options.adapters
        self._watches_experts = False
        self._last_request = 0
        """The request answered last, in the child that lives."""

    def open(self, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:
        """Load the model and return it; progress comes on the way, none when it already is loaded.

        Raises:
            ModelUnusable: The file cannot be loaded; the error says why.
            EngineError: The engine's process cannot be started, or died.
            Interrupted: `cancel` was set meanwhile.
        """
        _child, model = yield from self._ready(cancel)
        return model

    def _ready(self, cancel: CancelToken) -> Generator[LoadProgress, None, tuple[Child, LoadedModel]]:
        """A child that has the model; a child loads once, so one whose load did not end well is replaced."""
        with self._turn(cancel):
            if self._child is None or not self._child.is_alive:
                self._drop_child()
                self._child = Child.start()
            if self._loaded is None:
                self._loaded = yield from self._load(self._child, cancel)
            return self._child, self._loaded

    @contextmanager
    def _turn(self, cancel: CancelToken) -> Iterator[None]:
        """Let one thread load, while the others wait."""
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            if cancel.is_set:
                raise Interrupted(_("Stopped."))
        try:
            yield
        finally:
            self._lock.release()

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child, self._loaded = None, None

    def _load(self, child: Child, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:
        options = self._options
        header = read_header(options.path)
        verdict = audit(header)
        family = verdict.family
        builder = builder_for(
            architecture=family.architecture,
            tokenizer_pre=family.tokenizer_pre,
            template=family.template,
            bos=family.bos,
            eos=family.eos,
        )
        devices = (*offload_devices(child, cancel), *self._devices_of_workers(child))
        memory, parts = machine_memory(), all_parts(header)
        check_adapters(self._adapters, parts, options.name)
        if options.projector is not None:
            check_projector(options.projector, header, options.name)
        made = plan(
            header,
            available_memory_bytes=memory.available,
            total_memory_bytes=memory.total,
            devices=devices,
            wishes=options.wishes.for_other_devices() if self._lost_workers else options.wishes,
            context_tokens_wanted=options.context_tokens,
            projector_bytes=_size_of(options.projector),
            tensors=[tensor for part in parts for tensor in part.tensors],
        )
        child.watch_log(options.log_file)
        metadata = yield from self._load_in_child(child, verdict, made, builder, cancel)
        if self._adapters:
            self._put_over(child, self._adapters)
        if self._watches_experts and header.expert_count:
            self._watch(child, header.expert_count)
        return LoadedModel(
            name=options.name,
            builder=builder,
            context_tokens=made.context_tokens,
            defaults=options.defaults.over(header.sampling_defaults).over(_FALLBACK),
            can_see=options.projector is not None,
            metadata={
                **metadata,
                "devices": listed(device.description for device in made.devices) or "CPU",
                "gpu_layers": str(made.gpu_layers),
                "plan": made.reason,
                "experts": str(header.expert_count),
            },
        )

    def _devices_of_workers(self, child: Child) -> tuple[Device, ...]:
        """Those of workers that answer; one that never did is an error, one that went away is left out.

        Raises:
            EngineError: There is no worker where the user said.
        """
        workers = [worker for worker in self._options.workers if worker not in self._lost_workers]
        gone = silent(workers)
        if gone and not self._lost_workers:
            raise not_answering(gone)
        return worker_devices(child, [worker for worker in workers if worker not in gone])

    def _ended(self, child: Child) -> HychatError:
        """What to say of a child that died: of itself, or because a worker did."""
        gone = silent(worker for worker in self._options.workers if worker not in self._lost_workers)
        if not gone:
            return child.ended()
        self._lost_workers = (*self._lost_workers, *gone)
        return lost(gone, child.log_tail())

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The LoRA adapters that it answers with."""
        return self._adapters

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        """Answer with these LoRA adapters from now on; asked between answers.

        Raises:
            ModelUnusable: One is no adapter, or another model's; those before stand.
            ModelNotFound: There is no such file.
        """
        check_adapters(adapters, all_parts(read_header(self._options.path)), self._options.name)
        child = self._child
        if child is not None and self._loaded is not None and child.is_alive:
            self._put_over(child, adapters)
        self._adapters = tuple(adapters)

    def _put_over(self, child: Child, adapters: Sequence[Adapter]) -> None:
        with child.request() as (number, inbox):
            child.send(wire.Adapt(number, [[adapter.path, adapter.scale] for adapter in adapters]))
            self._expect(child, child.next_reply(inbox), wire.Adapted)

    def watch_experts(self) -> ExpertUse:
        """Count which experts are chosen, from the first call on, whenever the model is loaded; what was counted so far.

        Raises:
            UsageError: The model is no mixture of experts.
            ModelTooLarge: There is no memory for it.
            EngineError: The engine failed.
        """
        self._watches_experts = True
        child, model = self._child, self._loaded
        if child is None or model is None or not child.is_alive:
            return ExpertUse(())
        experts = int(model.metadata.get("experts", 0))
        if not experts:
            raise UsageError(_("{name} is no mixture of experts.").format(name=model.name))
        return self._watch(child, experts)

    def _watch(self, child: Child, experts: int) -> ExpertUse:
        with child.request() as (number, inbox):
            child.send(wire.Watch(number, experts))
            return ExpertUse.of(self._expect(child, child.next_reply(inbox), wire.Routed).layers)

    def places(self) -> dict[str, dict[str, int]]:
        """Bytes that llama.cpp says it took, by memory (`CPU`, `CUDA0`) and use (model, KV, compute, output).

        In the order of the names: llama.cpp tells them in no order that stays the same.
        """
        child = self._child
        if child is None or self._loaded is None or not child.is_alive:
            return {}
        with child.request() as (number, inbox):
            child.send(wire.Describe(number))
            reply = child.next_reply(inbox)
            return dict(sorted(json.loads(reply.facts["buffers"]).items())) if isinstance(reply, wire.Described) else {}

    def _load_in_child(
        self, child: Child, verdict: AuditVerdict, made: LoadPlan, builder: PromptBuilder, cancel: CancelToken
    ) -> Generator[LoadProgress, None, dict[str, str]]:
        options, metadata = self._options, None
        with child.request() as (number, inbox), cancel.waking(lambda: inbox.put(None)):
            child.send(
                wire.Load(
                    request=number,
                    path=options.path,
                    log_file=options.log_file,
                    context_tokens=made.context_tokens,
                    threads=options.threads,
                    slots=options.slots,
                    overrides=dict(verdict.overrides),
                    projector=options.projector,
                    gpu_layers=made.gpu_layers,
                    devices=[device.name for device in made.devices],
                    shares=list(made.shares),
                    cpu_expert_layers=made.cpu_expert_layers,
                    kv_type=KV_TYPES[made.kv_type],
                )
            )
            try:
                # While the child loads: a template is compiled (40 ms), and a broken one is found.
                builder.render("", (ChatTurn(is_user=True, text="?"),), think=False)
                metadata = yield from self._follow_load(child, inbox, cancel)
            finally:
                if metadata is None:  # failed, or the reader went away: a load can be neither stopped nor begun again
                    child.close()
        return metadata

    def _follow_load(
        self, child: Child, inbox: Inbox, cancel: CancelToken
    ) -> Generator[LoadProgress, None, dict[str, str]]:
        while True:
            reply = child.next_reply(inbox)
            match reply:
                case wire.LoadProgress():
                    yield LoadProgress(reply.fraction)
                case wire.Loaded():
                    return reply.metadata
                case wire.Failed():
                    raise error_of(reply, self._options)
                case None if cancel.is_set:
                    raise Interrupted(_("Stopped."))
                case _:
                    raise self._died_loading(child)

    def _died_loading(self, child: Child) -> HychatError:
        """A child that llama.cpp takes down while it loads was given a file it cannot bear; one that was killed was not."""
        if child.end_signal() not in _CRASHES or self._options.workers:
            return self._ended(child)
        return ModelDamaged(
            _("llama.cpp crashed ({reason}) while it loaded {path}.").format(
                reason=child.end_reason(), path=", ".join(filter(None, (self._options.path, self._options.projector)))
            ),
            hint="\n".join(filter(None, (_("The file is most likely damaged: fetch it again."), child.log_tail()))),
        )

    def count(self, prompts: Sequence[Prompt], cancel: CancelToken) -> tuple[int, ...]:
        """Tokens of each prompt. Raises as `open`."""
        child, _model = result_of(self._ready(cancel))
        with child.request() as (number, inbox), cancel.waking(lambda: inbox.put(None)):
            child.send(wire.Count(number, [_segments(prompt) for prompt in prompts]))
            reply = child.next_reply(inbox)
            if reply is None and cancel.is_set:
                raise Interrupted(_("Stopped."))
            return tuple(self._expect(child, reply, wire.Counted).tokens)

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        """Answer a prompt: progress and pieces, then exactly one `Done`.

        Raises:
            PromptTooLong: The prompt does not fit the context.
            SchemaError: The settings' JSON schema cannot be used.
            HychatError: As `open`; pieces already yielded stand.
        """
        sampling = _sampling(settings)
        child, _model = yield from self._ready(cancel)
        with child.request() as (number, inbox):
            child.send(wire.Generate(number, _segments(prompt), sampling))
            is_over = False
            try:
                with cancel.waking(lambda: inbox.put(None)):
                    for event in self._events(child, number, inbox, cancel):
                        is_over = isinstance(event, Done)
                        if is_over:
                            self._last_request = number
                        yield event
            finally:
                if not is_over:  # the reader went away, or an error ends the stream
                    child.send(wire.Cancel(number))

    def _events(self, child: Child, number: int, inbox: Inbox, cancel: CancelToken) -> Iterator[EngineEvent]:
        is_told = False
        while True:
            reply = child.next_reply(inbox)
            match reply:
                case wire.Piece():
                    yield Piece(reply.text)
                case wire.Prefill():
                    yield PrefillProgress(reply.done, reply.total)
                case wire.Done():
                    yield Done(StopReason(reply.stop), _usage(reply.usage))
                    return
                case wire.Failed():
                    raise error_of(reply, self._options)
                case None if cancel.is_set and child.is_alive and not is_told:
                    is_told = True
                    child.send(wire.Cancel(number))
                case _:
                    raise self._ended(child)

    def keep(self, path: str) -> bool:
        """Write the KV cache that the last answer left to a file; False where that is not possible."""
        return self._exchange_state(lambda number: wire.SaveState(number, self._last_request, path))

    def recall(self, path: str) -> bool:
        """Read a KV cache that `keep` wrote; False where it does not fit this model, or took the engine down."""
        return self._exchange_state(lambda number: wire.LoadState(number, path))

    def _exchange_state(self, frame: Callable[[int], wire.SaveState | wire.LoadState]) -> bool:
        """A KV state only saves time: whatever goes wrong with it is no error."""
        child = self._child
        if child is None or not child.is_alive or self._adapters:  # what was read with adapters fits no other model
            return False
        with child.request() as (number, inbox), suppress(EngineError):
            child.send(frame(number))
            reply = child.next_reply(inbox)
            return isinstance(reply, wire.StateReady) and reply.tokens > 0
        return False

    def bench(self, *, prompt_tokens: int, generated_tokens: int, repetitions: int) -> BenchResult:
        """Measure the model's speed. Raises as `open`."""
        child, _model = result_of(self._ready(CancelToken()))
        with child.request() as (number, inbox):
            child.send(wire.Bench(number, prompt_tokens, generated_tokens, repetitions))
            while isinstance(reply := child.next_reply(inbox), wire.Prefill):
                pass  # a sign of life
            result = self._expect(child, reply, wire.Benched)
            return BenchResult(tuple(result.prefill), tuple(result.decode))

    def _expect(self, child: Child, reply: wire.Reply | None, kind: type[_Wanted]) -> _Wanted:
        if isinstance(reply, kind):
            return reply
        raise error_of(reply, self._options) if isinstance(reply, wire.Failed) else self._ended(child)

    def close(self) -> None:
        """End the engine; a second call does nothing. Requests that still run end with an error."""
        child = self._child
        if child is not None:  # without a turn: one that loads would keep it, and is to be ended
            child.close()


def _sampling(settings: GenerationSettings) -> wire.Sampling:
    """Every choice made.

    Raises:
        SchemaError: The JSON schema cannot be turned into a grammar.
    """
    grammar = None
    if settings.json_schema is not None:
        from hychat.engine.grammar import grammar_of_schema

        grammar = grammar_of_schema(settings.json_schema)
    chosen = settings.over(_FALLBACK)
    return wire.Sampling(
        temperature=chosen.temperature or 0.0,
        top_k=chosen.top_k or 0,
        top_p=1.0 if chosen.top_p is None else chosen.top_p,
        min_p=chosen.min_p or 0.0,
        repeat_penalty=1.0 if chosen.repeat_penalty is None else chosen.repeat_penalty,
        seed=chosen.seed or 0,
        max_tokens=chosen.max_tokens,
        grammar=grammar,
    )


def _size_of(projector: str | None) -> int:
    return Path(projector).stat().st_size if projector else 0


def _segments(prompt: Prompt) -> list[list[object]]:
    return [
        [b2a_base64(segment.picture, newline=False).decode("ascii"), None]
        if segment.picture
        else [segment.text, segment.is_control]
        for segment in prompt
    ]


def _usage(figures: Sequence[float]) -> Usage:
    prompt_tokens, reused_tokens, generated_tokens = (int(figure) for figure in figures[:3])
    return Usage(prompt_tokens, reused_tokens, generated_tokens, *figures[3:])
