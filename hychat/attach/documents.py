"""The text of documents that are no plain text: PDF, DOCX and HTML, told apart by content."""

import io
import logging
import zipfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.messages import _

if TYPE_CHECKING:
    from docx.table import Table

_HEAD_BYTES: Final = 1024
_MOST_PAGES: Final = 1000
_MOST_UNPACKED_BYTES: Final = 200_000_000
"""Of a DOCX, as its own index declares; a bomb declares more."""
_ZIP: Final = b"PK\x03\x04"
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DOCX_PART: Final = "word/document.xml"
_DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_HTML_STARTS: Final = ("<!doctype html", "<html")
_UNSEEN_TAGS: Final = frozenset({"script", "style", "template", "noscript", "svg", "head"})
_BLOCKS: Final = frozenset(
    {"p", "div", "br", "tr", "table", "ul", "ol", "section", "article", "header", "footer", "pre", "blockquote", "hr"}
)
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_VOID: Final = frozenset({"br", "hr", "img", "input", "meta", "link", "wbr", "source", "area", "base", "col", "embed"})


def is_document(data: bytes) -> bool:
    """Whether it is one of these, or a document of another kind that `open_document` refuses by name."""
    head = data[:_HEAD_BYTES]
    return b"%PDF-" in head or data.startswith((_ZIP, _OLD_OFFICE, b"{\\rtf")) or _is_html(head)


def open_document(data: bytes, name: str, source: str | None) -> Attachment:
    """Its text.

    Raises:
        InputUnreadable: It is damaged, encrypted, holds no text, or is of a kind that is not read here.
    """
    read, media_type = _reader_of(data, name)
    try:
        text = read(data, name)
    except InputUnreadable:
        raise
    except Exception as error:  # readers of damaged documents raise anything
        raise InputUnreadable(
            _("{name} is damaged: its text cannot be read.").format(name=name),
            hint=_("If another program still opens it, save it anew there."),
        ) from error
    return Attachment(AttachmentKind.TEXT, name, media_type, text=text, source=source)


def _reader_of(data: bytes, name: str) -> tuple[Callable[[bytes, str], str], str]:
    head = data[:_HEAD_BYTES]
    if b"%PDF-" in head:
        return _pdf, "application/pdf"
    if _is_html(head):
        return _html, "text/html"
    if data.startswith(_ZIP) and _DOCX_PART in _parts(data, name):
        return _docx, _DOCX
    raise InputUnreadable(
        _("{name} is an archive or a document of a kind that is not read here.").format(name=name),
        hint=_("It reads PDF, DOCX, HTML and text; save it as one of these."),
    )


def _parts(data: bytes, name: str) -> dict[str, int]:
    """The files in an archive, with the bytes that they say they have."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {part.filename: part.file_size for part in archive.infolist()}
    except Exception as error:  # damaged archives raise more than BadZipFile
        raise InputUnreadable(_("{name} is a damaged archive.").format(name=name)) from error
    if sum(sizes.values()) > _MOST_UNPACKED_BYTES:
        raise InputUnreadable(
            _("{name} says that it unpacks to more than {most} MB.").format(
                name=name, most=_MOST_UNPACKED_BYTES // 1_000_000
            )
        )
    return sizes


# PDF


def _pdf(data: bytes, name: str) -> str:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        raise InputUnreadable(
            _("{name} is encrypted.").format(name=name), hint=_("Save it without a password, and attach that.")
        )
    pages = [page.extract_text() for page in reader.pages[:_MOST_PAGES]]
    if not any(page.strip() for page in pages):
        raise InputUnreadable(
            _("{name} has no text in it: it is most likely scanned.").format(name=name),
            hint=_("Save its pages as images, and attach those with -a."),
        )
    texts = [f"[page {number}]\n{page.strip()}" for number, page in enumerate(pages, start=1) if page.strip()]
    if len(reader.pages) > _MOST_PAGES:
        texts.append(f"[{len(reader.pages) - _MOST_PAGES} more pages were left out]")
    return "\n\n".join(texts)


# DOCX


def _docx(data: bytes, name: str) -> str:
    import docx

    blocks = "\n\n".join(filter(None, _blocks(docx.Document(io.BytesIO(data)))))
    if not blocks.strip():
        raise InputUnreadable(_("{name} has no text in it.").format(name=name))
    return blocks


def _blocks(document: Any) -> Iterator[str]:
    """Paragraphs and tables in their order, headings and lists as Markdown has them."""
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield "\n".join(_table_rows(block))
            continue
        text, style = block.text.strip(), (block.style.name if block.style else "") or ""
        level = style.removeprefix("Heading ")
        if text and style.startswith("Heading ") and level.isdigit():
            yield f"{'#' * int(level)} {text}"
        elif text and style.startswith("List"):
            yield f"- {text}"
        else:
            yield text


def _table_rows(table: "Table") -> Iterator[str]:
    for row in table.rows:
        yield f"| {' | '.join(' '.join(cell.text.split()) for cell in row.cells)} |"


# HTML


def _is_html(head: bytes) -> bool:
    start = head.decode("utf-8-sig", "replace").lstrip().lower()
    if start.startswith("<!--"):
        start = start.partition("-->")[2].lstrip()
    return start.startswith(_HTML_STARTS)


def _html(data: bytes, name: str) -> str:
    reader = _HtmlText()
    reader.feed(data.decode("utf-8-sig", "replace"))
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    text = "\n".join(line for line in lines if line)
    if not text:
        raise InputUnreadable(_("{name} has no text in it.").format(name=name))
    return text


class _HtmlText(HTMLParser):
    """What a reader of a page would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden_in: list[str] = []
        """Tags that are open, from the one on that is not seen."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Go to a new line, or stop listening."""
        if self._hidden_in or tag in _UNSEEN_TAGS or _is_hidden(dict(attrs)):
            self._hidden_in += () if tag in _VOID else (tag,)
        else:
            self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        """Listen again, where what was not seen ends."""
        if tag in self._hidden_in:
            while self._hidden_in.pop() != tag:
                pass
        elif not self._hidden_in and tag in _BLOCKS.union(_HEADINGS):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        """Words."""
        if not self._hidden_in:
            self.pieces.append(data.replace("\n", " "))

    def _break(self, tag: str) -> None:
        if tag in _HEADINGS:
            self.pieces.append(f"\n{'#' * (_HEADINGS.index(tag) + 1)} ")
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag in {"td", "th"}:
            self.pieces.append(" | ")
        elif tag in _BLOCKS:
            self.pieces.append("\n")


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return "hidden" in attributes or "display:none" in style or "visibility:hidden" in style
