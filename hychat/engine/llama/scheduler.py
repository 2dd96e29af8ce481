"""The decode loop: requests in slots, one batch a step, prompt chunks and decode tokens mixed.

A slot is a sequence of the KV cache. Reading a prompt and writing an answer are one thing here: a slot has tokens still to be
fed (`todo`), and when the last of them is fed the next token is drawn and becomes the new `todo`. What a slot has read stays in
the cache when its request ends, so that the next prompt that starts the same way is read from where it differs.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from hychat.engine import wire
from hychat.engine.llama.context import (
    BATCH_TOKENS,
    AbortFlag,
    CacheFull,
    Context,
    ContextTooLarge,
    DecodeAborted,
    DecodeFailed,
    Entry,
    tokens_in_state,
)
from hychat.engine.llama.detokenizer import Detokenizer
from hychat.engine.llama.loops import LoopDetector
from hychat.engine.llama.model import Model, SegmentList
from hychat.engine.llama.sampler import GrammarRejected, Sampler, sampler_for
from hychat.engine.llama.threads import ThreadGovernor, thread_counts

_CONTEXT_STEP_TOKENS: Final = 256
_ANSWER_RESERVE_TOKENS: Final = 512
"""Room made for an answer of unknown length; the context grows when it is used up."""
_SMALLEST_CHUNK_TOKENS: Final = 64
_LONGEST_CHUNK_SECONDS: Final = 4.0
_SHARING_PAYS_TOKENS: Final = 64
_REMEMBERED_ANSWERS: Final = 64

Send = Callable[[wire.Reply], None]


@dataclass(slots=True)
class _Answer:
    """One request at work."""

    request: int
    prompt: list[int]
    sampling: wire.Sampling
    sampler: Sampler
    arrived: float
    """When the request came (`time.perf_counter`)."""
    todo: list[int] = field(default_factory=list)
    """Tokens to feed before the next one can be drawn."""
    reused: int = 0
    generated: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    detokenizer: Detokenizer = field(default_factory=Detokenizer)
    loops: LoopDetector = field(default_factory=LoopDetector)
    started: float = 0.0
    first_token: float = 0.0

    @property
    def need(self) -> int:
        """Context cells to have ready: the prompt and the answer, or a first part of it."""
        return len(self.prompt) + min(self.sampling.max_tokens or _ANSWER_RESERVE_TOKENS, _ANSWER_RESERVE_TOKENS)


@dataclass(slots=True)
class _Slot:
    """A sequence of the KV cache."""

    sequence: int
    tokens: list[int] = field(default_factory=list)
    """What the cache holds of it."""
    answer: _Answer | None = None
    last_used: float = 0.0
    last_request: int = 0


class Scheduler:
    """Runs every open request of one model, a batch at a time. One thread owns it; `cancel` may come from another."""

    def __init__(  # noqa: PLR0913 - each is one choice of `Load`
        self, model: Model, send: Send, *, context_tokens: int, slots: int, threads: int, adapt_threads: bool
    ) -> None:
        self._model = model
        self._send = send
        self._limit = context_tokens
        self._abort = AbortFlag()
        self._threads = threads
        self._governor = ThreadGovernor(thread_counts(threads) if adapt_threads else (threads,))
        self._context: Context | None = None
        self._slots = [_Slot(sequence) for sequence in range(slots)]
        self._waiting: deque[_Answer] = deque()
        self._chunk_tokens = BATCH_TOKENS
        self._cancelled: set[int] = set()
        self._tokens_of_answer: OrderedDict[str, list[int]] = OrderedDict()

    # What the host asks

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return not self._waiting and all(slot.answer is None for slot in self._slots)

    def cancel(self, request: int) -> None:
        """Stop a request within one token, or within the step that reads its prompt."""
        self._cancelled.add(request)
        self._abort.set()

    def count(self, prompt: SegmentList) -> int:
        """Tokens of a prompt."""
        return len(self._tokenize(prompt))

    def submit(self, request: wire.Generate) -> None:
        """Take a request; it is answered by the steps that follow."""
        arrived = time.perf_counter()
        prompt = self._tokenize(request.prompt)
        if not prompt or len(prompt) >= self._limit:
            figures = [len(prompt), self._limit]
            self._send(wire.Failed(request.request, wire.Failure.TOO_LONG, "", figures))
            return
        try:
            sampler = sampler_for(self._model, request.sampling)
        except GrammarRejected:
            self._send(wire.Failed(request.request, wire.Failure.GRAMMAR, "", []))
            return
        self._waiting.append(_Answer(request.request, prompt, request.sampling, sampler, arrived))

    def step(self) -> None:
        """Start what can start, run one batch, and tell what came of it."""
        self._abort.clear()
        self._end_cancelled()
        self._admit()
        entries = self._entries()
        if entries:
            self._run(entries)

    def save_state(self, request: int, path: str) -> int:
        """Write the KV cache that a finished request left to a file; its tokens, 0 where there is none to write."""
        for slot in self._slots:
            if slot.last_request == request and slot.answer is None and slot.tokens:
                return len(slot.tokens) if self._ready.save_state(slot.sequence, slot.tokens, path) else 0
        return 0

    def load_state(self, path: str) -> int:
        """Read a KV cache into an idle slot; its tokens, 0 where it does not fit this model.

        Raises:
            ContextTooLarge: There is no memory for it.
        """
        slot = next((slot for slot in self._slots if slot.answer is None and not slot.tokens), None)
        if slot is None:
            return 0
        self._reserve(min(tokens_in_state(path) + _ANSWER_RESERVE_TOKENS, self._limit))
        slot.tokens = self._ready.load_state(slot.sequence, path) or []
        slot.last_used = time.perf_counter()
        return len(slot.tokens)

    def close(self) -> None:
        """Free the context."""
        if self._context is not None:
            self._context.close()

    # Requests in and out of slots

    def _tokenize(self, prompt: SegmentList) -> list[int]:
        """Token ids; an answer of this process keeps the ids it was written with, which text alone may not give again."""
        tokens: list[int] = []
        for text, is_control in prompt:
            written = None if is_control else self._tokens_of_answer.get(text)
            tokens += written if written is not None else self._model.tokenize([(text, is_control)])
        return self._model.with_bos(tokens)

    def _end_cancelled(self) -> None:
        if not self._cancelled:
            return
        for answer in [waiting for waiting in self._waiting if waiting.request in self._cancelled]:
            self._waiting.remove(answer)
            self._tell_done(answer, "cancelled")
        for slot in self._slots:
            if slot.answer is not None and slot.answer.request in self._cancelled:
                self._finish(slot, "cancelled")
        self._cancelled.clear()

    def _admit(self) -> None:
        while self._waiting:
            free = [slot for slot in self._slots if slot.answer is None]
            if not free or not self._has_room(self._waiting[0]):
                return
            answer = self._waiting.popleft()
            try:
                self._reserve(answer.need + sum(a.need for a in self._active()))
            except ContextTooLarge:
                self._fail(answer, wire.Failure.MEMORY, "context")
                continue
            self._place(answer, free)

    def _active(self) -> list[_Answer]:
        return [slot.answer for slot in self._slots if slot.answer is not None]

    def _has_room(self, answer: _Answer) -> bool:
        """Whether the request fits beside those that run; alone it always does."""
        active = self._active()
        return not active or answer.need + sum(a.need for a in active) <= self._limit

    def _place(self, answer: _Answer, free: list[_Slot]) -> None:
        """Put a request into the free slot that knows most of its prompt, or let it share the prefix of another."""
        slot = max(free, key=lambda s: (_common_prefix(s.tokens, answer.prompt), -s.last_used))
        known = _common_prefix(slot.tokens, answer.prompt)
        richest = max(self._slots, key=lambda s: _common_prefix(s.tokens, answer.prompt))
        shared = _common_prefix(richest.tokens, answer.prompt)
        known = min(known, len(answer.prompt) - 1)  # the last token is always read: its logits are needed
        shared = min(shared, len(answer.prompt) - 1)
        if shared >= known + _SHARING_PAYS_TOKENS:
            self._cut(slot, 0)
            self._ready.share(richest.sequence, slot.sequence, shared)
            slot.tokens = answer.prompt[:shared]
        else:
            self._cut(slot, known)
        answer.reused = len(slot.tokens)
        answer.todo = answer.prompt[answer.reused :]
        answer.started = time.perf_counter()
        slot.answer = answer

    def _cut(self, slot: _Slot, length: int) -> None:
        """Forget a slot's tokens from `length` on; all of them where the model's memory cannot be cut."""
        if length < len(slot.tokens):
            if length == 0 or not self._ready.forget(slot.sequence, length):
                self._ready.forget_all(slot.sequence)
                length = 0
            slot.tokens = slot.tokens[:length]

    # The context and its size

    @property
    def _ready(self) -> Context:
        assert self._context is not None  # noqa: S101 - a slot holds tokens only once there is a context
        return self._context

    def _reserve(self, cells: int) -> None:
        """Have a context of at least this many cells, as far as the limit allows.

        Raises:
            ContextTooLarge: There is no memory for it.
        """
        cells = min(-(-cells // _CONTEXT_STEP_TOKENS) * _CONTEXT_STEP_TOKENS, self._limit)
        old = self._context
        if old is not None and old.tokens >= cells:
            return
        if old is not None:
            cells = min(max(cells, old.tokens * 2), self._limit)
        new = Context(
            self._model, tokens=cells, slots=len(self._slots), threads=self._governor.threads, abort=self._abort
        )
        if old is not None:
            for slot in self._slots:
                self._move(slot, old, new)
            old.close()
        self._context = new

    @staticmethod
    def _move(slot: _Slot, old: Context, new: Context) -> None:
        """Take a slot's cells to a new context; what cannot be taken is read again."""
        if slot.tokens and not new.restore_state(slot.sequence, old.copy_state(slot.sequence)):
            new.forget_all(slot.sequence)
            if slot.answer is not None:
                slot.answer.todo = slot.tokens + slot.answer.todo
            slot.tokens = []

    def _make_room(self) -> bool:
        """Free or add cells; False when nothing is left to try."""
        idle = [slot for slot in self._slots if slot.answer is None and slot.tokens]
        if idle:
            self._cut(min(idle, key=lambda slot: slot.last_used), 0)
            return True
        if self._ready.tokens >= self._limit:
            return False
        try:
            self._reserve(self._ready.tokens + _CONTEXT_STEP_TOKENS)
        except ContextTooLarge:
            return False
        return True

    # One step

    def _entries(self) -> list[Entry]:
        """The next batch: a token of every slot that writes, then as much of the prompts as there is room for."""
        busy = [(slot, slot.answer) for slot in self._slots if slot.answer is not None]
        busy.sort(key=lambda pair: len(pair[1].todo))
        entries: list[Entry] = []
        room = self._chunk_tokens
        for slot, answer in busy:
            tokens = answer.todo[:room]
            if tokens:
                entries.append(Entry(slot.sequence, len(slot.tokens), tokens, len(tokens) == len(answer.todo)))
                room -= len(tokens)
        return entries

    def _run(self, entries: list[Entry]) -> None:
        started = time.perf_counter()
        try:
            self._ready.decode(entries)
        except DecodeAborted:
            for entry in entries:
                self._roll_back(self._slots[entry.sequence])
            return
        except CacheFull:
            if not self._make_room():
                self._finish(max(self._busy_slots(), key=lambda slot: len(slot.tokens)), "length")
            return
        except DecodeFailed as error:
            self._fail_all(str(error))
            return
        for entry in entries:
            self._advance(self._slots[entry.sequence], entry)
        seconds, tokens = time.perf_counter() - started, sum(len(entry.tokens) for entry in entries)
        if tokens == len(entries):
            self._adapt_threads(seconds, tokens)
        else:
            self._chunk_tokens = _chunk_tokens(seconds / tokens)

    def _busy_slots(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot.answer is not None]

    def _adapt_threads(self, seconds: float, width: int) -> None:
        self._governor.record(seconds, width)
        if self._governor.threads != self._ready.threads:
            self._ready.set_threads(self._governor.threads)

    def _roll_back(self, slot: _Slot) -> None:
        """Remove the cells that an aborted step left; a memory that cannot be cut is read again."""
        if not self._ready.forget(slot.sequence, len(slot.tokens)):
            self._ready.forget_all(slot.sequence)
            if slot.answer is not None:
                slot.answer.todo = slot.tokens + slot.answer.todo
            slot.tokens = []

    def _advance(self, slot: _Slot, entry: Entry) -> None:
        answer = slot.answer
        if answer is None:
            return
        slot.tokens += entry.tokens
        answer.todo = answer.todo[len(entry.tokens) :]
        if not answer.generated:
            done = min(len(slot.tokens), len(answer.prompt))
            self._send(wire.Prefill(answer.request, done, len(answer.prompt)))
        if entry.wants_logits:
            self._take(slot, answer, answer.sampler.sample(self._ready, entry.logits_index))

    def _take(self, slot: _Slot, answer: _Answer, token: int) -> None:
        """A drawn token: tell its text, and go on or end."""
        if not answer.first_token:
            answer.first_token = time.perf_counter()
        if self._model.ends_generation(token):
            self._finish(slot, "complete")
            return
        answer.generated.append(token)
        self._tell_text(answer, answer.detokenizer.feed(self._model.piece(token)))
        answer.todo = [token]
        if answer.sampling.grammar is None and answer.loops.feed(token):
            self._finish(slot, "loop")
        elif len(answer.generated) == answer.sampling.max_tokens or len(slot.tokens) + 1 >= self._limit:
            self._finish(slot, "length")

    # Replies

    def _tell_text(self, answer: _Answer, text: str) -> None:
        if text:
            answer.text.append(text)
            self._send(wire.Piece(answer.request, text))

    def _finish(self, slot: _Slot, stop: str) -> None:
        answer = slot.answer
        if answer is None:
            return
        slot.answer = None
        slot.last_used = time.perf_counter()
        slot.last_request = answer.request
        self._tell_text(answer, answer.detokenizer.finish())
        self._remember(answer)
        self._tell_done(answer, stop)

    def _remember(self, answer: _Answer) -> None:
        if answer.generated:
            self._tokens_of_answer["".join(answer.text)] = answer.generated
            if len(self._tokens_of_answer) > _REMEMBERED_ANSWERS:
                self._tokens_of_answer.popitem(last=False)

    def _tell_done(self, answer: _Answer, stop: str) -> None:
        answer.sampler.close()
        now = time.perf_counter()
        read_until = answer.first_token or now
        usage: list[float] = [
            len(answer.prompt),
            answer.reused,
            len(answer.generated),
            read_until - answer.started if answer.started else 0.0,
            now - answer.first_token if answer.first_token else 0.0,
            read_until - answer.arrived,
        ]
        self._send(wire.Done(answer.request, stop, usage))

    def _fail(self, answer: _Answer, failure: wire.Failure, detail: str) -> None:
        answer.sampler.close()
        self._send(wire.Failed(answer.request, failure, detail, []))

    def _fail_all(self, detail: str) -> None:
        """A batch that llama.cpp cannot run ends every request in it, and their cells are dropped."""
        for slot in self._busy_slots():
            answer, slot.answer = slot.answer, None
            self._ready.forget_all(slot.sequence)
            slot.tokens = []
            if answer is not None:
                self._fail(answer, wire.Failure.DECODE, detail)


def _chunk_tokens(seconds_per_token: float) -> int:
    """Prompt tokens to read in one step, so that progress and a cancel come every few seconds on a slow machine too."""
    return max(_SMALLEST_CHUNK_TOKENS, min(BATCH_TOKENS, int(_LONGEST_CHUNK_SECONDS / seconds_per_token)))


def _common_prefix(first: Iterable[int], second: Iterable[int]) -> int:
    """How many tokens two sequences have in common at their start."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
