"""Markdown that is still being written: which of it is finished, and how it looks.

Imports rich (65 ms), so this module is imported where an answer is rendered and nowhere else.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from itertools import accumulate
from typing import Any, ClassVar, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, ListElement, ListItem, Markdown, MarkdownContext, MarkdownElement
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text
from rich.theme import Theme

from hychat.domain.text import printable

NARROWEST_COLUMNS: Final = 10
"""Room for text that is left inside all indents, be it wider than the terminal: rich drops what has no room."""
INDENT_COLUMNS: Final = 4
"""The most that one list or quote takes."""
DEEPEST_NESTING: Final = 60
"""Blocks in blocks that are read; what lies deeper is not shown."""

_SPACES_AT_END: Final = re.compile(r"(?: |\x1b\[[\d;]*m +\x1b\[0m)++$")
_LISTS: Final = frozenset({"bullet_list_open", "ordered_list_open"})
_CODE_BLOCKS: Final = frozenset({"fence", "code_block"})
_INDENTING: Final = _LISTS | {"bullet_list_close", "ordered_list_close", "blockquote_open", "blockquote_close"}
_LINES: Final = "lines"
"""Key in a code token's `meta`: the first and last of its lines to show, counted from 1; None for the end."""

# Tags stay visible as text. An image becomes a link, so that its address is not lost; `<https://...>` is read as it is.
_PARSER: Final = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST_NESTING})
_PARSER.enable(["table", "strikethrough"]).disable(["image", "autolink"])


@dataclass(frozen=True, slots=True)
class Unit:
    """What is laid out at once: a block, one item of a list, or some lines of a code block."""

    tokens: Sequence[Token]
    line: int
    """Where it begins in the text, counted from 0."""
    opens_block: bool = True
    """False for all items of a list but the first, and for code lines that follow others."""


class GrowingMarkdown:
    """A Markdown text that grows at its end, and gives up its units as soon as no later text can change them.

    CommonMark reads blocks line by line, so of the blocks in the whole lines only the last can still change; of a list
    only the last item, since loose and tight lists look alike here. One exception is accepted: a link reference that is
    defined below its use stays literal where the use was already shown.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._references: dict[str, Any] = {}
        self._number: int | None = None
        """The number of the item that the pending text begins with, where items before it were given up."""
        self._lines_taken = 0
        """How many lines were given up of the code block that the pending text begins with."""

    def feed(self, text: str) -> None:
        """Add the next piece."""
        self._pending += text

    def take_finished(self) -> list[Unit]:
        """What can no longer change; it is given up once."""
        units, references = self._parse(self._whole_lines())
        if len(units) < 2:  # noqa: PLR2004 - only the last can change
            return []
        last = units.pop()
        self._references = references
        self._pending = self._pending.split("\n", last.line)[last.line]
        self._number = None if last.opens_block else int(last.tokens[0].attrs["start"])
        self._lines_taken = 0
        return units

    def take_code(self, keep: int) -> list[Unit]:
        """All lines but the last `keep` of a code block that is being written; they are given up once.

        Only their colours could still change, where a comment or string that began in them is closed later.
        """
        units, _ = self._parse(self._whole_lines())
        if len(units) != 1 or units[0].tokens[0].type != "fence":
            return []
        fence = units[0].tokens[0]
        last = _code(fence.content).count("\n") + 1 - keep
        if last <= self._lines_taken:
            return []
        fence.meta = {_LINES: (self._lines_taken + 1, last)}
        self._lines_taken = last
        return units

    def rest(self) -> list[Unit]:
        """All that was not given up, as it reads now."""
        return self._parse(self._pending)[0]

    def _whole_lines(self) -> str:
        return self._pending[: self._pending.rfind("\n") + 1]

    def _parse(self, text: str) -> tuple[list[Unit], dict[str, Any]]:
        """The units of the text where it stands, and the link references known after it."""
        env: dict[str, Any] = {"references": dict(self._references)}
        tokens = _PARSER.parse(text, env)
        if self._number is not None:
            tokens[0].attrs["start"] = self._number
        if self._lines_taken:
            tokens[0].meta = {_LINES: (self._lines_taken + 1, None)}
        units = [unit for block in _blocks(tokens) for unit in _units(block)]
        if self._number is not None or self._lines_taken:
            units[0] = replace(units[0], opens_block=False)
        return units, env["references"]


def _blocks(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens of each top-level block."""
    start = 0
    for end, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[start:end]
            start = end


def _units(block: Sequence[Token]) -> Iterator[Unit]:
    """The block itself, or the items of a list, each as a list of its own."""
    if block[0].type not in _LISTS:
        yield Unit(block, _first_line(block[0]))
        return
    first_number = int(block[0].attrs.get("start", 1))
    starts = [i for i, token in enumerate(block) if token.level == 1 and token.nesting == 1]
    for nth, (start, end) in enumerate(zip(starts, [*starts[1:], len(block) - 1], strict=True)):
        opening = block[0].copy(attrs={"start": first_number + nth})
        yield Unit([opening, *block[start:end], block[-1]], _first_line(block[start]), opens_block=nth == 0)


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _code(content: str) -> str:
    """The content of a code block as it is shown."""
    return content.rstrip()


