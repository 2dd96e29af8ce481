"""Text read out of a picture on this machine, by RapidOCR: Chinese and English, with models that its package brings.

The pixels are fitted here. RapidOCR's own rules enlarge a strip of 300 x 40 until it takes ten seconds, and shrink a long
screenshot until nobody can read it.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.errors import InputUnreadable
from hychat.messages import _

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL.Image import Image

_THREADS: Final = 2
_MOST_PIXELS: Final = 2_500_000
"""An A4 page at 150 dots an inch has 2.2 million."""
_NARROWEST: Final = 16
"""Times that a picture may be longer than wide before it gets a margin: a model's width and height are cut to 32s."""
_SMALLEST_SIDE: Final = 64
_SAME_ROW: Final = 0.5
"""Of the lower one's height: how far apart the middles of two boxes on a row may be."""
_SPACE: Final = 0.6
"""Of a height: the least gap that is a space where neither side is of a script that has them."""

_reading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of text and where it stands, in pixels from the left and from the top."""

    text: str
    left: float
    right: float
    middle: float
    height: float


def is_installed() -> bool:
    """Whether the packages of the extra `ocr` are there; they are not imported."""
    return all(find_spec(package) for package in ("rapidocr", "onnxruntime"))


def text_in_image(data: bytes, name: str, threads: int = _THREADS) -> str:
    """The text in a PNG or JPEG, row by row; empty where there is none.

    The reader is loaded by the first call and kept; `threads` is the most that it takes.

    Raises:
        InputUnreadable: It is no picture, or the packages are missing.
    """
    if not is_installed():
        raise InputUnreadable(
            _("{name}: text in pictures is read by a package that is not installed.").format(name=name),
            hint="pipx inject hychat rapidocr onnxruntime",
        )
    pixels = _fitted(_opened(data, name))
    with _reading:  # it keeps what it is doing in itself
        found = _reader(threads)(pixels)
    if not found.txts:
        return ""
    return "\n".join(line(row) for row in rows(map(_box, found.txts, found.boxes.tolist())))


def rows(boxes: Iterable[Box]) -> list[list[Box]]:
    """From top to bottom, each from left to right."""
    found: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.middle):
        row = found[-1] if found else []
        if row and box.middle - fmean(other.middle for other in row) < _SAME_ROW * min(box.height, row[-1].height):
            row.append(box)
        else:
            found.append([box])
    return [sorted(row, key=lambda box: box.left) for row in found]


def line(row: Sequence[Box]) -> str:
    """The text of a row; between Chinese characters there is a space only where there is one to see."""
    text = row[0].text
    for before, box in pairwise(row):
        is_apart = box.left - before.right >= _SPACE * min(before.height, box.height)
        has_spaces = not (_is_chinese(before.text[-1:]) and _is_chinese(box.text[:1]))
        text += " " + box.text if is_apart or has_spaces else box.text
    return text


def _is_chinese(letter: str) -> bool:
    """Ideographs, and the punctuation that goes with them."""
    return "\u3000" <= letter <= "\u9fff" or "\uff00" <= letter <= "\uffef"


def _box(text: str, corners: Sequence[Sequence[float]]) -> Box:
    """From its corners, clockwise from the upper left."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    return Box(text.strip(), min(x0, x3), max(x1, x2), fmean((y0, y1, y2, y3)), (y2 + y3 - y0 - y1) / 2)


def _opened(data: bytes, name: str) -> "Image":
    """In colours, what is transparent on white."""
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if not image.has_transparency_data:
                return image.convert("RGB")
            opaque = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputUnreadable(_("{name} is not a picture that can be opened.").format(name=name)) from error


def _fitted(image: "Image") -> "NDArray[uint8]":
    """As many pixels as are read at once, in a shape that the detector can work on; blue first, as OpenCV has it."""
    import numpy as np

    scale = min(1.0, (_MOST_PIXELS / (image.width * image.height)) ** 0.5)
    if scale < 1:
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), reducing_gap=2)
    pixels = np.asarray(image)[:, :, ::-1]
    least = max(_SMALLEST_SIDE, max(image.size) // _NARROWEST)
    if least <= min(image.size):
        return pixels
    framed = np.full((max(image.height, least), max(image.width, least), 3), pixels[0, 0])
    top, left = (framed.shape[0] - image.height) // 2, (framed.shape[1] - image.width) // 2
    framed[top : top + image.height, left : left + image.width] = pixels
    return framed


@lru_cache(maxsize=1)
def _reader(threads: int) -> Any:
    """Both models by their paths, so none is looked for elsewhere, or fetched."""
    import logging
    import os

    logging.getLogger("RapidOCR").disabled = True  # it would write to stderr
    import cv2
    import rapidocr

    threads = min(threads, os.cpu_count() or 1)  # asked for more than there are, it would take all
    cv2.setNumThreads(threads)
    folder = Path(rapidocr.__file__).parent / "models"
    models = {part: next(folder.glob(f"*_{part.lower()}_*.onnx"), None) for part in ("Det", "Rec")}
    if None in models.values():
        raise InputUnreadable(
            _("The installed package rapidocr brings no models."), hint="pipx inject --force hychat 'rapidocr==3.10.*'"
        )
    return rapidocr.RapidOCR(
        params={
            **{f"{part}.model_path": str(path) for part, path in models.items()},
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.limit_type": "max",
            "Det.limit_side_len": _MOST_PIXELS,
            "Global.max_side_len": _MOST_PIXELS,
            "Rec.rec_batch_num": 1,  # several at once wait for the longest
            "Global.use_cls": False,  # it takes one long line in thirty to stand on its head
            "Global.log_level": "critical",
            "Global.use_vertical_padding": False,
        }
    )
