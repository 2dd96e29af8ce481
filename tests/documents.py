"""Small documents, written by hand where the library that reads them cannot."""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from docx import Document

LATIN = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
CONTENT_TYPES = "[Content_Types].xml"
OOXML = "application/vnd.openxmlformats-officedocument"


def pdf(*contents: bytes, font: bytes = LATIN, others: Sequence[bytes] = (), catalogue: bytes = b"") -> bytes:
    """One page a content, drawn with one font /F; `others` are objects from number 4 on, `catalogue` adds to the root."""
    first = 4 + len(others)
    kids = b" ".join(b"%d 0 R" % (first + 2 * index) for index in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalogue,
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(contents)),
        font,
        *others,
    ]
    for index, content in enumerate(contents):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >>"
            b" /Contents %d 0 R >>" % (first + 2 * index + 1),
            stream(content),
        ]
    return _numbered(objects)


def _numbered(objects: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    tail = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n" % (size, table, size)
    return bytes(out) + tail + b"startxref\n%d\n%%%%EOF\n" % len(out)


def stream(content: bytes) -> bytes:
    """A compressed one."""
    packed = zlib.compress(content)
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)


def drawn(text: str) -> bytes:
    """Latin lines as a page's content."""
    lines = b" ".join(b"(%s) Tj 0 -14 Td" % line.encode("latin-1") for line in text.split("\n"))
    return b"BT /F 12 Tf 50 700 Td %s ET" % lines


def chinese_pdf(text: str, *, tells_letters: bool = True) -> bytes:
    """With a font whose glyph numbers say nothing, and a map from them to letters."""
    glyphs = {character: number for number, character in enumerate(dict.fromkeys(text), start=1)}
    pairs = b"".join(
        b"<%04x> <%s>\n" % (number, character.encode("utf-16-be").hex().encode())
        for character, number in glyphs.items()
    )
    cmap = b"begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange\n%d beginbfchar\n%sendbfchar endcmap"
    font = b"<< /Type /Font /Subtype /Type0 /BaseFont /Song /Encoding /Identity-H /DescendantFonts [4 0 R]%s >>" % (
        b" /ToUnicode 5 0 R" if tells_letters else b""
    )
    others = [
        (
            b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Song"
            b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /DW 1000 >>"
        ),
        stream(cmap % (len(glyphs), pairs)),
    ]
    codes = b"".join(b"%04x" % glyphs[character] for character in text)
    return pdf(b"BT /F 12 Tf 50 700 Td <%s> Tj ET" % codes, font=font, others=others)


def docx() -> bytes:
    """Headings, lists, a table, Chinese, a header and a footer."""
    document = Document()
    document.add_heading("Report 报告", 0)
    document.add_paragraph("First, the facts: 事实如下。")
    document.add_heading("Costs", 2)
    for item in ("paper", "ink"):
        document.add_paragraph(item, style="List Bullet")
    for item in ("print", "bind"):
        document.add_paragraph(item, style="List Number")
    table = document.add_table(2, 2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ("item", "price", "a|b", "3\n4"), strict=True
    ):
        cell.text = text
    document.add_paragraph("The end.")
    document.sections[0].header.paragraphs[0].text = "on every page"
    document.sections[0].footer.paragraphs[0].text = "page number"
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def repacked(package: bytes, parts: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A package with other parts, or more."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return buffer.getvalue()


def with_body(xml: str) -> bytes:
    """A DOCX whose body is this, in the namespace `w`."""
    namespaces = (
        'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    )
    document = f"<w:document {namespaces}><w:body>{xml}</w:body></w:document>"
    return repacked(docx(), {"word/document.xml": document.encode()})


def office(main_type: str) -> bytes:
    """A package that says what it is, and has nothing in it."""
    types = f'<Types><Override PartName="/main.xml" ContentType="{OOXML}.{main_type}"/></Types>'
    return archive({CONTENT_TYPES: types.encode(), "main.xml": b"<a/>"})


def archive(files: Mapping[str, bytes]) -> bytes:
    """A ZIP file, its files stored as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()
