"""What Markdown consists of, in pieces so small that each is laid out in about a millisecond."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Alignment = Literal["left", "center", "right"]


class Kind(StrEnum):
    """What a block is."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    CODE = "code"
    MATH = "math"
    TABLE = "table"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Container:
    """A quote or an item of a list that a block stands in."""

    family: str
    """What it begins with: `>` a quote; `-`, `*`, `+`, `.` and `)` an item. Items of one list have the same."""
    indent: int = 0
    """Columns that the lines of an item are indented by."""
    number: int | None = None
    """Of an item in an ordered list."""
    is_done: bool | None = None
    """Of an item in a list of tasks."""

    @property
    def is_quote(self) -> bool:
        """Whether it is a quote, else it is an item."""
        return self.family == ">"


@dataclass(frozen=True, slots=True)
class Table:
    """What all pieces of a table have in common."""

    header: str
    """The row above the line of dashes."""
    alignments: tuple[Alignment, ...]
    """One a column."""
    sample: str
    """The rows of the first piece, which decide how wide the columns are."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, a code block or the like, or a piece of one that is long."""

    kind: Kind
    source: str
    """Its text, without what its containers, fences or heading marks add to it."""
    containers: tuple[Container, ...] = ()
    """The outermost first."""
    n_shared: int = 0
    """How many of the containers hold the block before as well; the others begin with this block."""
    opens: bool = True
    """Whether an empty row goes before it, unless it is the first of all."""
    is_spaced: bool = False
    """Whether an empty row goes before it inside of the containers that it shares with the block before."""
    continues: bool = False
    """Whether it is a piece of a long block that began earlier."""
    joins: str = ""
    """What stands between the piece before and this one in the text: a newline, a space or nothing."""
    language: str = ""
    """Of code, as the fence names it."""
    line: int = 1
    """Of code: the number of its first line in the whole code block."""
    level: int = 0
    """Of a heading: 1 to 6."""
    table: Table | None = None


def code_of(blocks: Sequence[Block], index: int) -> str:
    """The whole code of the block that the piece at `index` belongs to, without a newline at its end."""
    first = index
    while blocks[first].continues:
        first -= 1
    code = [blocks[first].source]
    for block in blocks[first + 1 :]:
        if not block.continues:
            break
        code += (block.joins, block.source)
    return "".join(code)
