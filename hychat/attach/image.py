"""Images: checked, turned upright, freed of metadata, scaled, and written as what llama.cpp's decoder reads."""

import re
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Final, cast

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.messages import _

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

LARGEST_SIDE_PIXELS: Final = 2048
"""Projectors of Qwen3-VL and HunyuanOCR take no more than 2048 x 2048 pixels; llama.cpp scales anything larger down itself."""
MOST_BYTES: Final = 50_000_000
MOST_PIXELS: Final = 120_000_000
"""A phone's 108 megapixels pass. While so many are decoded they take 0.8 GB of memory, as WebP 2 GB.

The refusal writes the number out: in Chinese large numbers are counted in other steps.
"""
MOST_JPEG_SCANS: Final = 50
"""A progressive JPEG has about ten; a few bytes make another, and every one costs a walk over all pixels."""

_PLUGINS: Final = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "WebP": "WebPImagePlugin",
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
}
"""Formats and the modules of Pillow that read them; no other decoder ever runs."""
_MAGIC: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBPVP8", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
)
_BMP_HEADERS: Final = {12, 16, 40, 52, 56, 64, 108, 124}
"""Lengths in bytes; `BM` alone may begin a text."""
_HEIC_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_SVG: Final = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]", re.DOTALL
)
_HEAD_BYTES: Final = 2048
"""Where a format shows itself."""

_JPEG_START: Final = b"\xff\xd8"
_JPEG_SCAN: Final = b"\xff\xda"
_JPEG_END: Final = b"\xff\xd9"
_JPEG_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Those that may follow compressed data, in which 00 or D0 to D7 come after each FF."""

_DRAFT_GAP: Final = 1.4
"""How much larger than wanted a JPEG is decoded, at the least: fast, and the filter still has something to do."""
_REDUCING_GAP: Final = 3.0
"""As Pillow's documentation has it, no different from a resize of all pixels to the eye."""
_JPEG_QUALITY: Final = 92
_FULL_COLOUR: Final = 0
"""No chroma subsampling: coloured letters stay sharp."""
_ORIENTATION: Final = 0x0112
"""EXIF's tag."""


def is_image(data: bytes) -> bool:
    """Whether it is an image, by its first bytes; also one of a kind that `open_image` refuses by name."""
    return _format_of(data) is not None


def open_image(data: bytes, name: str, source: str | None, *, largest_side: int = LARGEST_SIDE_PIXELS) -> Attachment:
    """The first frame as an RGB image of 8 bits, upright, opaque on white, no side longer than `largest_side` pixels.

    PNG where the source is lossless, else JPEG; of the metadata nothing is left.

    Raises:
        InputUnreadable: It is too large, damaged, cut short, or of a kind that is not read here.
    """
    kind = _checked_format(data, name)
    try:
        image = _decoded(data, kind, largest_side)
        written, media_type = _written(_on_white(image), is_photo=_is_photo(data, kind))
    except _TooManyPixels as error:
        raise _too_many_pixels(name) from error
    except Exception as error:  # decoders of damaged data raise anything: SyntaxError, struct.error, MemoryError
        raise InputUnreadable(
            _("{name} is damaged or cut short: it cannot be read as {format}.").format(name=name, format=kind),
            hint=_("If an image viewer still shows it, save it anew there, as PNG or JPEG."),
        ) from error
    return Attachment(AttachmentKind.IMAGE, name, media_type, data=written, source=source)


class _TooManyPixels(Exception):
    """By its header."""


def _format_of(data: bytes) -> str | None:
    """Its name, HEIC and SVG among them; None for anything that is not an image."""
    for offset, magic, kind in _MAGIC:
        if data.startswith(magic, offset):
            return kind
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _format_of_brands(data)
    return "SVG" if _SVG.match(data[:_HEAD_BYTES]) else None


def _format_of_brands(data: bytes) -> str | None:
    """Of an ISO media file: AVIF, HEIC, or None for sound and video."""
    end = min(int.from_bytes(data[:4], "big"), _HEAD_BYTES)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if data[8:12] in _HEIC_BRANDS else None


def _checked_format(data: bytes, name: str) -> str:
    """One of those that are read, of a file that is not too large."""
    if len(data) > MOST_BYTES:
        raise too_many_bytes(name)
    kind = _format_of(data)
    if kind == "HEIC":
        raise InputUnreadable(
            _("{name} is a HEIC image, which hychat does not read.").format(name=name),
            hint=_("Turn it into a JPEG first: `heif-convert photo.heic photo.jpg`, or on macOS "
                   "`sips -s format jpeg photo.heic --out photo.jpg`."),
        )  # fmt: skip
    if kind == "SVG":
        raise InputUnreadable(
            _("{name} is an SVG drawing, which hychat does not draw.").format(name=name),
            hint=_("Turn it into a PNG first: `rsvg-convert drawing.svg -o drawing.png`; or give its text with -f."),
        )
    if kind is None:
        raise InputUnreadable(
            _("{name} is not an image that hychat reads.").format(name=name),
            hint=_("It reads {formats}.").format(formats=", ".join(_PLUGINS)),
        )
    return kind


