"""Documents: the text of a PDF, a DOCX or a web page, told apart by content; other kinds are refused by what can be done."""

import re
from collections.abc import Callable
from typing import Final

from hychat.attach.charset import UTF_16_MARKS
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.text import printable
from hychat.messages import _

MOST_CHARACTERS: Final = 5_000_000
"""Of a document's text: more than the largest context holds several times over."""

_HEAD_BYTES: Final = 4096
"""Where a kind shows itself."""
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n\f"
_PDF: Final = b"%PDF-"
_PDF_HEAD_BYTES: Final = 1024
"""Within these a PDF begins; some have a line of something else before."""
_ZIP_STARTS: Final = (b"PK\3\4", b"PK\5\6")
_OLE_START: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_RTF_START: Final = b"{\\rtf"
_HTML_START: Final = re.compile(
    r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype\s+html|<html[\s>])", re.DOTALL | re.IGNORECASE
)
_LOCKED: Final = "EncryptedPackage".encode("utf-16-le")
"""A stream of the OLE file that Office makes of a document with a password."""
_WORD: Final = re.compile(rb"(wordprocessingml|ms-word)\.(document|template)[.\w]*\.main\+xml")
"""With macros, which never run, and templates too."""


def is_document(data: bytes) -> bool:
    """Whether it is one of these, or a document of another kind that `open_document` refuses."""
    head = data[:_HEAD_BYTES]
    return _PDF in head[:_PDF_HEAD_BYTES] or head.startswith((*_ZIP_STARTS, _OLE_START, _RTF_START)) or _is_html(head)


def open_document(data: bytes, name: str, source: str | None) -> Attachment:
    """Its text, structured as in Markdown; of one that is very long the first of it, with a note of what was left out.

    Raises:
        InputUnreadable: It is too large, encrypted, damaged, without text, or of a kind that is not read here.
    """
    read, media_type = _reader_of(data, name)
    text = _bounded(printable(read(data, name)).strip("\n"))
    if not text.strip():
        raise InputUnreadable(
            _("{name} has no text in it.").format(name=name),
            hint=_("If it holds pictures, save these as files, and attach them."),
        )
    return Attachment(AttachmentKind.TEXT, name, media_type, text=text, source=source)


def damaged(name: str) -> InputUnreadable:
    """What to raise where a document cannot be read as what it is."""
    return InputUnreadable(
        _("{name} is damaged: its text cannot be read.").format(name=name),
        hint=_("If another program still opens it, save it anew there."),
    )


def encrypted(name: str) -> InputUnreadable:
    """What to raise where a document has a password."""
    return InputUnreadable(
        _("{name} is encrypted.").format(name=name), hint=_("Save it without a password, and attach that.")
    )


def _bounded(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}\n\n[the rest of the document is left out: it is too long]"


def _reader_of(data: bytes, name: str) -> tuple[Callable[[bytes, str], str], str]:
    """What reads it, imported only now, and its media type."""
    head = data[:_HEAD_BYTES]
    if _PDF in head[:_PDF_HEAD_BYTES]:
        from hychat.attach.document_pdf import pdf_text

        return pdf_text, "application/pdf"
    if _is_html(head):
        from hychat.attach.document_html import html_text

        return html_text, "text/html"
    if head.startswith(_ZIP_STARTS):
        _refuse_other_archives(data, name)
        from hychat.attach.document_docx import docx_text

        return docx_text, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    raise encrypted(name) if _LOCKED in data else _foreign(name)


def _refuse_other_archives(data: bytes, name: str) -> None:
    """Raises InputUnreadable where it is no DOCX."""
    from hychat.attach.document_zip import content_types, is_whole

    if not _WORD.search(content_types(data)):
        raise _foreign(name) if is_whole(data) else InputUnreadable(_("{name} is a damaged archive.").format(name=name))


def _foreign(name: str) -> InputUnreadable:
    return InputUnreadable(
        _("{name} is an archive or a document of a kind that is not read here.").format(name=name),
        hint=_("It reads PDF, DOCX, HTML and text; save it as one of these."),
    )


def _is_html(head: bytes) -> bool:
    if head.startswith(UTF_16_MARKS):
        return bool(_HTML_START.match(head.decode("utf-16", "replace").lstrip()))
    return bool(_HTML_START.match(head.lstrip(_BLANKS).decode("latin-1")))