class Renderer:
    """Lays Markdown out in rows of a terminal."""

    def __init__(self, *, has_colour: bool) -> None:
        self._markdown = _Markdown("", hyperlinks=False)
        self._console = Console(
            file=StringIO(),
            force_terminal=True,
            force_jupyter=False,
            legacy_windows=False,
            no_color=not has_colour,
            theme=_THEME,
        )

    def rows(self, units: Sequence[Unit], columns: int, *, is_first: bool = False) -> list[str]:
        """The units as rows with SGR sequences, without newlines and without spaces at their ends.

        An empty row goes before each block, unless it is the first of the whole text.
        """
        rows: list[str] = []
        for unit in units:
            more = self._rows_of(unit, columns)
            if more and unit.opens_block and (rows or not is_first):
                rows.append("")
            rows += more
        return rows

    def _rows_of(self, unit: Unit, columns: int) -> list[str]:
        self._markdown.parsed = [_shown(token) for token in unit.tokens]
        self._console.width = max(columns, INDENT_COLUMNS * _depth(unit.tokens) + NARROWEST_COLUMNS)
        with self._console.capture() as captured:
            self._console.print(self._markdown)
        rows = [_SPACES_AT_END.sub("", row) for row in captured.get().split("\n")[:-1]]
        return rows if unit.tokens[0].type in _CODE_BLOCKS else _without_empty_ends(rows)


def _depth(tokens: Sequence[Token]) -> int:
    """How many lists and quotes stand in one another at most."""
    return max(accumulate((token.nesting for token in tokens if token.type in _INDENTING), initial=0))


def _without_empty_ends(rows: list[str]) -> list[str]:
    """The rows without the empty ones that rich puts around some blocks, depending on what stands before them."""
    filled = [i for i, row in enumerate(rows) if row]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def _shown(token: Token) -> Token:
    """The token with the line breaks that the model wrote, and without the controls that it wrote as entities."""
    for child in token.children or ():
        if child.type == "softbreak":
            child.type = "hardbreak"
        child.content = printable(child.content)
    return token


class _Code(CodeBlock):
    """Code in the terminal's own colours, with no margins: what is copied from the terminal is the code."""

    lines: tuple[int, int | None] | None = None

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> "_Code":
        code = cls(token.info.partition(" ")[0] or "text", markdown.code_theme)
        code.lines = token.meta.get(_LINES)
        return code

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = _code(str(self.text))
        if not code:
            return
        yield Syntax(
            code,
            _lexer(self.lexer_name),
            theme=_CODE_THEME,
            background_color="default",
            word_wrap=True,
            line_range=self.lines,
        )


@cache
def _lexer(name: str) -> Any:
    """The highlighter of a language. An unknown name is looked up among all installed packages, so it is kept too."""
    return Syntax("", name).lexer or "text"


class _List(ListElement):
    """A list whose items are laid out alike whatever follows them: rich indents by the number of the last one."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.list_type == "bullet_list_open":
            yield from super().__rich_console__(console, options)
            return
        for number, item in enumerate(self.items, self.list_start or 0):
            yield from item.render_number(console, options, number, max(number, 10))


class _Item(ListItem):
    """An item that shows its bullet even while it is empty."""

    is_empty = True

    def on_child_close(self, context: MarkdownContext, child: MarkdownElement) -> bool:
        self.is_empty = False
        return super().on_child_close(context, child)

    def on_leave(self, context: MarkdownContext) -> None:
        if self.is_empty:
            self.elements.append(Text())
        super().on_leave(context)


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "bullet_list_open": _List,
        "ordered_list_open": _List,
        "list_item_open": _Item,
    }


_THEME: Final = Theme(
    {
        # rich gives these a black background, a hole in a light terminal
        "markdown.code": Style(color="cyan", bold=True),
        "markdown.code_block": Style(),
    }
)

# Palette colours that can be read on black and on white; the keys are Pygments' token types.
_CODE_THEME: Final = ANSISyntaxTheme(
    {
        ("Text",): Style(color="cyan"),  # code in no language, words of a shell command: else they look like prose
        ("Comment",): Style(dim=True, italic=True),
        ("Keyword",): Style(color="magenta"),
        ("Operator", "Word"): Style(color="magenta"),
        ("Name", "Builtin"): Style(color="cyan"),
        ("Name", "Class"): Style(bold=True),
        ("Name", "Decorator"): Style(color="cyan"),
        ("Name", "Function"): Style(bold=True),
        ("Name", "Tag"): Style(color="magenta"),
        ("Name", "Attribute"): Style(color="cyan"),
        ("Literal", "String"): Style(color="green"),
        ("Literal", "Number"): Style(color="cyan"),
        ("Generic", "Deleted"): Style(color="red"),
        ("Generic", "Inserted"): Style(color="green"),
        ("Generic", "Heading"): Style(bold=True),
    }
)
