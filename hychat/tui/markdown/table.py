"""Tables: columns side by side where there is room, else one line a cell."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from hychat.tui.markdown.block import Alignment, Block, Table
from hychat.tui.markdown.cells import split_cells
from hychat.tui.markdown.inline import plain_of, spans_of
from hychat.tui.markdown.leaf import MOST_LINES
from hychat.tui.markdown.look import Look, Span
from hychat.tui.markdown.wrapping import wrap

_GAP: Final = "  "
_NARROWEST_COLUMN: Final = 8
"""Cells; where a column would have less, the cells of a row stand below one another."""
_GROWTH: Final = 3
"""Cells more for a column whose table may go on: numbers grow down the rows."""
_LINE_BREAK: Final = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)


def table_rows(block: Block, table: Table, width: int, look: Look) -> Iterator[list[Segment]]:
    """The rows of a piece of a table: its columns are as wide as those of all other pieces."""
    records = [_cells(row, len(table.alignments)) for row in block.source.split("\n")] if block.source else []
    widths = _fit(_natural_widths(table), width - len(_GAP) * (len(table.alignments) - 1))
    if widths is None:
        yield from _stacked(block, table, records, width, look)
        return
    columns = list(zip(widths, table.alignments, strict=True))
    if not block.continues:
        header = _cells(table.header, len(columns))
        yield from _side_by_side(header, columns, look, look.text + look.table_header)
        yield [Segment("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)), look.rule)]
    for record in records:
        yield from _side_by_side(record, columns, look, look.text)


def _cells(row: str, n_columns: int) -> list[str]:
    """The cells of a row; what has no column goes to the last."""
    cells = [_LINE_BREAK.sub("\n", cell) if "<" in cell else cell for cell in split_cells(row)]
    if len(cells) > n_columns:
        cells[n_columns - 1 :] = [" | ".join(cells[n_columns - 1 :])]
    return cells + [""] * (n_columns - len(cells))


@lru_cache(maxsize=64)
def _natural_widths(table: Table) -> tuple[int, ...]:
    """Cells that each column would take."""
    n_columns = len(table.alignments)
    rows = [_cells(row, n_columns) for row in (table.header, *table.sample.split("\n"))]
    growth = _GROWTH if len(rows) > MOST_LINES else 0
    return tuple(max(map(_width, column)) + growth for column in zip(*rows, strict=True))


def _width(cell: str) -> int:
    return max(map(cell_len, plain_of(cell).split("\n")), default=0)


def _fit(natural: Sequence[int], room: int) -> tuple[int, ...] | None:
    """The widths within the room: narrow columns keep theirs, wide ones share the rest; None if that is too little."""
    widths = [0] * len(natural)
    n_left = len(natural)
    for column in sorted(range(len(natural)), key=natural.__getitem__):
        share = room // n_left
        if share < max(min(natural[column], _NARROWEST_COLUMN), 1):
            return None
        widths[column] = max(min(natural[column], share), 1)
        room -= widths[column]
        n_left -= 1
    return tuple(widths)


def _side_by_side(
    cells: Sequence[str], columns: Sequence[tuple[int, Alignment]], look: Look, style: Style
) -> Iterator[list[Segment]]:
    wrapped = [wrap(spans_of(cell, look, style), width) for cell, (width, _) in zip(cells, columns, strict=True)]
    for lines in zip_longest(*wrapped, fillvalue=()):
        row: list[Span] = []
        for index, (line, (width, alignment)) in enumerate(zip(lines, columns, strict=True)):
            n_free = width - sum(cell_len(text) for text, _ in line)
            n_before = {"left": 0, "center": n_free // 2, "right": n_free}[alignment]
            is_last = index == len(columns) - 1
            row += [(" " * n_before, style), *line]
            row.append(("" if is_last else " " * (n_free - n_before) + _GAP, style))
        yield [Segment(text, style) for text, style in row if text]


def _stacked(
    block: Block, table: Table, records: Sequence[Sequence[str]], width: int, look: Look
) -> Iterator[list[Segment]]:
    """Each cell on a line of its own, after what its column is called."""
    headers = _cells(table.header, len(table.alignments))
    names = [spans_of(header, look, look.text + look.table_header) for header in headers]
    if not records and not block.continues:
        records = [[""] * len(names)]
    for number, record in enumerate(records):
        if number or block.continues:
            yield []
        for name, cell in zip(names, record, strict=True):
            spans = [*name, (": ", look.text), *spans_of(cell, look, look.text)]
            for line in wrap(spans, width):
                yield [Segment(text, style) for text, style in line]
