"""The transcript as one column of rows, of which only what is looked at is laid out; the heights of the rest are guessed.

An entry (a question, an answer) is made of parts, each small enough to be laid out in about a millisecond. A conversation of
thousands of messages opens as fast as an empty one: its entries are not even cut into parts before they come into view.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Protocol

from rich.segment import Segment

from hychat.tui.looks import Looks


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen, without its margin."""

    segments: Sequence[Segment] = ()
    is_marked: bool = False
    """Whether the bar stands before it."""
    is_band: bool = False
    """Whether a band lies behind it, from edge to edge."""

    @property
    def text(self) -> str:
        """What is to be read."""
        return "".join(segment.text for segment in self.segments)


class Part(Protocol):
    """The least that is laid out at once. What changes is another part."""

    def guess(self, width: int) -> int:
        """How many rows it may have."""
        ...

    def rows(self, width: int, looks: Looks) -> Sequence[Row]:
        """Its rows, each at most `width` cells wide."""
        ...


class Entry(Protocol):
    """What stands in the column, one under another, an empty row between."""

    def guess(self, width: int) -> int:
        """How many rows it may have; quick."""
        ...

    def parts(self) -> Sequence[Part]:
        """What it is made of; those that did not change are the same objects."""
        ...


@dataclass(slots=True)
class _Slab:
    """A part, and its rows once it was looked at."""

    part: Part
    height: int
    rows: Sequence[Row] | None = None


@dataclass(slots=True)
class _Stack:
    """An entry, and its parts once it was looked at."""

    entry: Entry
    height: int
    slabs: list[_Slab] | None = None


class _Place(NamedTuple):
    """Where a row stands."""

    stack: int
    slab: int
    offset: int
    """Rows above it in its slab."""


class PartAt(NamedTuple):
    """The nth part of an entry."""

    entry: Entry
    nth: int


