"""Text with emphasis, code, links and math in it."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from rich.style import Style

from hychat.domain.text import printable
from hychat.tui.markdown.look import Look, Span

_MARKS: Final = re.compile(r"[\\`*_~$&\[<]")
"""Text without any of these is nothing but text."""
_LINE_START: Final = re.compile(r"\n[ \t]+")
_MATH: Final = re.compile(
    r"\$\$(?!\$).+?\$\$"
    r"|\$(?![\s$])(?:[^$\\\n]|\\.)*?(?<!\s)\$(?!\d)"  # no math: $5 to $10
    r"|\\\(.+?\\\)"
    r"|\\\[.+?\\\]",
    re.DOTALL,
)


def spans_of(source: str, look: Look, base: Style) -> list[Span]:
    """What a text is shown as, in `base` where it has no style of its own. Newlines stay where the model wrote them."""
    if not _MARKS.search(source):
        return [(_LINE_START.sub("\n", source).replace("\t", "    "), base)]
    children = _PARSER.parseInline(source)[0].children or []
    return [(_shown(text), style) for text, style in _spans(children, look, base)] or [("", base)]


def plain_of(source: str) -> str:
    """What a text is shown as, without styles."""
    return "".join(text for text, _ in spans_of(source, _NO_LOOK, _NO_STYLE))


def _shown(text: str) -> str:
    """Without the controls that the model wrote as entities."""
    return printable(text).replace("\t", "    ")


def _spans(tokens: Sequence[Token], look: Look, base: Style) -> Iterator[Span]:
    styles = [base]
    address, label = "", ""
    layers = {"strong_open": look.strong, "em_open": look.emphasis, "s_open": look.strike, "link_open": look.link}
    for token in tokens:
        content = token.content
        if (layer := layers.get(token.type)) is not None:
            styles.append(styles[-1] + layer)
        if token.type == "link_open":
            address, label = str(token.attrs["href"]), ""
        elif token.nesting < 0:
            styles.pop()
            if token.type == "link_close":
                yield from _address(address, label, styles[-1] + look.muted)
        elif token.type == "image":
            yield content, styles[-1] + look.link
            yield from _address(str(token.attrs["src"]), content, styles[-1] + look.muted)
        elif token.type in {"softbreak", "hardbreak"}:
            yield "\n", styles[-1]
        elif content:
            yield content, styles[-1] + look.code if token.type == "code_inline" else styles[-1]
        label += content


def _address(address: str, label: str, style: Style) -> Iterator[Span]:
    """The address of a link, unless it is what the link says."""
    readable = _PARSER.normalizeLinkText(address)
    if readable and label not in {address, readable, readable.removeprefix("mailto:")}:
        yield (f" ({readable})" if label else readable), style


def _math(state: StateInline, silent: bool) -> bool:
    r"""Leave math as it is written: its `_`, `*` and `\` mean nothing else."""
    if state.src[state.pos] not in "$\\" or not (math := _MATH.match(state.src, state.pos, state.posMax)):
        return False
    if not silent:
        state.push("math_inline", "", 0).content = math[0]
    state.pos = math.end()
    return True


def _parser() -> MarkdownIt:
    """Tags stay visible as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
    parser.inline.ruler.before("escape", "math", _math)
    return parser


_PARSER: Final = _parser()
_NO_LOOK: Final = Look()
_NO_STYLE: Final = Style()
