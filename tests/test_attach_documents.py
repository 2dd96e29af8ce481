"""Documents as text: what a reader would see of them, and clear words for those that cannot be read."""

import contextlib
import io
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest

from hychat.attach.document_docx import MOST_UNPACKED_BYTES
from hychat.attach.open import open_bytes
from hychat.attach.parts import part_of_file
from hychat.attach.text import read_file
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from tests.documents import archive, chinese_pdf, docx, drawn, office, pdf, repacked, with_body

CHINESE_PDF = Path(__file__).parent / "data" / "chinese.pdf"

PAGE = """<!-- a page --><!DOCTYPE html><html><head><meta charset="gb2312"><style>p {}</style></head><body>
<h1>Boats</h1><p>There are <a href="x">four</a> boats&nbsp;&amp; 船.</p><p hidden>hidden words</p>
<div style="display: none"><p>unseen words</p><br></div><script>run()</script><ol><li>one<li>two</ol>
<pre>if a:
    b</pre><table><tr><td>a</td><td>b</td></tr></table></body></html>"""


def text_of(data: bytes, name: str = "file") -> str:
    return open_bytes(data, name).text


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:r>{properties}<w:t>{text}</w:t></w:r></w:p>"


def locked(password: str, algorithm: str = "RC4-128") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(drawn("secret"))))
    writer.encrypt(password, "owner", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def test_what_holds_only_pictures_is_told_how_to_attach_these() -> None:
    with pytest.raises(InputUnreadable) as refused:
        open_bytes(with_body("<w:p/>"), "pics.docx")
    assert refused.value.message == "pics.docx has no text in it."
    assert "pictures" in refused.value.hint


# PDF


def test_the_pages_of_a_pdf_are_numbered() -> None:
    text = text_of(pdf(drawn("The boat lay here."), b"", drawn("It sank.")))
    assert text == "[page 1]\nThe boat lay here.\n\n[page 2: no text on it]\n\n[page 3]\nIt sank."


@pytest.mark.parametrize("data", [CHINESE_PDF.read_bytes(), chinese_pdf("湖上有一条船")], ids=["printed", "mapped"])
def test_chinese_in_a_pdf_is_read(data: bytes) -> None:
    assert "湖上有一条船" in text_of(data)


def test_letters_that_a_pdf_does_not_tell_are_not_handed_on() -> None:
    with pytest.raises(InputUnreadable, match="which letters"):
        text_of(chinese_pdf("湖上有一条船", tells_letters=False))


def test_an_encrypted_pdf_is_refused() -> None:
    with pytest.raises(InputUnreadable, match="encrypted"):
        text_of(locked("password"))


def test_a_pdf_that_only_forbids_changes_is_read() -> None:
    assert text_of(locked("")) == "[page 1]\nsecret"


def test_a_scanned_pdf_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputUnreadable, match="scanned") as raised:
        text_of(pdf(b""))
    assert "-a" in raised.value.hint


# DOCX


def test_a_docx_keeps_headings_lists_and_tables_in_their_order() -> None:
    assert text_of(docx()).split("\n\n") == [
        "# Report 报告",
        "First, the facts: 事实如下。",
        "## Costs",
        "- paper\n- ink\n1. print\n2. bind",
        "| item | price |\n| --- | --- |\n| a\\|b | 3 4 |",
        "The end.",
    ]


def test_content_controls_and_what_was_inserted_are_read() -> None:
    control = f"<w:sdt><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
    assert text_of(with_body(f"{control}<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>")) == "in a control\n\nnew"


def test_what_was_deleted_or_is_hidden_is_not_read() -> None:
    deleted = "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    hidden = paragraph("hidden", "<w:rPr><w:vanish/></w:rPr>")
    assert text_of(with_body(deleted + hidden + paragraph("seen"))) == "seen"


def test_a_document_with_macros_is_read() -> None:
    with zipfile.ZipFile(io.BytesIO(docx())) as package:
        types = package.read("[Content_Types].xml")
    plain = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    types = types.replace(plain, b"application/vnd.ms-word.document.macroEnabled.main+xml")
    assert text_of(repacked(docx(), {"[Content_Types].xml": types})).startswith("# Report")


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(InputUnreadable, match="unpacks"):
        text_of(repacked(docx(), {"word/document.xml": bytes(MOST_UNPACKED_BYTES + 1)}))


def test_a_bomb_that_hides_its_size_is_refused() -> None:
    data = repacked(docx(), {"word/document.xml": bytes(40_000_000)})
    with pytest.raises(InputUnreadable):
        text_of(data.replace((40_000_000).to_bytes(4, "little"), (40_000).to_bytes(4, "little")))


def test_a_document_that_office_encrypted_is_told_as_such() -> None:
    with pytest.raises(InputUnreadable, match="encrypted"):
        text_of(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"))


# Web pages


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_of_a_web_page_what_is_seen_is_read(encoding: str) -> None:
    assert text_of(PAGE.encode(encoding)).split("\n\n") == [
        "# Boats",
        "There are four boats & 船.",
        "1. one\n2. two",
        "```\nif a:\n    b\n```",
        "| a | b |",
    ]


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<script></", "<div>", "<ul><li>", "<table><tr><td>"])
def test_a_page_made_to_stop_a_reader_does_not(piece: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(InputUnreadable):
        text_of(("<html>word" + piece * 50_000).encode())
    assert time.monotonic() - began < 10


# What is what


def test_content_tells_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_bytes(pdf(drawn("hello")))
    part = part_of_file(tmp_path / "report.txt")
    assert isinstance(part, FilePart)
    assert (part.attachment.media_type, part.attachment.text) == ("application/pdf", "[page 1]\nhello")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "# Title\n", '{"a": 1}', "x = '<html>'\n", "<b>no page</b>"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert text_of(text.encode()) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_text_in_other_encodings_is_read(encoding: str) -> None:
    assert text_of("湖上有一条船。\r\n".encode(encoding)) == "湖上有一条船。\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_a_text_that_is_read_by_itself_is_understood_as_one_that_is_attached(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "questions.txt").write_bytes("湖上有一条船。\r\n".encode(encoding))
    assert read_file(tmp_path / "questions.txt").attachment.text == "湖上有一条船。\n"


@pytest.mark.parametrize("data", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1old", b"{\\rtf1 text}"])
def test_other_documents_are_refused_by_what_can_be_done(data: bytes) -> None:
    with pytest.raises(InputUnreadable) as raised:
        text_of(data, "old.doc")
    assert "old.doc" in raised.value.message
    assert "PDF, DOCX" in raised.value.hint


@pytest.mark.parametrize("data", [office("spreadsheetml.sheet.main+xml"), archive({"a.txt": b"text"})])
def test_another_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InputUnreadable, match="archive"):
        text_of(data, "table.xlsx")


@pytest.mark.parametrize(
    "make",
    [lambda: pdf(drawn("The boat lay here."), drawn("It sank.")), docx, PAGE.encode],
    ids=["pdf", "docx", "html"],
)
def test_damaged_documents_are_text_or_refused(make: Callable[[], bytes]) -> None:
    data, chance = make(), random.Random(1)  # noqa: S311 - repeatable
    for _time in range(200):
        broken = bytearray(data[: chance.randrange(len(data)) + 1] if chance.random() < 0.3 else data)
        for _change in range(chance.randrange(1, 12)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with contextlib.suppress(InputUnreadable):
            assert text_of(bytes(broken))
