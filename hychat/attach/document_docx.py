"""The text of a DOCX: headings, lists and tables in the order of the document, as in Markdown."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile, ZipInfo

from hychat.attach.document_zip import CONTENT_TYPES, opened, unpacked
from hychat.attach.documents import MOST_CHARACTERS, damaged, encrypted
from hychat.attach.tables import table
from hychat.domain.errors import InputUnreadable
from hychat.messages import _

if TYPE_CHECKING:
    from docx.document import Document
    from docx.styles.style import BaseStyle

MOST_UNPACKED_BYTES: Final = 32_000_000
"""Of its XML: the text of some thousand pages. As a tree in memory it takes up to twenty times as much."""

_XML: Final = (".xml", ".rels")
_ENCRYPTED: Final = 1
"""A bit of an entry's flags."""
_MAIN_TYPES: Final = re.compile(
    rb"application/vnd\.(openxmlformats-officedocument\.wordprocessingml|ms-word)\.(document|template)[.\w]*\.main\+xml"
)
_MAIN_TYPE: Final = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"

_WORD: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARAGRAPH, _TABLE, _ROW, _CELL, _RUN = (_WORD + tag for tag in ("p", "tbl", "tr", "tc", "r"))
_TEXT: Final = {_WORD + "t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"}
_BREAK: Final = _WORD + "br"
_PROPERTIES: Final = _WORD + "pPr"
_SIGNS: Final = {_WORD + "tab": "\t", _WORD + "ptab": "\t", _WORD + "cr": "\n", _WORD + "noBreakHyphen": "-"}
_AROUND: Final = {_WORD + tag for tag in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")}
"""What may stand around paragraphs, tables, rows and cells without being any."""
_UNSEEN: Final = {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    *(_WORD + tag for tag in ("del", "moveFrom", "rPr", "pPr", "sdtPr", "rt", "delText", "instrText")),
}
"""A second form of what is there already, deleted text, properties, a character's reading, what fields are made from."""
_VALUE: Final = _WORD + "val"
_OFF: Final = {"0", "false", "off"}
_HEADING: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MOST_HEADING_MARKS: Final = 6
_MOST_BASES: Final = 10
_DEEPEST_LIST: Final = 8


def docx_text(data: bytes, name: str) -> str:
    """Its body; headers, footers, notes and pictures are left out.

    Raises:
        InputUnreadable: It unpacks to too much, is encrypted or damaged.
    """
    lean = _lean(data, name)
    try:
        from docx import Document

        document = Document(BytesIO(lean))
        return "".join(_bounded(_joined(_Body(document).blocks(document.element.body))))
    except Exception as error:  # of a damaged file python-docx and lxml raise anything: KeyError, XMLSyntaxError
        raise damaged(name) from error


def _bounded(blocks: Iterable[str]) -> Iterator[str]:
    """Somewhat more than is taken of any document, so that it is known to be cut."""
    length = 0
    for block in blocks:
        yield block
        length += len(block)
        if length > MOST_CHARACTERS:
            return


def _lean(data: bytes, name: str) -> bytes:
    """The same package with its XML unpacked, and with nothing in the place of pictures and other parts.

    No part is unpacked beyond what it says to have, and none at all where all say too much.

    Raises:
        InputUnreadable: It is one of those things that make computers stop.
    """
    try:
        with opened(data) as archive:
            _check(archive.infolist(), name)
            return _repacked(archive)
    except InputUnreadable:
        raise
    except Exception as error:  # as `opened` says
        raise damaged(name) from error


def _check(entries: Sequence[ZipInfo], name: str) -> None:
    """Raises InputUnreadable where they must not be unpacked, or cannot."""
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise encrypted(name)
    if sum(entry.file_size for entry in entries if _is_read(entry)) > MOST_UNPACKED_BYTES:
        raise _bomb(name)


def _repacked(archive: ZipFile) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as lean:
        for name in dict.fromkeys(archive.namelist()):  # some have two entries of a name; the last counts
            lean.writestr(name, _content(archive, archive.getinfo(name)))
    return buffer.getvalue()


def _bomb(name: str) -> InputUnreadable:
    return InputUnreadable(
        _("{name} says that it unpacks to more than {most} MB.").format(
            name=name, most=MOST_UNPACKED_BYTES // 1_000_000
        ),
        hint=_("If you trust it, save it as text first, and attach a part of that."),
    )


def _is_read(entry: ZipInfo) -> bool:
    return entry.filename.lower().endswith(_XML)


def _content(archive: ZipFile, entry: ZipInfo) -> bytes:
    """A part; nothing of one that is no XML. With macros or a template, it calls itself a plain document from now on."""
    if not _is_read(entry):
        return b""
    content = unpacked(archive, entry)
    return _MAIN_TYPES.sub(_MAIN_TYPE, content) if entry.filename == CONTENT_TYPES else content


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph or a table."""

    text: str
    is_item: bool = False
    """Whether it is one of a list."""


def _joined(blocks: Iterable[_Block]) -> Iterator[str]:
    """With a blank line between them, but within a list."""
    before: _Block | None = None
    for block in blocks:
        if before is not None:
            yield "\n" if block.is_item and before.is_item else "\n\n"
        yield block.text
        before = block


@dataclass(frozen=True, slots=True)
class _Look:
    """What a paragraph is; a style says it for all its paragraphs."""

    heading: int = 0
    """Its level; 0 for none."""
    list_id: str | None = None
    depth: int = 0
    """Within its list."""


class _Body:
    """Walks through a document's elements; python-docx's own walk leaves out content controls and tracked insertions."""

    def __init__(self, document: "Document") -> None:
        self._looks = {style.style_id: _look_of(style) for style in document.styles}
        self._lists = _Lists(document)

    def blocks(self, container: Any) -> Iterator[_Block]:
        """Those that are not empty."""
        for element in _within(container, {_PARAGRAPH, _TABLE}):
            block = self._paragraph(element) if element.tag == _PARAGRAPH else self._table(element)
            if block.text:
                yield block

    def _paragraph(self, paragraph: Any) -> _Block:
        text = "".join(_texts(paragraph)).strip()
        look = self._look(paragraph)
        if not text:
            return _Block("")
        if look.heading:
            return _Block(f"{'#' * min(look.heading, _MOST_HEADING_MARKS)} {' '.join(text.split())}")
        if look.list_id is not None:
            return _Block(self._lists.mark(look.list_id, look.depth) + text, is_item=True)
        return _Block(text)

    def _look(self, paragraph: Any) -> _Look:
        look = self._looks.get(paragraph.style, _Look())
        return _with_list(look, paragraph.find(_PROPERTIES))

    def _table(self, element: Any) -> _Block:
        rows = ([self._cell(cell) for cell in _within(row, {_CELL})] for row in _within(element, {_ROW}))
        return _Block(table([row for row in rows if row]))

    def _cell(self, cell: Any) -> str:
        return "\n".join(block.text for block in self.blocks(cell))


def _within(container: Any, tags: set[str]) -> Iterator[Any]:
    """The children of these tags, also those that stand in content controls and the like."""
    for child in container:
        if child.tag in tags:
            yield child
        elif child.tag in _AROUND:
            yield from _within(child, tags)


def _texts(element: Any) -> Iterator[str]:
    """What is to be read in a paragraph, text boxes among it."""
    for child in element:
        tag = child.tag
        if tag in _TEXT:
            yield child.text or ""
        elif tag in _SIGNS:
            yield _SIGNS[tag]
        elif tag == _BREAK:
            yield "" if child.get(_WORD + "type") == "page" else "\n"
        elif tag not in _UNSEEN and not (tag == _RUN and _is_hidden(child)):
            if tag == _PARAGRAPH:
                yield "\n"
            yield from _texts(child)


def _is_hidden(run: Any) -> bool:
    vanish = run.find(f"{_WORD}rPr/{_WORD}vanish")
    return vanish is not None and vanish.get(_VALUE) not in _OFF


def _look_of(style: "BaseStyle") -> _Look:
    """Its own, and what it does not say that of the styles it is based on."""
    look = _Look()
    for each in reversed([*islice(_bases(style), _MOST_BASES)]):
        look = replace(look, heading=_heading_level(each.name or "") or look.heading)
        look = _with_list(look, each.element.find(_PROPERTIES))
    return look


def _bases(style: "BaseStyle | None") -> Iterator["BaseStyle"]:
    """Itself, what it is based on, and so on; in a circle where a file says so."""
    while style is not None:
        yield style
        style = getattr(style, "base_style", None)


def _heading_level(style_name: str) -> int:
    if style_name == "Title":
        return 1
    heading = _HEADING.fullmatch(style_name)
    return int(heading[1]) if heading else 0


def _with_list(look: _Look, properties: Any) -> _Look:
    """With the list that a paragraph's properties name; list 0 is none."""
    number = None if properties is None else properties.find(f"{_WORD}numPr/{_WORD}numId")
    if number is None:
        return look
    depth = properties.find(f"{_WORD}numPr/{_WORD}ilvl")
    list_id = number.get(_VALUE)
    return replace(
        look,
        list_id=None if list_id == "0" else list_id,
        depth=0 if depth is None else min(int(depth.get(_VALUE)), _DEEPEST_LIST),
    )


class _Lists:
    """Knows which lists are numbered, and counts their items."""

    def __init__(self, document: "Document") -> None:
        from docx.opc.constants import RELATIONSHIP_TYPE

        self._numbered: set[tuple[str, int]] = set()
        self._counts: Counter[tuple[str, int]] = Counter()
        with suppress(KeyError):  # a document without lists
            part: Any = document.part.part_related_by(RELATIONSHIP_TYPE.NUMBERING)
            self._numbered.update(_numbered_levels(part.element))

    def mark(self, list_id: str, depth: int) -> str:
        """What stands before the next item."""
        indent = "  " * depth
        if (list_id, depth) not in self._numbered:
            return f"{indent}- "
        for level in range(depth + 1, _DEEPEST_LIST + 1):
            self._counts.pop((list_id, level), None)
        self._counts[list_id, depth] += 1
        return f"{indent}{self._counts[list_id, depth]}. "


def _numbered_levels(numbering: Any) -> Iterator[tuple[str, int]]:
    """Lists and depths whose items have numbers."""
    levels = {
        abstract.get(f"{_WORD}abstractNumId"): [
            int(level.get(f"{_WORD}ilvl"))
            for level in abstract.iterfind(f"{_WORD}lvl")
            if (kind := level.find(f"{_WORD}numFmt")) is not None and kind.get(_VALUE) not in {"bullet", "none"}
        ]
        for abstract in numbering.iterfind(f"{_WORD}abstractNum")
    }
    for number in numbering.iterfind(f"{_WORD}num"):
        abstract_id = number.find(f"{_WORD}abstractNumId")
        for level in levels.get(abstract_id.get(_VALUE), []):
            yield number.get(f"{_WORD}numId"), level
