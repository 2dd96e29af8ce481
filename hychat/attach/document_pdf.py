"""The text of a PDF, page by page."""

import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from hychat.attach.documents import damaged, encrypted
from hychat.domain.errors import InputUnreadable
from hychat.messages import _

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

MOST_PAGES: Final = 500
MOST_SECONDS: Final = 60.0
"""A page takes 10 to 200 ms."""
_MOST_STREAM_BYTES: Final = 16_000_000
_MOST_OPERANDS: Final = 1_000_000
"""Of a page's content, which are parsed before the clock can be looked at."""
_JUDGED_CHARACTERS: Final = 20_000
_NO_LETTERS: Final = {"Co", "Cn", "Cc", "Cs"}
"""Categories: for private use, of no character, and control."""
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_PLAIN_LETTERS: Final = {
    code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0x2F00, 0x2FD6), *range(0xFB00, 0xFB07))
}
"""Radicals that some PDFs hold for the Chinese characters that look the same, and Latin ligatures."""


class _TooLate(Exception):
    """There is no time left."""


def pdf_text(data: bytes, name: str) -> str:
    """Its pages, each after a mark such as `[page 3]`; then what was filled into its form.

    Raises:
        InputUnreadable: It is encrypted, damaged, or has no text.
    """
    from pypdf import apply_configuration
    from pypdf.errors import DependencyError, FileNotDecryptedError

    _hush()
    try:
        with apply_configuration(
            zlib_maximum_output_length=_MOST_STREAM_BYTES,
            lzw_maximum_output_length=_MOST_STREAM_BYTES,
            run_length_maximum_output_length=_MOST_STREAM_BYTES,
            array_based_stream_maximum_output_length=_MOST_STREAM_BYTES,
            stream_parsing_work_maximum_count=_MOST_OPERANDS,
        ):
            pages, total, fields = _read(data)
    except DependencyError as error:
        raise InputUnreadable(
            _("{name} is encrypted in a way that needs one more package.").format(name=name),
            hint="pipx inject hychat cryptography",
        ) from error
    except FileNotDecryptedError as error:
        raise encrypted(name) from error
    except Exception as error:  # of a damaged file pypdf raises anything: KeyError, RecursionError, MemoryError
        raise damaged(name) from error
    if all(page is None for page in pages):
        raise damaged(name)
    _check_text("".join([page or "" for page in pages] + fields), name)
    return "\n\n".join([*_marked(pages, total), *_form(fields)])


def _hush() -> None:
    """Keep what pypdf has to say about a file from the terminal."""
    import logging
    import warnings

    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pypdf")  # for good: catch_warnings is not safe among threads


def _read(data: bytes) -> tuple[list[str | None], int, list[str]]:
    """The text of each page, None for one that cannot be read; how many there are; the lines of a form.

    Raises:
        FileNotDecryptedError: It has a password.
        Exception: Anything at all, where it is damaged.
    """
    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError

    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise FileNotDecryptedError
    total = len(reader.pages)
    return list(_pages(reader, min(total, MOST_PAGES))), total, list(_fields(reader))


def _pages(reader: "PdfReader", count: int) -> Iterator[str | None]:
    """As many as the time allows."""
    from pypdf.errors import DependencyError

    ends = monotonic() + MOST_SECONDS
    for number in range(count):
        try:
            yield _page_text(reader.pages[number], ends)
        except _TooLate:
            return
        except DependencyError:
            raise
        except Exception:  # noqa: BLE001 - one page is damaged, in whatever way; the others may be whole
            yield None


def _page_text(page: "PageObject", ends: float) -> str:
    """Raises _TooLate."""

    def look_at_clock(*_anything: Any) -> None:
        if monotonic() > ends:
            raise _TooLate

    look_at_clock()
    text = page.extract_text(visitor_operand_before=look_at_clock)
    return "\n".join(line.rstrip() for line in text.translate(_PLAIN_LETTERS).strip().split("\n"))


def _fields(reader: "PdfReader") -> Iterator[str]:
    """What was filled into a form; it is not among the text of the pages."""
    with suppress(Exception):  # a damaged form in an otherwise good file
        for field, value in reader.get_form_text_fields().items():
            if value and str(value).strip():
                yield f"{field}: {value}"


def _check_text(text: str, name: str) -> None:
    """Raises InputUnreadable where there is none, or none that can be read."""
    hint = _("Save its pages as images, and attach those with -a.")
    if not any(character.isalnum() or unicodedata.category(character) in _NO_LETTERS for character in text.strip()):
        raise InputUnreadable(_("{name} has no text in it: it is most likely scanned.").format(name=name), hint=hint)
    judged = [character for character in text[:_JUDGED_CHARACTERS] if not character.isspace()]
    lost = sum(unicodedata.category(each) in _NO_LETTERS or each == _REPLACEMENT for each in judged)
    if lost * 2 > len(judged):
        raise InputUnreadable(
            _("{name} does not tell which letters it shows: its text cannot be taken out.").format(name=name), hint=hint
        )


def _marked(pages: list[str | None], total: int) -> Iterator[str]:
    """In words for the model, which knows English best."""
    for number, text in enumerate(pages, start=1):
        if text is None:
            yield f"[page {number}: damaged, left out]"
        elif text:
            yield f"[page {number}]\n{text}"
        else:
            yield f"[page {number}: no text on it]"
    if len(pages) < total:
        yield f"[pages {len(pages) + 1} to {total} are left out: the document is too long]"


def _form(fields: list[str]) -> Iterator[str]:
    if fields:
        yield "\n".join(["[filled into the form]", *fields])