def too_many_bytes(name: str) -> InputUnreadable:
    """What to raise where a file is larger than any that is taken."""
    return InputUnreadable(
        _("{name} is larger than {most} MB, the most that can be attached.").format(
            name=name, most=MOST_BYTES // 1_000_000
        ),
        hint=_("Attach a part of it, or a smaller version."),
    )


def _too_many_pixels(name: str) -> InputUnreadable:
    return InputUnreadable(
        _("{name} says that it has more than 120 million pixels, the most that an image may have.").format(name=name),
        hint=_("Scale it down first; a model looks at no more than about four million."),
    )


def _decoded(data: bytes, kind: str, largest_side: int) -> "Image":
    """Its first frame, scaled and upright, in whatever 8-bit mode.

    Raises:
        _TooManyPixels: Before anything is decoded.
        Exception: Anything at all, where it is damaged.
    """
    from PIL import Image

    _hush()
    import_module(f"PIL.{_PLUGINS[kind]}")  # Image.open would import all forty
    if kind == "JPEG" and _has_too_many_scans(data):
        raise ValueError(kind)
    try:
        opened = Image.open(BytesIO(data), formats=(kind,))
    except Image.DecompressionBombError as error:
        raise _TooManyPixels from error
    if opened.width * opened.height > MOST_PIXELS:
        raise _TooManyPixels
    size = _fitted(opened.size, largest_side)
    opened.draft(None, (int(size[0] * _DRAFT_GAP), int(size[1] * _DRAFT_GAP)))  # does nothing where it is no JPEG
    opened.load()
    turn = _turn(opened)
    image = _in_eight_bits(opened)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return image if turn is None else image.transpose(turn)


def _has_too_many_scans(jpeg: bytes) -> bool:
    """Counted as a decoder meets them: a thumbnail in the metadata and a film behind the end are none."""
    scans = at = 0
    while scans <= MOST_JPEG_SCANS and (marker := _JPEG_MARKER.search(jpeg, at)) and marker[0] != _JPEG_END:
        scans += marker[0] == _JPEG_SCAN
        length = 0 if marker[0] == _JPEG_START else int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        at = marker.end() + length
    return scans > MOST_JPEG_SCANS


def _hush() -> None:
    """Keep what Pillow and libtiff have to say about a file from the terminal."""
    import ctypes
    import logging
    import warnings

    from PIL import _imaging

    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # for good: catch_warnings is not safe among threads
    with suppress(AttributeError):  # some builds hide libtiff, which writes its complaints to fd 2, as the chat does
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _fitted(size: tuple[int, int], largest_side: int) -> tuple[int, int]:
    """The size to scale to: same shape, never up."""
    scale = min(1.0, largest_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _turn(image: "Image") -> "Transpose | None":
    """What puts it upright, by EXIF; None where nothing does."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        return turns.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata raises anything, and is no reason to refuse the picture
        return None


def _in_eight_bits(image: "Image") -> "Image":
    """In L, RGB or RGBA, which can be scaled."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if image.mode in {"I", "F"}:
        return _stretched(image)
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in {"1", "L"} else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _stretched(image: "Image") -> "Image":
    """Grey levels of 32 bits, whose range nobody tells: its own from black to white."""
    low, high = cast("tuple[float, float]", image.getextrema())  # of one channel
    scale = 255 / (high - low) if high > low else 0.0
    return image.convert("F").point(lambda level: level * scale + -low * scale).convert("L")


def _is_photo(data: bytes, kind: str) -> bool:
    """Whether the picture was compressed as photographs are."""
    return kind in {"JPEG", "AVIF"} or (kind == "WebP" and not data.startswith(b"VP8L", 12))


def _on_white(image: "Image") -> "Image":
    """As RGB."""
    from PIL import Image

    if image.mode != "RGBA":
        return image.convert("RGB")
    picture = Image.new("RGB", image.size, "white")
    picture.paste(image, mask=image)
    return picture


def _written(picture: "Image", *, is_photo: bool) -> tuple[bytes, str]:
    """The bytes and their media type."""
    picture.info = {}  # savers take colour profiles and comments from there
    buffer = BytesIO()
    if is_photo:
        picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=_FULL_COLOUR)
        return buffer.getvalue(), "image/jpeg"
    picture.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"
