"""Lays a block out in rows."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment

from hychat.tui.markdown.block import Block, Container, Kind
from hychat.tui.markdown.code import code_rows
from hychat.tui.markdown.inline import spans_of
from hychat.tui.markdown.look import Look, Row, Span
from hychat.tui.markdown.table import table_rows
from hychat.tui.markdown.wrapping import wrap

_NARROWEST: Final = 4
"""Cells that are left to a block inside of its containers: the outer ones are not shown where there is no room."""
_BAR: Final = "▎ "
_BULLET: Final = "•"
_TASK_BOXES: Final = {False: "☐", True: "☑"}


def rows(block: Block, width: int, look: Look) -> list[Row]:
    """The rows of a block, none wider than `width` (at least 10) cells.

    The empty row above a block that opens is not among them; the one within a quote or an item is.
    """
    first, others = _prefixes(block, width, look)
    room = width - sum(segment.cell_length for segment in first)
    result = [Row(_bars(block, others))] if block.is_spaced else []
    is_code = block.kind is Kind.CODE and not block.continues
    for number, segments in enumerate(_inner_rows(block, room, look)):
        result.append(Row([*(others if number else first), *segments], copies=is_code and not number))
    return result


def _inner_rows(block: Block, room: int, look: Look) -> Iterator[list[Segment]]:
    """The rows without the marks of the block's containers."""
    if block.kind is Kind.CODE:
        return code_rows(block, room, look)
    if block.table:
        return table_rows(block, block.table, room, look)
    if block.kind is Kind.RULE:
        return iter([[Segment("─" * room, look.rule)]])
    return _segments(wrap(_spans(block, look), room))


def _spans(block: Block, look: Look) -> Sequence[Span]:
    if block.kind is Kind.MATH:
        return [(block.source.replace("\t", "    "), look.text)]
    return spans_of(block.source, look, look.text + look.heading if block.kind is Kind.HEADING else look.text)


def _segments(lines: Sequence[Sequence[Span]]) -> Iterator[list[Segment]]:
    for line in lines:
        yield [Segment(text, style) for text, style in line if text]


def _prefixes(block: Block, width: int, look: Look) -> tuple[list[Segment], list[Segment]]:
    """What the containers put before the first row and before all others: one segment each, equally wide."""
    first: list[Segment] = []
    others: list[Segment] = []
    room = width - _NARROWEST
    for index in range(len(block.containers) - 1, -1, -1):
        container = block.containers[index]
        label = _BAR if container.is_quote else _label(container) + " "
        n_cells = cell_len(label)
        room -= n_cells
        if room < 0:
            break
        style = look.quote_bar if container.is_quote else look.bullet
        rest = Segment(label, style) if container.is_quote else Segment(" " * n_cells, look.text)
        first.insert(0, rest if index < block.n_shared else Segment(label, style))
        others.insert(0, rest)
    return first, others


def _label(container: Container) -> str:
    if container.is_done is not None:
        return _TASK_BOXES[container.is_done]
    return _BULLET if container.number is None else f"{container.number}."


def _bars(block: Block, prefix: Sequence[Segment]) -> list[Segment]:
    """The empty row above: the bars of the quotes that go on."""
    n_new = len(block.containers) - block.n_shared
    return list(prefix[: max(len(prefix) - n_new, 0)])
