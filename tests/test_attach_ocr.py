"""Text read out of pictures: what is there, in the order it is read in."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from hychat.attach import ocr
from hychat.attach.ocr import Box, line, rows, text_in_image
from hychat.attach.ocr_process import OcrProcess
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, InputUnreadable, Interrupted
from hychat.engine.protocol import result_of
from tests.bench.ocr import distance, error_rate
from tests.engines import ends

LINES = ["The boats left the harbour at 5:30.", "Nobody asked why.", "Total: 12.50 EUR (3 pieces)"]


def png(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def picture(lines: list[str], size: tuple[int, int] = (640, 240), pixels: int = 24, at: int = 20) -> Image.Image:
    image = Image.new("RGB", size, "white")
    for number, text in enumerate(lines):
        place = at, at + number * 2 * pixels
        ImageDraw.Draw(image).text(place, text, font=ImageFont.load_default(pixels), fill="black")
    return image


def box(text: str, left: float, middle: float, width: float = 100, height: float = 20) -> Box:
    return Box(text, left, left + width, middle, height)


def test_lines_are_read_from_top_to_bottom() -> None:
    assert text_in_image(png(picture(LINES)), "page.png").split("\n") == LINES


def test_chinese_is_read_and_keeps_the_spaces_around_english() -> None:
    data = (Path(__file__).parent / "data" / "chinese.png").read_bytes()

    assert text_in_image(data, "chinese.png") == "湖上有一条船，船上坐着十二个人。\n请用 GPU 加速，再试一次。"


def test_a_jpeg_is_read_too() -> None:
    assert text_in_image(png(picture(LINES), "JPEG"), "page.jpg").split("\n") == LINES


def test_columns_are_read_row_by_row() -> None:
    image = picture(["apples", "pears"], (900, 200))
    image.paste(picture(["12", "7"], (300, 200)), (600, 0))

    assert text_in_image(png(image), "table.png").split("\n") == ["apples 12", "pears 7"]


def test_where_there_is_no_text_there_is_none() -> None:
    assert text_in_image(png(Image.new("RGB", (300, 200), "white")), "white.png") == ""


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_every_kind_of_png_is_read(mode: str) -> None:
    image = picture(LINES[:1]).convert("L").convert(mode)

    assert text_in_image(png(image), "page.png") == LINES[0]


def test_black_on_nothing_is_read_as_on_white() -> None:
    letters = picture(LINES[:1]).convert("L")
    image = Image.new("RGBA", letters.size, (0, 0, 0, 0))
    image.putalpha(letters.point(lambda grey: 255 - grey))

    assert text_in_image(png(image), "page.png") == LINES[0]


def test_white_on_black_is_read() -> None:
    image = picture(LINES[:1]).point(lambda grey: 255 - grey)

    assert text_in_image(png(image), "night.png") == LINES[0]


def test_a_low_strip_is_read() -> None:
    assert text_in_image(png(picture(LINES[:1], (1200, 34), 20, 4)), "strip.png") == LINES[0]


def test_a_long_screenshot_stays_readable() -> None:
    image = picture([], (300, 4000))
    image.paste(picture(LINES[:1], (300, 60), 16), (0, 100))
    image.paste(picture(LINES[1:2], (300, 60), 16), (0, 3800))

    assert text_in_image(png(image), "long.png").split("\n") == LINES[:2]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 31)])
def test_every_size_is_taken(size: tuple[int, int]) -> None:
    assert text_in_image(png(Image.new("RGB", size, "white")), "small.png") == ""


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(200), png(picture(LINES))[:900]])
def test_what_is_no_picture_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InputUnreadable, match=r"cat\.png"):
        text_in_image(data, "cat.png")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda _name: None)

    with pytest.raises(InputUnreadable) as told:
        text_in_image(png(picture(LINES)), "cat.png")
    assert "pipx inject hychat rapidocr onnxruntime" in told.value.hint


def test_asking_whether_it_is_there_imports_nothing_and_reading_neither_writes_nor_fetches() -> None:
    program = (
        "import socket, sys; from hychat.attach import ocr; assert ocr.is_installed()\n"
        "assert not {'onnxruntime', 'PIL', 'numpy', 'rapidocr', 'cv2'} & {*sys.modules}\n"
        "socket.socket.connect = socket.getaddrinfo = None\n"
        "assert ocr.text_in_image(sys.stdin.buffer.read(), 'page')"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=png(picture(LINES)), capture_output=True, check=True)

    assert ended.stdout + ended.stderr == b""


def test_boxes_on_a_slightly_crooked_row_are_one_row() -> None:
    found = rows([box("b", 200, 104), box("a", 0, 100), box("c", 400, 108), box("d", 0, 140)])

    assert [[each.text for each in row] for row in found] == [["a", "b", "c"], ["d"]]


def test_between_chinese_characters_there_is_a_space_only_where_one_is_seen() -> None:
    assert line([box("湖上", 0, 10), box("有船", 104, 10)]) == "湖上有船"
    assert line([box("苹果", 0, 10), box("十二", 300, 10)]) == "苹果 十二"


def test_between_other_words_there_is_always_one() -> None:
    assert line([box("the", 0, 10), box("boat", 104, 10)]) == "the boat"
    assert line([box("用", 0, 10), box("GPU", 104, 10)]) == "用 GPU"


def test_errors_are_counted_by_the_least_changes() -> None:
    assert distance("kitten", "sitting") == 3
    assert error_rate("a  b\nc", "a b c") == 0


# In a process of its own


@pytest.fixture
def reader() -> Iterator[OcrProcess]:
    with closing(OcrProcess()) as made:
        yield made


def read(reader: OcrProcess, data: bytes) -> str:
    return result_of(reader.read(data, "page.png", CancelToken()))


def process_of(reader: OcrProcess) -> int:
    process = reader._process
    assert process is not None
    return process.pid


def test_a_process_of_its_own_reads_one_picture_after_the_other(reader: OcrProcess) -> None:
    assert read(reader, png(picture(LINES))).split("\n") == LINES
    first = process_of(reader)
    assert read(reader, png(picture(LINES[:1]))) == LINES[0]
    assert process_of(reader) == first


def test_what_is_stopped_ends_at_once_with_its_process_and_the_next_picture_is_read(reader: OcrProcess) -> None:
    cancel = CancelToken()
    reading = reader.read(png(picture(LINES)), "page.png", cancel)
    next(reading)
    process = process_of(reader)
    cancel.set()
    with pytest.raises(Interrupted):
        result_of(reading)
    assert ends(process)
    assert read(reader, png(picture(LINES[:1]))) == LINES[0]


def test_whoever_goes_away_leaves_no_answer_to_the_next_picture(reader: OcrProcess) -> None:
    reading = reader.read(png(picture(LINES)), "page.png", CancelToken())
    next(reading)
    reading.close()
    assert read(reader, png(picture(LINES[:1]))) == LINES[0]


def test_a_picture_is_read_once(reader: OcrProcess) -> None:
    read(reader, png(picture(LINES[:1])))
    reader.close()
    assert [*reader.read(png(picture(LINES[:1])), "again.png", CancelToken())] == []
    assert reader._process is None


def test_what_it_cannot_read_is_refused_by_name_and_it_goes_on(reader: OcrProcess) -> None:
    with pytest.raises(InputUnreadable, match=r"page\.png"):
        read(reader, b"no picture")
    assert read(reader, png(picture(LINES[:1]))) == LINES[0]


def test_a_process_that_dies_is_told_and_the_next_picture_starts_another(reader: OcrProcess) -> None:
    reading = reader.read(png(picture(LINES)), "page.png", CancelToken())
    next(reading)
    os.kill(process_of(reader), signal.SIGKILL)
    with pytest.raises(HychatError, match="ended unexpectedly"):
        result_of(reading)
    assert read(reader, png(picture(LINES[:1]))) == LINES[0]


def test_it_ends_at_once_where_nobody_waits_for_it_any_more(reader: OcrProcess) -> None:
    reading = reader.read(png(picture(LINES)), "page.png", CancelToken())
    next(reading)
    process = reader._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as the system does when this process dies
    assert ends(process.pid)


def test_a_reader_that_is_closed_leaves_no_process(reader: OcrProcess) -> None:
    read(reader, png(picture(LINES[:1])))
    process = process_of(reader)
    reader.close()
    assert ends(process)
