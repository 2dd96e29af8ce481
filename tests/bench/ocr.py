"""Text read out of pictures: seconds a page, and how many characters are wrong."""

import subprocess
from collections.abc import Iterator, Sequence
from importlib.resources import files
from io import BytesIO
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Final, NamedTuple

from hychat.attach.ocr import text_in_image
from tests.bench.row import Row, at_most

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_ERRORS: Final = Row(
    "ocr-errors", "characters wrong on ten rendered pages, in English, Chinese and both, over 3 %", "%", at_most(1)
)
_WORST: Final = Row("ocr-worst-page", "the same, on the worst of them; and the share on all", "%")
_SECONDS: Final = Row("ocr-page", "a page of 1240 x 1754, median; and the slowest", "s")
_WORK: Final = Row("ocr-page-work", "the processor's time for it, median; and the most", "s")

_SIZE: Final = 1240, 1754
"""A4 at 150 dots an inch."""
_MARGIN: Final = 90
_FONTS: Final = {
    "latin": ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"),
    "chinese": ("Noto Sans CJK SC", "Noto Serif CJK SC", "WenQuanYi Zen Hei"),
}
_PAGES: Final = (
    ("en", "latin", 0, 24),
    ("en", "latin", 1, 22),
    ("en", "latin", 2, 20),
    ("en", "chinese", 0, 26),
    ("zh", "chinese", 0, 28),
    ("zh", "chinese", 1, 24),
    ("zh", "chinese", 2, 24),
    ("both", "chinese", 0, 26),
    ("both", "chinese", 1, 24),
    ("both", "chinese", 2, 22),
)
"""Language, kind of font and which, pixels of a letter."""


class Page(NamedTuple):
    """A picture, and what stands on it."""

    text: str
    png: bytes


class NoFont(OSError):
    """None of a kind is on this machine."""


def rows(rounds: int) -> Iterator[Row]:
    """In this process, at most two threads; the texts are harmless rows of the filter's trainer."""
    try:
        made = list(pages())
    except OSError as error:
        yield _ERRORS.not_measured(str(error))
        return
    text_in_image(made[0].png, "page")  # loads
    seconds: list[float] = []
    work: list[float] = []
    wrong: list[float] = []
    for page in made:
        for _round in range(max(1, rounds // 2)):
            started, worked = perf_counter(), process_time()
            read = text_in_image(page.png, "page")
            seconds.append(perf_counter() - started)
            work.append(process_time() - worked)
        wrong.append(error_rate(page.text, read))
    total = 100 * sum(rate * len(normal(page.text)) for rate, page in zip(wrong, made, strict=True))
    share = total / sum(len(normal(page.text)) for page in made)
    yield _ERRORS.measured([(share, 3.0)])
    yield _WORST.measured([(100 * max(wrong), share)])
    yield _SECONDS.measured([(median(seconds), max(seconds))])
    yield _WORK.measured([(median(work), max(work))])


def pages() -> Iterator[Page]:
    """All ten.

    Raises:
        OSError: There is no such font, or no fontconfig to find one.
    """
    faces = [font(kind, which, pixels) for _language, kind, which, pixels in _PAGES]  # what is missing is told at once
    lines = {language: _lines(language) for language in ("en", "zh")}
    lines["both"] = [text for pair in zip(lines["en"], lines["zh"], strict=False) for text in pair]
    for number, ((language, _kind, _which, _pixels), face) in enumerate(zip(_PAGES, faces, strict=True)):
        yield render(lines[language][number * 40 :], face)


def _lines(language: str) -> list[str]:
    return (files("hychat.safety.training") / "own" / f"{language}_harmless.txt").read_text("utf-8").splitlines()


def font(kind: str, which: int, pixels: int) -> "FreeTypeFont":
    """The nth of a kind, or the first that is here. Raises as `pages`."""
    from PIL import ImageFont

    names = _FONTS[kind]
    for name in (names[which], *names):
        asked = ["fc-match", "--format", "%{file}\t%{index}\t%{family}", name]
        path, index, family = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split("\t")
        if name in family.split(","):  # else it is what fontconfig has instead
            return ImageFont.truetype(path, pixels, index=int(index))
    raise NoFont(f"none of the fonts {', '.join(names)}")


def render(texts: Sequence[str], face: "FreeTypeFont") -> Page:
    """As many of the texts as a page holds, each from a new line, wrapped where the width ends."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(image)
    spacing = round(1.7 * face.size)
    room = range(_MARGIN, _SIZE[1] - _MARGIN - spacing, spacing)
    written = [line for text in texts for line in _wrapped(text, face)][: len(room)]
    for y, line in zip(room, written, strict=False):
        draw.text((_MARGIN, y), line, font=face, fill="black")
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Page("\n".join(written), buffer.getvalue())


def _wrapped(text: str, face: "FreeTypeFont") -> Iterator[str]:
    """Between words, or between Chinese characters."""
    line = ""
    for letter in text:
        line += letter
        if face.getlength(line) > _SIZE[0] - 2 * _MARGIN:
            cut = line.rfind(" ") + 1 if " " in line and line[-1].isascii() else len(line) - 1
            yield line[:cut].rstrip()
            line = line[cut:]
    yield line


def normal(text: str) -> str:
    """With one space for all that is none."""
    return " ".join(text.split())


def error_rate(wanted: str, read: str) -> float:
    """Letters to change, to add and to take away (Levenshtein), over those that should be there."""
    return distance(normal(wanted), normal(read)) / max(1, len(normal(wanted)))


def distance(first: Sequence[str], second: Sequence[str]) -> int:
    """The least changes that make one the other."""
    row = list(range(len(second) + 1))
    for number, one in enumerate(first, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(second, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (one != other))
    return row[-1]
