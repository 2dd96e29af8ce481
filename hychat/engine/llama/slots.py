"""What the KV cache holds: a sequence for every slot, the tokens read into it, and room for more.

A slot keeps what it has read when its request ends, so that the next prompt that starts the same way is read from where it
differs. The cache is as large as the requests need it, and grows up to a limit.
"""

import time
from dataclasses import dataclass, field
from itertools import takewhile
from operator import eq
from typing import TYPE_CHECKING, Final

from hychat.engine.llama.adapters import Adapters
from hychat.engine.llama.context import AbortFlag, Context, ContextTooLarge, tokens_in_state
from hychat.engine.llama.model import Model
from hychat.engine.llama.sequence import Sequence

if TYPE_CHECKING:
    from hychat.engine.llama.routing import Routing

_CONTEXT_STEP_TOKENS: Final = 256
_KEPT_SHARE: Final = 0.9
"""A slot is gone on with when a prompt keeps this share of it; else it is left to its own chat, and its start shared."""


@dataclass(slots=True, eq=False)
class Slot:
    """A sequence of the KV cache."""

    sequence: int
    tokens: list[int] = field(default_factory=list)
    """What the cache holds of it."""
    request: int = 0
    """Who used it last, or still does."""
    is_free: bool = True
    last_used: float = 0.0


