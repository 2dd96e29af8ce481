"""The text of a web page, as its reader sees it."""

import re
from collections.abc import Mapping
from time import monotonic
from typing import Final

from hychat.attach.charset import decoded, utf_8
from hychat.attach.documents import MOST_CHARACTERS, damaged
from hychat.attach.tables import table_row

MOST_SECONDS: Final = 20.0
"""A megabyte takes a quarter of a second at most."""

_PIECE_BYTES: Final = 1 << 16
_HEAD_BYTES: Final = 4096
_CHARSET: Final = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*(gb2312|gbk|gb18030|big5|big5-hkscs|shift_jis|euc-jp|euc-kr|koi8-[ru]"
    rb"|windows-125\d|iso-8859-\d{1,2})\b",
    re.IGNORECASE,
)
"""Those of the web (https://encoding.spec.whatwg.org/#names-and-labels) that Python decodes in time that grows evenly."""
_AS_READ: Final = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "windows-1252"}
"""What browsers take them for."""

_UNSEEN: Final = frozenset({
    "annotation", "annotation-xml", "audio", "canvas", "datalist", "iframe", "noscript", "object", "script", "select",
    "style", "svg", "template", "video",
})  # fmt: skip
"""Their text is no text of the page, or not what a reader sees of it."""
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)} | {"title": "# "}
_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "li", "main", "nav",
    "ol", "section", "summary", "tr", "ul",
})  # fmt: skip
"""Each on lines of its own."""
_PARAGRAPHS: Final = frozenset({"p", "table", "pre", *_HEADINGS})
"""With a blank line around them."""
_NO_DISPLAY: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)", re.IGNORECASE)
_FENCE: Final = "```\n"
_BEGINNING: Final = re.compile(rf" *(-|\d+\.|#+) |{_FENCE}")
"""What stands before the text of an item, a heading or code."""
_SPACES: Final = re.compile(r"[ \t\r\n\f\xa0\u200b]+")
_DEEPEST_LIST: Final = 8
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_LONGEST_CELL_CHARACTERS: Final = 500
_MOST_CELL_LINES: Final = 4


def html_text(data: bytes, name: str) -> str:
    """Headings, lists and tables as in Markdown; no scripts, no comments, nothing that is hidden.

    Raises:
        InputUnreadable: It is damaged beyond reading.
    """
    from lxml import etree

    page = _Page()
    parser = etree.HTMLParser(target=page, encoding="utf-8", no_network=True)
    text = _page_letters(data).encode("utf-8", "replace")
    ends = monotonic() + MOST_SECONDS
    try:
        for start in range(0, len(text), _PIECE_BYTES):
            parser.feed(text[start : start + _PIECE_BYTES])
            if page.is_full or monotonic() > ends:
                page.add("\n\n[the rest of the page is left out: it is too long]")
                return page.text()
        parser.close()
    except etree.LxmlError as error:
        raise damaged(name) from error
    return page.text()


def _page_letters(data: bytes) -> str:
    """As UTF-8 where it is that, else as the page says, else as any text."""
    charset = _CHARSET.search(data[:_HEAD_BYTES])
    text = utf_8(data)
    if text is not None or charset is None:
        return decoded(data) if text is None else text
    label = charset[1].decode().lower()
    return data.decode(_AS_READ.get(label, label), "replace")


class _Page:
    """Takes what lxml's parser finds, one tag after the other; no tree is built."""

    def __init__(self) -> None:
        self._out: list[list[str]] = [[]]
        """The page, and in it the cells of tables that are open."""
        self._rows: list[list[str]] = []
        """The rows of tables that are open."""
        self._lists: list[int | None] = []
        """The lists that are open: the number of an ordered one's next item."""
        self._hidden = 0
        """How many open elements are in one that is not shown, itself among them."""
        self._pre = 0
        self._length = 0

    @property
    def is_full(self) -> bool:
        """Whether there is more text than is taken."""
        return self._length > MOST_CHARACTERS

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """As lxml calls it."""
        if self._hidden or _is_hidden(tag, attributes):
            self._hidden += 1
            return
        self._break(_lines_around(tag))
        match tag:
            case "br":
                self.add("\n")
            case "pre":
                self._pre += 1
                self.add(_FENCE)
            case "ul" | "ol":
                self._lists.append(1 if tag == "ol" else None)
            case "li":
                self.add(self._bullet())
            case "tr":
                self._rows.append([])
            case "td" | "th":
                self._out.append([])
            case "img":
                self.data(f" {attributes.get('alt', '')} ")
            case _:
                self.add(_HEADINGS.get(tag, ""))

    def end(self, tag: str) -> None:
        """As lxml calls it."""
        if self._hidden:
            self._hidden -= 1
            return
        match tag:
            case "pre" if self._pre:
                self._pre -= 1
                self._break(1)
                self.add(_FENCE.strip())
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "td" | "th" if len(self._out) > 1:
                self._end_cell()
            case "tr" if self._rows:
                self._end_row()
        self._break(_lines_around(tag))

    def data(self, text: str) -> None:
        """As lxml calls it: a piece of text."""
        if self._hidden:
            return
        if self._pre:
            text = text.removeprefix("\n") if self._out[-1][-1:] == [_FENCE] else text
        else:
            text = _SPACES.sub(" ", text)
            if not self._out[-1] or self._out[-1][-1].endswith((" ", "\n")):
                text = text.lstrip(" ")
        self._length += len(text)
        self.add(text)

    def comment(self, text: str) -> None:
        """As lxml calls it; nobody sees it."""

    def close(self) -> None:
        """As lxml calls it."""

    def add(self, text: str) -> None:
        """Put it where the page has come to."""
        if text:
            self._out[-1].append(text)

    def text(self) -> str:
        """All of it; cells that were left open come as they are."""
        return _tidy("\n".join("".join(each) for each in self._out))

    def _break(self, lines: int) -> None:
        """End a line, or leave one blank, where that is not so; nothing stands before the first."""
        out = self._out[-1]
        if lines and out and not _BEGINNING.fullmatch(out[-1]):
            out.append("\n" * (lines - len(out[-1]) + len(out[-1].rstrip("\n"))))

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        indent = "  " * (min(len(self._lists), _DEEPEST_LIST) - 1)
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_cell(self) -> None:
        text = _tidy("".join(self._out.pop()))
        if self._rows:
            self._rows[-1].append(text)
        else:
            self.add(text)

    def _end_row(self) -> None:
        cells = self._rows.pop()
        if any(map(_is_layout, cells)):
            for cell in cells:
                self.add(cell)
                self._break(2)
        else:
            self.add(table_row(cells))


def _is_layout(cell: str) -> bool:
    """Whether it is no cell of a table of data: long, or with a table in it."""
    return len(cell) > _LONGEST_CELL_CHARACTERS or cell.count("\n") >= _MOST_CELL_LINES or cell.startswith("| ")


def _is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    if tag in _UNSEEN or "hidden" in attributes or (tag == "dialog" and "open" not in attributes):
        return True
    return bool(_NO_DISPLAY.search(attributes.get("style", "")))


def _lines_around(tag: str) -> int:
    """How many newlines stand before and after an element's text, at the least."""
    return 2 if tag in _PARAGRAPHS else int(tag in _BLOCKS)


def _tidy(text: str) -> str:
    lines = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip()
