"""Only what is looked at is laid out, and what is seen is right all the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment

from hychat.tui.column import Column, Part, Row
from hychat.tui.looks import Looks


@dataclass(eq=False)
class _Part:
    texts: Sequence[str]
    guessed: int
    times_laid_out: int = 0

    def guess(self, width: int) -> int:  # noqa: ARG002 - a part's
        return self.guessed

    def rows(self, width: int, looks: Looks) -> list[Row]:  # noqa: ARG002 - a part's
        self.times_laid_out += 1
        return [Row((Segment(text),)) for text in self.texts]


@dataclass(eq=False)
class _Entry:
    made_of: list[_Part]
    guessed: int = 1
    extra: list[_Part] = field(default_factory=list)

    def guess(self, width: int) -> int:  # noqa: ARG002 - an entry's
        return self.guessed

    def parts(self) -> list[Part]:
        return [*self.made_of, *self.extra]


_counts = st.integers(min_value=1, max_value=9)
_entries = st.lists(
    st.tuples(st.lists(st.tuples(_counts, _counts), min_size=1, max_size=4), _counts), min_size=1, max_size=12
)


def _made(shape: list[tuple[list[tuple[int, int]], int]]) -> list[_Entry]:
    return [
        _Entry(
            [
                _Part([f"{nth}.{part}.{row}" for row in range(rows)], guessed)
                for part, (rows, guessed) in enumerate(parts)
            ],
            guess,
        )
        for nth, (parts, guess) in enumerate(shape)
    ]


def _all_rows(entries: list[_Entry]) -> list[str]:
    return [text for entry in entries for text in (*(row for part in entry.made_of for row in part.texts), "")]


def _window(column: Column, top: int, rows: int) -> list[str]:
    return [column.row(y).text for y in range(top, min(top + rows, column.height))]


def _is_slice(part: list[str], whole: list[str]) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole)))


@given(_entries, st.integers(min_value=0, max_value=60), st.integers(min_value=1, max_value=20))
def test_a_window_anywhere_shows_rows_that_follow_one_another(
    shape: list[tuple[list[tuple[int, int]], int]], top: int, rows: int
) -> None:
    entries = _made(shape)
    column = Column()
    column.show(entries)
    top = column.settle(top, rows)
    assert _is_slice(_window(column, top, rows), _all_rows(entries))


@given(_entries, st.integers(min_value=1, max_value=20))
def test_the_end_is_the_end(shape: list[tuple[list[tuple[int, int]], int]], rows: int) -> None:
    entries = _made(shape)
    column = Column()
    column.show(entries)
    top = column.settle_end(rows)
    assert _window(column, top, rows) == _all_rows(entries)[-rows:]


@given(_entries, st.integers(min_value=1, max_value=12))
def test_reading_back_row_by_row_passes_every_row_once(
    shape: list[tuple[list[tuple[int, int]], int]], rows: int
) -> None:
    entries = _made(shape)
    column = Column()
    column.show(entries)
    top = column.settle_end(rows)
    seen = _window(column, top, rows)
    while top > 0:
        top = column.settle(top - 1, rows, from_below=True)
        seen.insert(0, column.row(top).text)
    assert seen == _all_rows(entries)


def test_what_is_not_seen_is_not_laid_out() -> None:
    entries = [_Entry([_Part(["a", "b"], 2)], 2) for _nth in range(1000)]
    column = Column()
    column.show(entries)
    column.settle_end(10)
    assert sum(part.times_laid_out for entry in entries for part in entry.made_of) < 10


def test_a_growing_entry_is_laid_out_anew_at_its_end_only() -> None:
    entry = _Entry([_Part(["a"], 1), _Part(["b"], 1)])
    column = Column()
    column.show([entry])
    column.settle_end(10)
    entry.extra.append(_Part(["c"], 1))
    column.refresh(entry)
    top = column.settle_end(10)
    assert _window(column, top, 10) == ["a", "b", "c", ""]
    assert [part.times_laid_out for part in entry.made_of] == [1, 1]