class SlotCache:
    """The KV cache of one model, and who has which part of it."""

    def __init__(self, model: Model, *, slots: int, limit_tokens: int, threads: int, abort: AbortFlag) -> None:
        self._model = model
        self._limit = limit_tokens
        self._threads = threads
        self._abort = abort
        self._context: Context | None = None
        self._slots = [Slot(sequence) for sequence in range(slots)]
        self._adapters = Adapters(model)
        self._routing: Routing | None = None

    @property
    def context(self) -> Context:
        """The context; there is one from the first `reserve` on."""
        assert self._context is not None  # noqa: S101 - a slot is taken only after room was reserved
        return self._context

    @property
    def has_free_slot(self) -> bool:
        """Whether another request can start."""
        return any(slot.is_free for slot in self._slots)

    def close(self) -> None:
        """Free the memory."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def adapt(self, adapters: list[tuple[str, float]]) -> None:
        """Have these adapters over the model; what was read without them is forgotten.

        Raises:
            AdapterLoadError: llama.cpp refused one; nothing was changed.
        """
        self._adapters.use(adapters)
        if self._context is not None:
            self._adapters.put_over(self._context)
        for slot in self._slots:
            if slot.is_free:
                self.clear(slot)

    def watch(self, experts: int) -> list[list[int]]:
        """Count from now on which experts are chosen, of so many a layer; the counts so far, layer by layer.

        Raises:
            ContextTooLarge: There is no memory for the other context that it takes to begin.
        """
        if self._routing is None:
            self._routing = _routing(experts)
            try:
                if self._context is not None:
                    self._renew(self._context.tokens)
            except ContextTooLarge:
                self._routing = None
                raise
        return self._routing.as_rows()

    # Slots

    def take(self, prompt: Sequence, request: int) -> Slot:
        """A free slot that already holds as much of the prompt's start as the cache knows, but never its last token.

        The logits of the last token are needed, so it is always read.
        """
        known, richest = max(
            ((_common_prefix(slot.tokens, prompt.tokens[:-1]), slot) for slot in self._slots), key=lambda pair: pair[0]
        )
        known = prompt.whole(known)
        slot = self._place(richest, known)
        if slot is richest:
            self._cut(slot, prompt, known)
        else:
            self.clear(slot)
            if known and self._model.keeps_every_position:
                self.context.share(richest.sequence, slot.sequence, prompt.position(known))
                slot.tokens = prompt.tokens[:known]
        slot.is_free, slot.request = False, request
        return slot

    def _place(self, richest: Slot, known: int) -> Slot:
        """The richest slot where the prompt goes on with it, else the free one that was used longest ago."""
        enough = len(richest.tokens) * (_KEPT_SHARE if self._model.keeps_every_position else 1)
        if richest.is_free and known and known >= enough:
            return richest
        return min((slot for slot in self._slots if slot.is_free), key=lambda slot: slot.last_used)

    def release(self, slot: Slot) -> None:
        """The request is over; what the slot holds stays, as long as there is room."""
        slot.is_free = True
        slot.last_used = time.perf_counter()

    def roll_back(self, slot: Slot, read: Sequence) -> None:
        """Remove what an aborted step left; all, where the model's memory cannot be cut."""
        if not self.context.forget(slot.sequence, read.position(len(slot.tokens))):
            self.clear(slot)

    def clear(self, slot: Slot) -> None:
        """Forget all of a slot's tokens."""
        if self._context is not None:
            self._context.forget_all(slot.sequence)
        slot.tokens = []

    def _cut(self, slot: Slot, prompt: Sequence, length: int) -> None:
        """Forget a slot's tokens from `length` on; all of them where the model's memory cannot be cut."""
        if length < len(slot.tokens):
            if length and self.context.forget(slot.sequence, prompt.position(length)):
                slot.tokens = slot.tokens[:length]
            else:
                self.clear(slot)

    # Room

    def reserve(self, cells: int) -> None:
        """Have at least this many cells, as far as the limit allows.

        Raises:
            ContextTooLarge: There is no memory for it; what there was stands.
        """
        cells = min(-(-cells // _CONTEXT_STEP_TOKENS) * _CONTEXT_STEP_TOKENS, self._limit)
        old = self._context
        if old is not None and old.tokens >= cells:
            return
        if self._model.is_offloaded:  # a device has no room for the old cache beside the new one
            cells = self._limit
        elif old is not None:
            cells = min(max(cells, old.tokens * 2), self._limit)
        self._renew(cells)

    def _renew(self, cells: int) -> None:
        """Have a context of so many cells in the place of the one there, with what that holds."""
        old = self._context
        if old is not None and self._model.is_offloaded:
            self._replace(old, cells)
            return
        new = self._context_of(cells)
        if old is not None:
            for slot in self._slots:
                self._move(slot, old.copy_state(slot.sequence) if slot.tokens else None, new)
            old.close()
        self._context = new

    def _replace(self, old: Context, cells: int) -> None:
        """The same where a device has no room for both: what the old one holds waits on the machine meanwhile."""
        states = [old.copy_state(slot.sequence) if slot.tokens else None for slot in self._slots]
        old.close()
        self._context = None
        self._context = self._context_of(cells)
        for slot, state in zip(self._slots, states, strict=True):
            self._move(slot, state, self._context)

    def _context_of(self, cells: int) -> Context:
        context = Context(
            self._model,
            tokens=cells,
            slots=len(self._slots),
            threads=self._threads,
            abort=self._abort,
            on_tensor=self._routing.callback if self._routing else None,
        )
        self._adapters.put_over(context)
        return context

    @staticmethod
    def _move(slot: Slot, state: object, new: Context) -> None:
        """Give a slot's cells to a new context; what it does not take is read again."""
        if state is not None and not new.restore_state(slot.sequence, state):
            new.forget_all(slot.sequence)
            slot.tokens = []

    def make_room(self) -> bool:
        """Add cells, or forget the slot that was idle longest; False when nothing is left to try."""
        return self._grow() or self._forget_idle()

    def _grow(self) -> bool:
        if self.context.tokens >= self._limit:
            return False
        try:
            self.reserve(self.context.tokens + _CONTEXT_STEP_TOKENS)
        except ContextTooLarge:
            return False
        return True

    def _forget_idle(self) -> bool:
        idle = [slot for slot in self._slots if slot.is_free and slot.tokens]
        if idle:
            self.clear(min(idle, key=lambda slot: slot.last_used))
        return bool(idle)

    # Files

    def save(self, request: int, path: str) -> int:
        """Write what a finished request left to a file; its tokens, 0 where there is nothing or it cannot be written."""
        for slot in self._slots:
            if slot.request == request and slot.is_free and slot.tokens:
                return len(slot.tokens) if self.context.save_state(slot.sequence, slot.tokens, path) else 0
        return 0

    def load(self, path: str, spare_tokens: int) -> int:
        """Read a file into an idle slot, with room for more tokens; its tokens, 0 where it does not fit.

        Raises:
            OSError: The file cannot be read.
            ContextTooLarge: There is no memory for it.
        """
        slot = next((slot for slot in self._slots if slot.is_free and not slot.tokens), None)
        if slot is None:
            return 0
        self.reserve(tokens_in_state(path) + spare_tokens)
        slot.tokens = self.context.load_state(slot.sequence, path) or []
        if not slot.tokens:
            self.clear(slot)
        slot.last_used = time.perf_counter()
        return len(slot.tokens)


def _routing(experts: int) -> "Routing":
    from hychat.engine.llama.routing import Routing  # brings numpy, and few look

    return Routing(experts)


def _common_prefix(first: list[int], second: list[int]) -> int:
    """How many tokens two sequences have in common at their start."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return sum(takewhile(bool, map(eq, first, second)))
