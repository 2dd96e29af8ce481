"""Puts the parts together: settings in, a session with its engine and its history out. No logic of its own."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hychat.catalogue.find import default_model_name, lacks_projector, locate, projector_at, projector_of
from hychat.config.schema import Config
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import HychatError, ModelNotFound
from hychat.domain.message import Conversation
from hychat.domain.model import LocalModel
from hychat.engine.adapters import adapters_of
from hychat.engine.child import Child
from hychat.engine.plan import NO_WISHES, Wishes
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.protocol import BenchResult, Engine, result_of
from hychat.engine.spawn import Spawned
from hychat.engine.workers import endpoints
from hychat.history.states import KvStates
from hychat.history.store import HistoryStore
from hychat.paths import blocked_file, history_file, log_file, private_folder, states_folder, user_words_file
from hychat.session.chat import ChatSession
from hychat.session.eyes import MachineEyes, Onlooker, TextReader

if TYPE_CHECKING:
    from hychat.attach.ocr_process import OcrProcess
    from hychat.engine.onlooker import EngineOnlooker
    from hychat.safety.guard import Guard, Layers
    from hychat.safety.guard_model import GuardModel

ECHO = "echo"
"""The model name of the scripted engine, which answers with the question."""


class Runtime:
    """The parts of one run. `close` ends what was opened."""

    def __init__(
        self,
        config: Config,
        *,
        spawned: Spawned | None = None,
        slots: int = 4,
        open_engine: Callable[[str], Engine] | None = None,
    ) -> None:
        """`spawned` is an engine process that is already starting; `slots` is how many answers may be written at once.

        `open_engine` finds the engine of a model by its name, in the place of what is on this machine.
        """
        self.config = config
        self._slots = slots
        self._child = Child(spawned) if spawned else None
        self._open = open_engine or self._open_engine
        self._engine: Engine | None = None
        self._model = ""
        """The engine's, by the name it was asked for."""
        self._history: HistoryStore | None = None
        self._ruler: GuardModel | None = None
        self._onlooking: EngineOnlooker | None = None
        self._ocr: OcrProcess | None = None
        self._layers: Layers | None = None
        """Of the safety filter."""

    def model_name(self, conversation: Conversation | None = None) -> str:
        """The model to use: the one that runs, else the conversation's own, else the one that was set, else the default."""
        own = conversation.model if conversation else ""
        return self._model or own or self.config.model or default_model_name()

    def engine(self, model: str) -> Engine:
        """The engine for a model, not yet loaded; the same one every time. Another model takes the place of the first.

        Raises:
            ModelNotFound: The model is not on this machine; the engine there was goes on.
        """
        if self._engine is None or model != self._model:
            engine, old = self._open(model), self._engine
            self._engine, self._model = engine, model
            if old is not None:
                old.close()
        return self._engine

    def switch_model(self, model: str) -> None:
        """End the engine and use another model from now on; the sessions made before have no engine any more.

        Raises:
            ModelNotFound: The model is not on this machine; the engine there was goes on.
        """
        self.engine(model)
        self.config = replace(self.config, model=model, lora="", mmproj="")  # they belong to the model there was

    def _open_engine(self, model: str) -> Engine:
        if model == ECHO:
            from hychat.engine.echo import EchoEngine

            return EchoEngine()
        local = locate(model, for_chat=True)
        child, self._child = self._child, None
        options = self._options(local)
        if self.config.mmproj:
            options = replace(options, projector=str(projector_at(self.config.mmproj)))
        return EngineProcess(options, child)

    def _options(self, local: LocalModel) -> EngineOptions:
        config, spec = self.config, local.spec
        return EngineOptions(
            path=local.path,
            name=spec.name,
            projector=_text(projector_of(local)),
            context_tokens=spec.context_tokens,
            wishes=wishes_of(config),
            workers=endpoints(config.rpc),
            adapters=adapters_of(config.lora),
            threads=config.threads,
            slots=self._slots,
            log_file=_engine_log(),
            defaults=spec.defaults,
        )

    def _states(self, model: str) -> KvStates | None:
        return KvStates(states_folder(), locate(model).path) if isinstance(self._engine, EngineProcess) else None

    def history(self) -> HistoryStore:
        """The conversations on disk."""
        if self._history is None:
            self._history = HistoryStore(str(history_file()))
        return self._history

    def guard(self, level: SafetyLevel) -> "Guard | None":
        """The safety filter at a level, not yet loaded; the same lists and models at every level."""
        if level is SafetyLevel.OFF:
            return None
        from hychat.safety.guard import Guard, open_layers

        if self._layers is None:
            self._layers = open_layers(user_words_file())
        guard = Guard(level, self._layers, self._guard_model(level))
        if self.config.keep_blocked:
            from hychat.history.blocked import keep_blocked

            guard.keep = partial(keep_blocked, blocked_file())
        return guard

    def _guard_model(self, level: SafetyLevel) -> "GuardModel | None":
        """The one that rules at this level, where it is on this machine; in an engine of its own, not yet loaded."""
        if self.config.guard_model == "never" or (self.config.guard_model, level) == ("strict", SafetyLevel.STANDARD):
            return None
        if self._ruler is None:
            from hychat.engine.oracle import EngineOracle
            from hychat.safety.guard_model import MODEL, GuardModel

            try:
                local = locate(MODEL)
            except ModelNotFound:
                return None
            options = replace(self._options(local), slots=2, wishes=NO_WISHES, workers=(), adapters=())
            self._ruler = GuardModel(EngineOracle(lambda: EngineProcess(options)))
        return self._ruler

    def session(self, conversation: Conversation | None = None) -> ChatSession:
        """A chat that goes on with a conversation, or a new one; in one run, all with the same engine.

        Raises:
            ModelNotFound: The model is not on this machine.
        """
        config = self.config
        model = self.model_name(conversation)
        engine = self.engine(model)
        conversation = conversation or Conversation(system=config.system)
        guard = self.guard(config.safety)
        if guard is not None:
            guard.prepare_aside()
        return ChatSession(
            engine,
            replace(conversation, model=model),
            settings=config.generation,
            style=config.style,
            store=self.history() if config.save else None,
            states=self._states(model) if config.save else None,
            guard=guard,
            eyes=self.eyes(),
        )

    def eyes(self) -> MachineEyes:
        """What looks at pictures in the place of a model that cannot see."""
        return MachineEyes(self._onlooker, self._text_reader, self._way_to_see)

    def _onlooker(self) -> "Onlooker | None":
        """An installed model that sees, the largest that fits beside what runs; loaded when it is asked."""
        if self._onlooking is None:
            from hychat.catalogue.onlooker import fitting_onlooker
            from hychat.engine.memory import machine_memory
            from hychat.engine.onlooker import EngineOnlooker

            local = fitting_onlooker(machine_memory().available - self._mapped_bytes())
            if local is not None:
                options = replace(self._options(local), slots=1, wishes=NO_WISHES, workers=(), adapters=())
                self._onlooking = EngineOnlooker(options.name, lambda: EngineProcess(options))
        return self._onlooking

    def _mapped_bytes(self) -> int:
        """What the running model needs of the memory that the system calls available: its file, mapped and not copied."""
        places = self._engine.places() if self._engine else {}
        return sum(uses.get("model", 0) for memory, uses in places.items() if memory.endswith("_Mapped"))

    def _text_reader(self) -> TextReader | None:
        """What reads text out of pictures, where it is installed; its process starts with the first picture."""
        from hychat.attach import ocr  # rarely needed, as what follows

        if not ocr.is_installed():
            return None
        if self._ocr is None:
            from hychat.attach.ocr_process import OcrProcess

            self._ocr = OcrProcess()
        return self._ocr.read

    def _way_to_see(self) -> str:
        """The command that fetches the projector of the model which runs, where it is all that is missing."""
        with suppress(HychatError):  # a model that is none of the catalogue's, or went away meanwhile
            spec = locate(self._model).spec
            if lacks_projector(spec):
                return f"hychat models pull {spec.name}"
        return ""

    def measure(
        self, prompt_tokens: int, generated_tokens: int, repetitions: int
    ) -> tuple[str, Mapping[str, str], BenchResult]:
        """The model's name, what the engine says of itself, and its speed. Raises as the engine's `open`."""
        engine = self.engine(self.model_name())
        model = result_of(engine.open(CancelToken()))
        return (
            model.name,
            model.metadata,
            engine.bench(prompt_tokens=prompt_tokens, generated_tokens=generated_tokens, repetitions=repetitions),
        )

    def close(self) -> None:
        """End the engine and close the history."""
        for part in (self._engine, self._child, self._ruler, self._onlooking, self._ocr, self._history):
            if part is not None:
                part.close()


def wishes_of(config: Config) -> Wishes:
    """What the settings decide of how a model is loaded."""
    return Wishes(
        context_tokens=config.context_tokens,
        gpu_layers=config.gpu_layers,
        cpu_expert_layers=config.n_cpu_moe,
        kv_type=config.kv_type,
        tensor_split=tuple(float(share) for share in config.tensor_split.split(",") if share.strip()),
        main_gpu=config.main_gpu,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _engine_log() -> str | None:
    """Where the engine writes its log; None where the folder cannot be made."""
    path = log_file()
    try:
        private_folder(path.parent)
    except OSError:
        return None
    return str(path)
