"""Reads Markdown line by line into blocks, as CommonMark does, with the tables and task lists of GitHub.

Nothing is looked up ahead, so that a text can grow at its end. One thing is more forgiving than CommonMark: a fence in
a list item goes on to its closing fence, even where the model forgot to indent the code.
"""

import re
from typing import Final

from hychat.tui.markdown.block import Block, Container, Kind, Table
from hychat.tui.markdown.cells import alignments_of, split_cells
from hychat.tui.markdown.leaf import LONGEST_LINES, LONGEST_TEXT, MOST_LINES, Leaf

_CODE_INDENT: Final = 4
"""Columns that make a line code."""
_STARTS: Final = frozenset("#>`~-*+_=|:$\\0123456789")
"""What a line begins with that may be more than text."""
_QUOTE: Final = re.compile(r"[ ]{0,3}> ?")
_ITEM: Final = re.compile(r"(?:(?P<bullet>[-+*])|(?P<number>\d{1,9})(?P<delimiter>[.)]))(?P<space>[ \t]+|$)")
_TASK: Final = re.compile(r"\[(?P<mark>[ xX])\][ \t]+")
_HEADING: Final = re.compile(r"(?P<marks>#{1,6})(?:[ \t]+|$)")
_CLOSING_MARKS: Final = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_UNDERLINE: Final = re.compile(r"(?:=+|-+)[ \t]*$")
_RULE: Final = re.compile(r"([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_FENCE: Final = re.compile(r"(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)")
_MATH: Final = {"$$": "$$", r"\[": r"\]"}
"""What opens display math, and what closes it."""


class Scanner:
    """Where the reading of a text stands. A block is given up to `blocks` once no later line can change it."""

    __slots__ = ("_before", "_containers", "_is_after_blank", "_n_shared", "blocks", "leaf")

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.leaf: Leaf | None = None
        """What the last line belongs to, while it can go on."""
        self._containers: tuple[Container, ...] = ()
        self._before: tuple[Container, ...] = ()
        """Containers of the block that was given up last."""
        self._n_shared = 0
        """How many of the containers have been open since then."""
        self._is_after_blank = False

    def copy(self) -> "Scanner":
        """Another one that stands at the same place, with no blocks yet."""
        other = Scanner()
        other.leaf = self.leaf.copy() if self.leaf else None
        other._containers = self._containers
        other._before = self._before
        other._n_shared = self._n_shared
        other._is_after_blank = self._is_after_blank
        return other

    def read(self, line: str) -> None:
        """Read a line, or as much of a line as is longer than any piece."""
        depth, rest = self._enter(line) if self._containers else (0, line)
        if self.leaf and depth == len(self._containers) and self._read_on(self.leaf, rest):
            return
        if not rest or rest.isspace():
            self._read_blank(depth)
        else:
            self._read_block(depth, rest)

    def go_on(self, text: str) -> None:
        """Read more of the same line."""
        if self.leaf:
            self.leaf.text += text
            self._take_pieces(self.leaf)

    def end_line(self) -> None:
        """End what is never longer than a line."""
        if self.leaf and self.leaf.kind is Kind.HEADING:
            self._end_leaf()

    def end(self) -> None:
        """End the text."""
        self._close(0)

    def _enter(self, line: str) -> tuple[int, str]:
        """How many of the open containers hold the line, and what it is without their marks."""
        is_fenced = self.leaf is not None and self.leaf.fence != ""
        for depth, container in enumerate(self._containers):
            if container.is_quote:
                if not (mark := _QUOTE.match(line)):
                    return depth, line
                line = line[mark.end() :]
            elif is_fenced or _indent(line) >= container.indent or not line.strip():
                line = _dedent(line, container.indent)
            else:
                return depth, line
        return len(self._containers), line

    def _read_on(self, leaf: Leaf, rest: str) -> bool:
        """Read a line of code or math; False if it is none."""
        if leaf.kind is Kind.CODE:
            return self._read_fenced(leaf, rest) if leaf.fence else self._read_indented(leaf, rest)
        if leaf.kind is not Kind.MATH or not rest or rest.isspace():
            return False
        self._add_line(leaf, rest)
        if len(rest) <= LONGEST_TEXT and leaf.fence in rest:
            self._end_leaf()
        return True

    def _read_fenced(self, leaf: Leaf, rest: str) -> bool:
        mark = rest.strip(" \t")
        if mark.startswith(leaf.fence) and not mark.strip(leaf.fence[0]) and _indent(rest) < _CODE_INDENT:
            if not leaf.n_lines:
                self._add_line(leaf, "")
            self._end_leaf()
        else:
            self._add_line(leaf, _dedent(rest, leaf.fence_indent))
        return True

    def _read_indented(self, leaf: Leaf, rest: str) -> bool:
        if not rest or rest.isspace():
            leaf.n_blank_lines += 1
            return True
        if _indent(rest) < _CODE_INDENT:
            self._is_after_blank = leaf.n_blank_lines > 0
            return False
        for _ in range(leaf.n_blank_lines):
            self._add_line(leaf, "")
        leaf.n_blank_lines = 0
        self._add_line(leaf, _dedent(rest, _CODE_INDENT))
        return True

    def _read_blank(self, depth: int) -> None:
        """An empty line ends quotes, paragraphs and tables, and an item that has nothing in it yet."""
        self._close(depth)
        if self._n_shared < len(self._containers):
            self._close(len(self._containers) - 1)
        self._is_after_blank = True

    def _read_block(self, depth: int, rest: str) -> None:
        """Read a line that is not empty: the containers that begin in it, and what they hold."""
        while True:
            text = rest.lstrip(" \t")
            indent = _indent(rest) if len(text) < len(rest) else 0
            if indent >= _CODE_INDENT and not self._is(Kind.PARAGRAPH):
                self._open(depth, Leaf(Kind.CODE), _dedent(rest, _CODE_INDENT))
                return
            if indent >= _CODE_INDENT or text[0] not in _STARTS or (deeper := self._begin(depth, text, indent)) is None:
                self._read_text(depth, text)
                return
            depth, rest = depth + 1, deeper
            if not rest or rest.isspace():
                return

    def _begin(self, depth: int, text: str, indent: int) -> str | None:
        """Begin what the line begins: "" for a whole block, the rest of the line in a container, None for text."""
        if len(text) <= LONGEST_TEXT and self._begin_short(depth, text, indent):
            return ""
        if heading := _HEADING.match(text):
            self._open(depth, Leaf(Kind.HEADING, level=len(heading["marks"])), text[heading.end() :])
            return ""
        if text[0] == ">":
            self._close(depth)
            self._containers += (Container(">"),)
            return text[1:].removeprefix(" ")
        if (item := _ITEM.match(text)) and not self._is_in_sentence(depth, item, text):
            self._close(depth)
            return self._begin_item(depth, item, text[item.end() :], indent)
        return None

    def _begin_short(self, depth: int, text: str, indent: int) -> bool:
        """Begin a block whose first line shows what it is only when it is whole."""
        if self._is(Kind.PARAGRAPH) and depth == len(self._containers) and self._turn(text):
            return True
        if _RULE.match(text):
            self._open(depth, Leaf(Kind.RULE), text)
            self._end_leaf()
        elif fence := _FENCE.match(text):
            language = fence["info"].strip().partition(" ")[0].strip("{}.")
            self._open(depth, Leaf(Kind.CODE, language=language, fence=fence["fence"], fence_indent=indent))
        elif (closing := _MATH.get(text[:2])) and _is_math(text, closing):
            self._open(depth, Leaf(Kind.MATH, fence=closing), text)
            if closing in text[2:]:
                self._end_leaf()
        else:
            return False
        return True

    def _turn(self, text: str) -> bool:
        """Turn the paragraph before into a heading or its last line into the header of a table, if the line says so."""
        leaf = self.leaf
        if leaf is None:
            return False
        above, newline, header = leaf.text.rpartition("\n")
        if "|" in header and (newline or not leaf.is_continued):
            alignments = alignments_of(text)
            if alignments and len(alignments) == len(split_cells(header)):
                leaf.text = above
                table = Leaf(Kind.TABLE, header=header, alignments=alignments)
                if newline:
                    self._end_leaf()
                else:
                    table.is_spaced = leaf.is_spaced
                self.leaf = table
                return True
        if leaf.is_continued or not _UNDERLINE.match(text):
            return False
        leaf.kind, leaf.level = Kind.HEADING, 1 if text[0] == "=" else 2
        self._end_leaf()
        return True

    def _is_in_sentence(self, depth: int, item: re.Match[str], text: str) -> bool:
        """Whether what looks like an item goes on with a paragraph, such as a line that begins with a year."""
        if not self._is(Kind.PARAGRAPH) or depth < len(self._containers):
            return False
        return not text[item.end() :].strip() or item["number"] not in {None, "1"}

    def _begin_item(self, depth: int, item: re.Match[str], rest: str, indent: int) -> str:
        family = item["bullet"] or item["delimiter"]
        n_spaces = len(item["space"].expandtabs(4))
        if not rest.strip() or n_spaces > _CODE_INDENT:
            rest, n_spaces = (item["space"] + rest)[1:], 1
        number = int(item["number"]) if item["number"] else None
        if number is not None and self._is_sibling(depth, family):
            number = (self._before[depth].number or 0) + 1
        is_done = None
        if task := _TASK.match(rest):
            is_done, rest = task["mark"] != " ", rest[task.end() :]
        self._containers += (Container(family, indent + item.start("space") + n_spaces, number, is_done),)
        return rest

    def _is_sibling(self, depth: int, family: str) -> bool:
        """Whether an item of that family at that depth belongs to the list of the block before."""
        return self._n_shared == depth < len(self._before) and self._before[depth].family == family != ">"

    def _read_text(self, depth: int, text: str) -> None:
        """Read a line of text: a paragraph may go on even outside of its containers."""
        if self.leaf and self.leaf.kind is Kind.PARAGRAPH:
            self._add_line(self.leaf, text)
        elif self.leaf and self.leaf.kind is Kind.TABLE and depth == len(self._containers):
            self._add_row(self.leaf, text)
        else:
            self._open(depth, Leaf(Kind.PARAGRAPH), text)

    def _is(self, kind: Kind) -> bool:
        return self.leaf is not None and self.leaf.kind is kind

    def _add_line(self, leaf: Leaf, line: str) -> None:
        leaf.add_line(line)
        self._take_pieces(leaf)

    def _add_row(self, table: Leaf, row: str) -> None:
        if table.n_lines == MOST_LINES or (table.n_lines and len(table.text) + len(row) > LONGEST_LINES):
            self._give_up(table, table.text)
            table.sample = table.text if table.sample is None else table.sample
            table.text, table.n_lines, table.is_continued, table.joins = "", 0, True, "\n"
        table.add_line(row)

    def _take_pieces(self, leaf: Leaf) -> None:
        if leaf.is_long:
            for piece in leaf.take_pieces():
                self._give_up(leaf, piece)

    def _open(self, depth: int, leaf: Leaf, line: str | None = None) -> None:
        """Begin a block in the first `depth` containers."""
        self._close(depth)
        leaf.is_spaced, self._is_after_blank = self._is_after_blank, False
        self.leaf = leaf
        if line is not None:
            self._add_line(leaf, line)

    def _close(self, depth: int) -> None:
        """End the block, and all containers but the first `depth`."""
        self._end_leaf()
        if depth < len(self._containers):
            if self._n_shared < len(self._containers):
                leaf = Leaf(Kind.PARAGRAPH, is_spaced=self._is_after_blank)
                self._is_after_blank = False
                self._give_up(leaf, "")
            self._containers = self._containers[:depth]
            self._n_shared = min(self._n_shared, depth)

    def _end_leaf(self) -> None:
        leaf, self.leaf = self.leaf, None
        if leaf is None:
            return
        if leaf.n_blank_lines:
            self._is_after_blank = True
        if leaf.kind is Kind.HEADING:
            leaf.text = _CLOSING_MARKS.sub("", leaf.text)
        if leaf.text or not leaf.is_continued or leaf.kind is Kind.CODE:
            self._give_up(leaf, leaf.text)

    def _give_up(self, leaf: Leaf, source: str) -> None:
        """Give up what was read of the leaf, as a block."""
        depth = self._n_shared
        is_first = not leaf.is_continued
        has_sibling = depth < len(self._containers) and self._is_sibling(depth, self._containers[depth].family)
        block = Block(
            kind=leaf.kind,
            source=source,
            containers=self._containers,
            n_shared=depth,
            opens=is_first and depth == 0 and (leaf.is_spaced or not has_sibling),
            is_spaced=is_first and depth > 0 and leaf.is_spaced,
            continues=leaf.is_continued,
            joins=leaf.joins,
            language=leaf.language,
            line=leaf.line,
            level=leaf.level,
            table=Table(leaf.header, leaf.alignments, source if leaf.sample is None else leaf.sample)
            if leaf.kind is Kind.TABLE
            else None,
        )
        self.blocks.append(block)
        self._before, self._n_shared = self._containers, len(self._containers)


def _is_math(text: str, closing: str) -> bool:
    """Whether the line opens display math: nothing but a mark of punctuation stands after what closes it."""
    end = text.find(closing, 2)
    return end < 0 or text[end + 2 :].strip() in {"", ".", ","}


def _indent(line: str) -> int:
    """Columns of the white space that a line begins with."""
    space = line[: len(line) - len(line.lstrip(" \t"))]
    return len(space.expandtabs(4)) if "\t" in space else len(space)


def _dedent(line: str, columns: int) -> str:
    """The line without so many columns of the white space that it begins with, if it has so many."""
    column = n_chars = 0
    while column < columns and line[n_chars : n_chars + 1] in {" ", "\t"}:
        column += 4 - column % 4 if line[n_chars] == "\t" else 1
        n_chars += 1
    return " " * (column - columns) + line[n_chars:]
