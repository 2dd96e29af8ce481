"""The decode loop: requests in slots, one batch a step, prompt chunks and decode tokens mixed.

Reading a prompt and writing an answer are one thing here: a request has a sequence of tokens, its slot has read a first part
of it, and when it has read all, the next token is drawn and added to the sequence.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Final

from hychat.engine import wire
from hychat.engine.llama.context import (
    BATCH_TOKENS,
    AbortFlag,
    CacheFull,
    ContextTooLarge,
    DecodeAborted,
    DecodeFailed,
    Entry,
)
from hychat.engine.llama.detokenizer import Detokenizer
from hychat.engine.llama.loops import LoopDetector
from hychat.engine.llama.model import Model, SegmentList
from hychat.engine.llama.sampler import GrammarRejected, GrammarStuck, Sampler, sampler_for
from hychat.engine.llama.sequence import Chunk, PictureUnreadable, Placed, Sequence
from hychat.engine.llama.slots import Slot, SlotCache
from hychat.engine.llama.threads import ThreadGovernor, thread_counts

if TYPE_CHECKING:
    from hychat.engine.llama.vision import Vision

_ANSWER_RESERVE_TOKENS: Final = 512
"""Room made for an answer of unknown length; the context grows when it is used up."""
_SMALLEST_CHUNK_TOKENS: Final = 64
_LONGEST_CHUNK_SECONDS: Final = 4.0
_REMEMBERED_ANSWERS: Final = 64
_TELLING_INTERVAL_SECONDS: Final = 0.03
"""Text that comes faster is told together: waking the reader takes a core from decoding, and nobody sees the difference."""

Send = Callable[[wire.Reply], None]


@dataclass(slots=True, eq=False)
class _Answer:
    """One request."""

    request: int
    sequence: Sequence
    """The prompt, then the answer."""
    prompt_tokens: int
    sampling: wire.Sampling
    sampler: Sampler
    arrived: float
    """When the request came (`time.perf_counter`)."""
    text: list[str] = field(default_factory=list)
    """As it was told."""
    untold: str = ""
    told: float = 0.0
    detokenizer: Detokenizer = field(default_factory=Detokenizer)
    whole_tokens: int = 0
    """Tokens written up to the last whole character."""
    loops: LoopDetector = field(default_factory=LoopDetector)
    reused_tokens: int = 0
    started: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0

    @property
    def generated_tokens(self) -> int:
        """Tokens written so far."""
        return len(self.sequence.tokens) - self.prompt_tokens

    @property
    def need(self) -> int:
        """Context cells to have ready: the prompt and the answer, or a first part of it."""
        return self.prompt_tokens + min(self.sampling.max_tokens or _ANSWER_RESERVE_TOKENS, _ANSWER_RESERVE_TOKENS)

    def usage(self) -> list[float]:
        """The figures of `Usage`, in its order."""
        read_until = self.first_token or time.perf_counter()
        return [
            self.prompt_tokens,
            self.reused_tokens,
            self.generated_tokens,
            read_until - self.started if self.started else 0.0,
            self.last_token - self.first_token if self.last_token else 0.0,
            read_until - self.arrived,
        ]


class Scheduler:
    """Runs every open request of one model, a batch at a time. One thread owns it; `interrupt` may come from another."""

    def __init__(  # noqa: PLR0913 - each is one choice of `Load`
        self,
        model: Model,
        send: Send,
        *,
        context_tokens: int,
        slots: int,
        threads: int,
        adapt_threads: bool,
        vision: "Vision | None" = None,
    ) -> None:
        """With `vision` the model sees."""
        self._model = model
        self._send = send
        self._limit = context_tokens
        self._abort = vision.abort if vision else AbortFlag()
        self._threads = threads
        self._governor = ThreadGovernor(thread_counts(threads) if adapt_threads else (threads,))
        self._vision = vision
        self._cache = SlotCache(model, slots=slots, limit_tokens=context_tokens, threads=threads, abort=self._abort)
        self._waiting: deque[_Answer] = deque()
        self._running: dict[Slot, _Answer] = {}
        self._chunk_tokens = BATCH_TOKENS
        self._tokens_of_answer: OrderedDict[str, list[int]] = OrderedDict()

    # What the host asks

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return not self._waiting and not self._running

    def interrupt(self) -> None:
        """Stop the step that runs, from any thread: a cancel waits to be read. The step is repeated without it."""
        self._abort.set()

    def allow(self) -> None:
        """Take back what `interrupt` did so far."""
        self._abort.clear()

    def cancel(self, request: int) -> None:
        """End a request with what it has; one that is no longer open is left alone."""
        for answer in [waiting for waiting in self._waiting if waiting.request == request]:
            self._waiting.remove(answer)
            self._tell_done(answer, "cancelled")
        for slot in [slot for slot, answer in self._running.items() if answer.request == request]:
            self._finish(slot, "cancelled")

    def count(self, prompt: SegmentList) -> int:
        """Tokens of a prompt. Raises PictureUnreadable."""
        return len(self._tokenize(prompt).tokens)

    def submit(self, request: wire.Generate) -> None:
        """Take a request; it is answered by the steps that follow."""
        arrived = time.perf_counter()
        try:
            prompt = self._tokenize(request.prompt)
        except PictureUnreadable:
            self._send(wire.Failed(request.request, wire.Failure.PICTURE, "", []))
            return
        length = len(prompt.tokens)
        if not length or length >= self._limit:
            figures = [length, self._limit]
            self._send(wire.Failed(request.request, wire.Failure.TOO_LONG, "", figures))
            return
        try:
            sampler = sampler_for(self._model, request.sampling)
        except GrammarRejected:
            self._send(wire.Failed(request.request, wire.Failure.GRAMMAR, "", []))
            return
        self._waiting.append(_Answer(request.request, prompt, length, request.sampling, sampler, arrived))

    def step(self) -> None:
        """Start what can start, run one batch, and tell what came of it."""
        self._admit()
        self._look()
        batch = self._batch()
        if batch:
            self._run(batch)

    def adapt(self, adapters: list[tuple[str, float]]) -> None:
        """Have these LoRA adapters, as path and scale, over the model; asked while nothing is answered.

        Raises:
            AdapterLoadError: llama.cpp refused one; nothing was changed.
        """
        self._cache.adapt(adapters)

    def watch(self, experts: int) -> list[list[int]]:
        """Count from now on which experts are chosen, of so many a layer; the counts so far.

        Raises:
            ContextTooLarge: There is no memory for it.
        """
        return self._cache.watch(experts)

    def save_state(self, request: int, path: str) -> int:
        """Write the KV cache that a finished request left to a file; its tokens, 0 where there is none to write."""
        return self._cache.save(request, path)

    def load_state(self, path: str) -> int:
        """Read a KV cache into an idle slot; its tokens, 0 where it does not fit this model.

        Raises:
            OSError: The file cannot be read.
            ContextTooLarge: There is no memory for it.
        """
        return self._cache.load(path, _ANSWER_RESERVE_TOKENS)

    def close(self) -> None:
        """Free the context."""
        self._cache.close()

    # Requests in and out of slots

    def _tokenize(self, prompt: SegmentList) -> Sequence:
        """Tokens and pictures; an answer of this process keeps the ids it was written with, which text alone may not give.

        Raises:
            PictureUnreadable: There is a picture that cannot be read, or none can.
        """
        items: list[int | Chunk] = []
        pictures = 0
        for text, is_control in prompt:
            if is_control is None:
                if self._vision is None:
                    raise PictureUnreadable
                items += self._vision.items(text, pictures)
                pictures += 1
                continue
            written = None if is_control else self._tokens_of_answer.get(text)
            items += written if written is not None else self._model.tokenize([(text, is_control)])
        return Sequence.of(self._model.with_bos(items))

    def _admit(self) -> None:
        while self._waiting and self._cache.has_free_slot and self._has_room(self._waiting[0]):
            answer = self._waiting.popleft()
            try:
                self._cache.reserve(answer.need + self._needed())
            except ContextTooLarge:
                self._fail(answer, wire.Failure.MEMORY, "context")
                continue
            slot = self._cache.take(answer.sequence, answer.request)
            self._running[slot] = answer
            answer.reused_tokens = len(slot.tokens)
            answer.started = time.perf_counter()

    def _needed(self) -> int:
        return sum(answer.need for answer in self._running.values())

    def _has_room(self, answer: _Answer) -> bool:
        """Whether the request fits beside those that run; alone it always does."""
        return not self._running or answer.need + self._needed() <= self._limit

    # One step

    def _look(self) -> None:
        """Let one request read its next picture, where that is what comes next."""
        for slot, answer in self._running.items():
            placed = answer.sequence.chunk_at(len(slot.tokens)) if answer.sequence.placed else None
            if placed is not None:
                self._tell_texts()
                self._read_picture(slot, answer, placed)
                return

    def _read_picture(self, slot: Slot, answer: _Answer, placed: Placed) -> None:
        assert self._vision is not None  # noqa: S101 - only it makes chunks
        size, chunk = len(placed.chunk.ids), placed.chunk

        def tell(share: float) -> None:
            self._send(wire.Prefill(answer.request, placed.start + int(share * (size - 1)), answer.prompt_tokens))

        context = self._cache.context
        context.set_threads(self._threads)
        try:
            self._vision.encode(chunk, tell)
            self._vision.read(context, slot.sequence, chunk, answer.sequence.position(placed.start))
        except DecodeAborted:
            self._cache.roll_back(slot, answer.sequence)
            return
        except CacheFull:
            self._cache.roll_back(slot, answer.sequence)
            if not self._cache.make_room():
                self._finish(slot, "length")
            return
        except DecodeFailed as error:
            self._fail_running(str(error))
            return
        slot.tokens += chunk.ids
        tell(1.0)

    def _batch(self) -> dict[Slot, Entry]:
        """The next batch: a token of every request that writes, then as much of the prompts as there is room for."""
        unread = [
            (answer.sequence.text_end(len(slot.tokens)) - len(slot.tokens), slot)
            for slot, answer in self._running.items()
        ]
        unread.sort(key=lambda pair: pair[0])
        batch: dict[Slot, Entry] = {}
        room = self._chunk_tokens
        for left, slot in unread:
            start, length = len(slot.tokens), min(left, room)
            if length:
                sequence = self._running[slot].sequence
                tokens = sequence.tokens[start : start + length]
                is_end = start + length == len(sequence.tokens)
                batch[slot] = Entry(slot.sequence, sequence.position(start), tokens, is_end)
                room -= length
        return batch

    def _run(self, batch: dict[Slot, Entry]) -> None:
        context, tokens = self._cache.context, sum(len(entry.tokens) for entry in batch.values())
        is_decode = tokens == len(batch)
        if not is_decode:  # may take seconds
            self._tell_texts()
        context.set_threads(self._governor.threads if is_decode else self._threads)
        started, preemptions = time.perf_counter(), getrusage(RUSAGE_SELF).ru_nivcsw
        try:
            context.decode([*batch.values()])
        except DecodeAborted:
            for slot in batch:
                self._cache.roll_back(slot, self._running[slot].sequence)
            return
        except CacheFull:
            if not self._cache.make_room():
                self._finish(max(self._running, key=lambda slot: len(slot.tokens)), "length")
            return
        except DecodeFailed as error:
            self._fail_running(str(error))
            return
        seconds = time.perf_counter() - started
        if is_decode:
            self._governor.record(seconds, tokens, getrusage(RUSAGE_SELF).ru_nivcsw - preemptions)
        else:
            self._chunk_tokens = _chunk_tokens(seconds / tokens)
        for slot, entry in batch.items():
            self._advance(slot, entry)

    def _advance(self, slot: Slot, entry: Entry) -> None:
        """Note what was read; draw the next token where all is."""
        answer = self._running[slot]
        slot.tokens += entry.tokens
        if not answer.generated_tokens:
            self._send(wire.Prefill(answer.request, len(slot.tokens), answer.prompt_tokens))
        if entry.wants_logits:
            try:
                token = answer.sampler.sample(self._cache.context, entry.logits_index)
            except GrammarStuck:
                self._end(slot)
                self._fail(answer, wire.Failure.DECODE, "the vocabulary has no token that the grammar allows")
            else:
                self._take(slot, answer, token)

    def _take(self, slot: Slot, answer: _Answer, token: int) -> None:
        """A drawn token: tell its text, and go on or end."""
        now = time.perf_counter()
        answer.first_token = answer.first_token or now
        if self._model.ends_generation(token):
            self._finish(slot, "complete")
            return
        answer.last_token = now
        answer.sequence.tokens.append(token)
        answer.untold += answer.detokenizer.feed(self._model.piece(token))
        if answer.detokenizer.is_whole:
            answer.whole_tokens = answer.generated_tokens
        if now - answer.told >= _TELLING_INTERVAL_SECONDS:
            self._tell_text(answer)
        if answer.sampling.grammar is None and answer.loops.feed(token):
            self._finish(slot, "loop")
        elif answer.generated_tokens == answer.sampling.max_tokens or len(answer.sequence.tokens) >= self._limit:
            self._finish(slot, "length")

    # Replies

    def _tell_texts(self) -> None:
        for answer in self._running.values():
            self._tell_text(answer)

    def _tell_text(self, answer: _Answer) -> None:
        if answer.untold:
            answer.text.append(answer.untold)
            self._send(wire.Piece(answer.request, answer.untold))
            answer.untold, answer.told = "", time.perf_counter()

    def _finish(self, slot: Slot, stop: str) -> None:
        answer = self._end(slot)
        self._remember(answer)
        self._tell_done(answer, stop)

    def _end(self, slot: Slot) -> _Answer:
        """Take a request out of its slot."""
        answer = self._running.pop(slot)
        self._cache.release(slot)
        self._tell_text(answer)
        return answer

    def _remember(self, answer: _Answer) -> None:
        """Keep the token ids of an answer's text, unless there are some among them that stand for no text."""
        text = "".join(answer.text)
        tokens = answer.sequence.tokens[answer.prompt_tokens : answer.prompt_tokens + answer.whole_tokens]
        if text and all(self._model.is_text(token) for token in tokens):
            self._tokens_of_answer[text] = tokens
            self._tokens_of_answer.move_to_end(text)
            if len(self._tokens_of_answer) > _REMEMBERED_ANSWERS:
                self._tokens_of_answer.popitem(last=False)

    def _tell_done(self, answer: _Answer, stop: str) -> None:
        answer.sampler.close()
        self._send(wire.Done(answer.request, stop, answer.usage()))

    def _fail(self, answer: _Answer, failure: wire.Failure, detail: str) -> None:
        answer.sampler.close()
        self._send(wire.Failed(answer.request, failure, detail, []))

    def _fail_running(self, detail: str) -> None:
        """A batch that llama.cpp cannot run ends every request in it, and their cells are dropped."""
        for slot in [*self._running]:
            answer = self._end(slot)
            self._cache.clear(slot)
            self._fail(answer, wire.Failure.DECODE, detail)


def _chunk_tokens(seconds_per_token: float) -> int:
    """Prompt tokens to read in one step, so that progress and a cancel come every few seconds on a slow machine too."""
    return max(_SMALLEST_CHUNK_TOKENS, min(BATCH_TOKENS, int(_LONGEST_CHUNK_SECONDS / seconds_per_token)))