@dataclass(slots=True)
class Column:
    """All entries, at one width."""

    width: int = 80
    looks: Looks = field(default_factory=Looks)
    _stacks: list[_Stack] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)
    """Where each stack ends, the empty row under it included."""

    @property
    def height(self) -> int:
        """Rows of all, as far as is known."""
        return self._ends[-1] if self._ends else 0

    @property
    def entries(self) -> list[Entry]:
        """All entries, from the top."""
        return [stack.entry for stack in self._stacks]

    def show(self, entries: Sequence[Entry]) -> None:
        """Have these entries; those that were there keep their rows."""
        known = {id(stack.entry): stack for stack in self._stacks}
        self._stacks = [known.get(id(entry)) or _Stack(entry, entry.guess(self.width)) for entry in entries]
        self._measure()

    def lay_out_anew(self, width: int, looks: Looks) -> None:
        """Take another width, or other looks."""
        self.width, self.looks = width, looks
        self._stacks = [_Stack(stack.entry, stack.entry.guess(width)) for stack in self._stacks]
        self._measure()

    def refresh(self, entry: Entry) -> None:
        """Take the parts of an entry that changed."""
        for stack in reversed(self._stacks):
            if stack.entry is entry:
                self._take_parts(stack)
                self._measure()
                return

    def top_of(self, entry: Entry) -> int:
        """The row that an entry begins at; 0 where it is not here."""
        for stack, end in zip(self._stacks, self._ends, strict=True):
            if stack.entry is entry:
                return end - stack.height - 1
        return 0

    def part_at(self, y: int) -> PartAt | None:
        """Where a row is to be found again when everything was laid out anew."""
        place, entry = self._place(y), self.entry_at(y)
        return PartAt(entry, place.slab if place else 0) if entry else None

    def row_of(self, part: PartAt) -> int:
        """The first row of a part."""
        for stack in self._stacks:
            if stack.entry is part.entry:
                if stack.slabs is None:
                    self._take_parts(stack)
                    self._measure()
                return self.top_of(part.entry) + sum(slab.height for slab in (stack.slabs or [])[: part.nth])
        return 0

    def entry_at(self, y: int) -> Entry | None:
        """The entry that a row belongs to."""
        index = bisect_right(self._ends, y)
        return self._stacks[index].entry if index < len(self._stacks) else None

    def row(self, y: int) -> Row:
        """A row that `settle` has laid out; an empty one elsewhere."""
        place = self._place(y)
        if place is None:
            return _EMPTY
        slab = (self._stacks[place.stack].slabs or [])[place.slab]
        rows = slab.rows or ()
        return rows[place.offset] if place.offset < len(rows) else _EMPTY

    def settle(self, top: int, rows: int, *, from_below: bool = False) -> int:
        """Lay out what a window of `rows` rows from `top` on shows; where the window begins after that.

        What is laid out may turn out taller than was guessed. `from_below` where the reader comes from the row under
        `top`: that row then stays under the window's first one.
        """
        top = self._settle_row(max(0, min(top, self.height - 1)), from_below=from_below)
        y = top
        while y < min(top + rows, self.height):
            y = self._settle_below(y)
        return top if top <= self.height - rows else self.settle_end(rows)

    def settle_end(self, rows: int) -> int:
        """Lay out the last rows; where a window begins that shows them."""
        top = -1
        while top != (top := max(0, self.height - rows)):
            y = self.height - 1
            while y >= max(0, self.height - rows):
                y = self._settle_above(y)
        return top

    # Laying out

    def _settle_row(self, y: int, *, from_below: bool) -> int:
        """Lay out the slab that a row belongs to; where the row is then.

        Rows inside what was laid out, and all where the reader comes from below, are counted from its end.
        """
        while True:
            index = bisect_right(self._ends, y)
            if index >= len(self._stacks):
                return max(0, y)
            stack, end = self._stacks[index], self._ends[index]
            if stack.slabs is None:
                begins = end - stack.height - 1
                self._take_parts(stack)
                self._measure()
                if from_below or y > begins:
                    y = max(begins, y + self._ends[index] - end)
                continue
            place = self._place(y)
            if place is None:
                return y
            slab = stack.slabs[place.slab]
            if slab.rows is not None:
                return y
            grown = self._lay_out(stack, slab)
            if from_below or place.offset:
                y = max(y - place.offset, y + grown)

    def _settle_below(self, y: int) -> int:
        """Lay out the slab that a row begins; the row under it."""
        index = bisect_right(self._ends, y)
        if index >= len(self._stacks):
            return y + 1
        stack = self._stacks[index]
        if stack.slabs is None:
            self._take_parts(stack)
            self._measure()
        place = self._place(y)
        if place is None:
            return self._ends[index]
        slab = (stack.slabs or [])[place.slab]
        if slab.rows is None:
            self._lay_out(stack, slab)
        return y - place.offset + max(1, slab.height)

    def _settle_above(self, y: int) -> int:
        """Lay out the slab that a row ends; the row above it, counted in the column as it is then."""
        index = bisect_right(self._ends, y)
        stack = self._stacks[index]
        before = self._ends[index]
        if stack.slabs is None:
            self._take_parts(stack)
            self._measure()
            y += self._ends[index] - before
        place = self._place(y)
        if place is None:
            return y - 1
        slab = (stack.slabs or [])[place.slab]
        begins = y - place.offset
        if slab.rows is None:
            self._lay_out(stack, slab)
        return begins - 1

    def _take_parts(self, stack: _Stack) -> None:
        known = {id(slab.part): slab for slab in stack.slabs or ()}
        stack.slabs = [known.get(id(part)) or _Slab(part, part.guess(self.width)) for part in stack.entry.parts()]
        stack.height = sum(slab.height for slab in stack.slabs)

    def _lay_out(self, stack: _Stack, slab: _Slab) -> int:
        """Have a slab's rows; by how many it is taller than was guessed."""
        slab.rows = slab.part.rows(self.width, self.looks)
        grown = len(slab.rows) - slab.height
        slab.height += grown
        stack.height += grown
        if grown:
            self._measure()
        return grown

    def _measure(self) -> None:
        self._ends = list(accumulate(stack.height + 1 for stack in self._stacks))

    def _place(self, y: int) -> _Place | None:
        """Where a row stands; None in an empty row between entries, and in what was not looked at."""
        index = bisect_right(self._ends, y)
        if y < 0 or index >= len(self._stacks):
            return None
        stack = self._stacks[index]
        offset = y - (self._ends[index] - stack.height - 1)
        for nth, slab in enumerate(stack.slabs or ()):
            if offset < slab.height:
                return _Place(index, nth, offset)
            offset -= slab.height
        return None


_EMPTY = Row()
