"""Documents as text: what a reader would see of them, and clear words for those that cannot be read."""

import contextlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pypdf
import pytest

from hychat.attach.open import open_bytes
from hychat.attach.parts import part_of_file
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart

CHINESE_PDF = Path(__file__).parent / "data" / "chinese.pdf"


def pdf(*pages: str) -> bytes:
    """A PDF of one line a page, in Helvetica."""
    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 200)
        font = pypdf.generic.DictionaryObject()
        for key, value in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica")):
            font[pypdf.generic.NameObject(key)] = pypdf.generic.NameObject(value)
        fonts = pypdf.generic.DictionaryObject({pypdf.generic.NameObject("/F1"): font})
        page[pypdf.generic.NameObject("/Resources")] = pypdf.generic.DictionaryObject(
            {pypdf.generic.NameObject("/Font"): fonts}
        )
        stream = pypdf.generic.DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[pypdf.generic.NameObject("/Contents")] = writer._add_object(stream)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def word(fill: Callable[[object], None] | None = None) -> bytes:
    document = docx.Document()
    document.add_heading("船的报告", 1)
    document.add_paragraph("The boat lay in the harbour.")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "boats", "4"
    if fill:
        fill(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


PAGE = b"""<!-- a page --><!DOCTYPE html><html><head><title>t</title><style>p {}</style></head><body>
<h1>Boats</h1><p>There are <a href="x">four</a> boats&nbsp;&amp; a ship.</p><p hidden>hidden words</p>
<div style="display: none"><p>unseen words</p><br></div><script>run()</script><ul><li>one<li>two</ul>
<table><tr><td>a</td><td>b</td></tr></table></body></html>"""


def text_of(data: bytes, name: str = "file") -> str:
    return open_bytes(data, name).text


def test_the_pages_of_a_pdf_are_numbered() -> None:
    text = text_of(pdf("The boat lay here.", "It sank."))
    assert text == "[page 1]\nThe boat lay here.\n\n[page 2]\nIt sank."


def test_chinese_in_a_pdf_is_read() -> None:
    assert "湖上有一条船" in text_of(CHINESE_PDF.read_bytes())


def test_a_docx_keeps_headings_lists_and_tables_in_their_order() -> None:
    assert text_of(word()) == "# 船的报告\n\nThe boat lay in the harbour.\n\n- first\n\n| boats | 4 |"


def test_of_a_web_page_what_is_seen_is_read() -> None:
    assert text_of(PAGE).split("\n") == ["# Boats", "There are four boats & a ship.", "- one", "- two", "| a | b"]


def test_content_tells_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_bytes(pdf("hello"))
    part = part_of_file(tmp_path / "report.txt")
    assert isinstance(part, FilePart)
    assert (part.attachment.media_type, part.attachment.text) == ("application/pdf", "[page 1]\nhello")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "# Title\n", '{"a": 1}', "x = '<html>'\n", "<b>no page</b>"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert text_of(text.encode()) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_text_in_other_encodings_is_read(encoding: str) -> None:
    assert text_of("湖上有一条船。\r\n".encode(encoding)) == "湖上有一条船。\n"


def test_an_encrypted_pdf_is_refused() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("secret")))
    writer.encrypt("password", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    with pytest.raises(InputUnreadable, match="encrypted"):
        text_of(file.getvalue())


def test_a_scanned_pdf_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputUnreadable, match="scanned") as raised:
        text_of(pdf(""))
    assert "-a" in raised.value.hint


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(300_000_000))
    with pytest.raises(InputUnreadable, match="unpacks"):
        text_of(file.getvalue())


@pytest.mark.parametrize("data", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1old", b"{\\rtf1 text}"])
def test_other_documents_are_refused_by_what_can_be_done(data: bytes) -> None:
    with pytest.raises(InputUnreadable) as raised:
        text_of(data, "old.doc")
    assert "old.doc" in raised.value.message
    assert "PDF, DOCX" in raised.value.hint


def test_another_archive_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(InputUnreadable, match="archive"):
        text_of(file.getvalue(), "table.xlsx")


@pytest.mark.parametrize(
    "make", [lambda: pdf("The boat lay here.", "It sank."), word, lambda: PAGE], ids=["pdf", "docx", "html"]
)
def test_damaged_documents_are_text_or_refused(make: Callable[[], bytes]) -> None:
    data, chance = make(), random.Random(1)  # noqa: S311 - repeatable
    for _time in range(200):
        broken = bytearray(data[: chance.randrange(len(data)) + 1] if chance.random() < 0.3 else data)
        for _change in range(chance.randrange(1, 12)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with contextlib.suppress(InputUnreadable):
            assert text_of(bytes(broken))
