import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from PIL import Image, ImageChops, ImageStat, PngImagePlugin

from hychat.attach import image as door
from hychat.attach.image import LARGEST_SIDE_PIXELS, MOST_BYTES, MOST_PIXELS, is_image, open_image
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.messages import choose_language

FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "JPEG": {},
    "PNG": {},
    "GIF": {},
    "WEBP": {},
    "AVIF": {"speed": 10},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
}
"""Pillow's names, and how the test writes them."""
DAMAGED_IMAGES: Final = 500
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION: Final = 0x0112
SECRET: Final = b"40.446N 79.982W"
TURNED: Final = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera held in each way does to what it sees."""


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **{**FORMATS.get(kind, {}), **options})
    return buffer.getvalue()


def picture(width: int = 40, height: int = 24) -> Image.Image:
    """Red, green, blue and white quarters, which no turn leaves as they are."""
    image = Image.new("RGB", (width, height), "white")
    for colour, corner in ((RED, (0, 0)), (GREEN, (width // 2, 0)), (BLUE, (0, height // 2))):
        image.paste(colour, (*corner, corner[0] + width // 2, corner[1] + height // 2))
    return image


def opened(data: bytes, **options: Any) -> Attachment:
    return open_image(data, "photo", None, **options)


def seen(data: bytes, **options: Any) -> Image.Image:
    """What a model gets."""
    image = Image.open(io.BytesIO(opened(data, **options).data))
    image.load()
    return image


def difference(first: Image.Image, second: Image.Image) -> float:
    """Root mean square of 255, the worst channel."""
    assert first.size == second.size
    return max(ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB"))).rms)


def refusal(data: bytes) -> InputUnreadable:
    with pytest.raises(InputUnreadable) as caught:
        opened(data)
    assert caught.value.hint
    assert "photo" in caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_comes_out_as_the_same_picture(kind: str) -> None:
    assert difference(seen(saved(picture(), kind)), picture()) < 30


@pytest.mark.parametrize(
    ("kind", "options", "media_type"),
    [
        ("JPEG", {}, "image/jpeg"),
        ("WEBP", {}, "image/jpeg"),
        ("AVIF", {}, "image/jpeg"),
        ("WEBP", {"lossless": True}, "image/png"),
        ("PNG", {}, "image/png"),
        ("GIF", {}, "image/png"),
        ("BMP", {}, "image/png"),
        ("TIFF", {}, "image/png"),
    ],
)
def test_photos_become_jpeg_and_lossless_images_png(kind: str, options: dict[str, Any], media_type: str) -> None:
    attachment = opened(saved(picture(), kind, **options))
    assert (attachment.kind, attachment.media_type) == (AttachmentKind.IMAGE, media_type)
    assert Image.MIME[Image.open(io.BytesIO(attachment.data)).format or ""] == media_type


@pytest.mark.parametrize("kind", FORMATS)
def test_the_decoder_of_llama_cpp_reads_what_comes_out(kind: str) -> None:
    from llama_cpp import mtmd_cpp

    data = opened(saved(picture(), kind)).data
    buffer = (mtmd_cpp.c_uint8 * len(data)).from_buffer_copy(data)
    bitmap = mtmd_cpp.mtmd_helper_bitmap_init_from_buf(None, buffer, len(data), False)
    assert bitmap is not None
    size = mtmd_cpp.mtmd_bitmap_get_nx(bitmap), mtmd_cpp.mtmd_bitmap_get_ny(bitmap)
    pixels = bytes(mtmd_cpp.mtmd_bitmap_get_data(bitmap)[: mtmd_cpp.mtmd_bitmap_get_n_bytes(bitmap)])
    mtmd_cpp.mtmd_bitmap_free(bitmap)
    assert difference(Image.frombytes("RGB", size, pixels), picture()) < 30


def test_name_and_source_stay_with_the_image() -> None:
    attachment = open_image(saved(picture(), "PNG"), "a.jpg", "/home/a.jpg")
    assert (attachment.name, attachment.source) == ("a.jpg", "/home/a.jpg")


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_is_known_by_its_content(kind: str) -> None:
    assert is_image(saved(picture(), kind))


@pytest.mark.parametrize(
    "text", ["", "BMW builds cars", "RIFF and riffraff", "II. and MM.", "<html><svg/></html>", "\ufeffhello", "ftyp"]
)
def test_a_text_is_no_image(text: str) -> None:
    assert not is_image(text.encode())


def test_telling_an_image_does_not_import_pillow() -> None:
    import subprocess
    import sys

    script = "import sys, hychat.attach.open as o; o.is_image(b'GIF89a'); sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in {"GIF", "BMP"}])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_turned_photo_is_put_upright(kind: str, orientation: int) -> None:
    turn = TURNED[orientation]
    taken = picture() if turn is None else picture().transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options: dict[str, Any] = {"tiffinfo": {ORIENTATION: orientation}} if kind == "TIFF" else {"exif": exif}
    assert difference(seen(saved(taken, kind, **options)), picture()) < 30


def test_a_turned_photo_is_also_upright_when_it_is_scaled() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    taken = picture(400, 240).transpose(Image.Transpose.ROTATE_90)
    shown = seen(saved(taken, "JPEG", exif=exif), largest_side=40)
    assert difference(shown, picture()) < 30


def test_damaged_exif_is_no_reason_to_refuse_a_photo() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(40))
    assert difference(seen(saved(picture(), "JPEG", exif=exif)), picture()) < 30


def with_secrets(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825)[0x001D] = SECRET.decode()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"exif": exif, "comment": SECRET, "icc_profile": SECRET, "xmp": SECRET},
        "PNG": {"exif": exif, "pnginfo": text, "icc_profile": SECRET},
        "GIF": {"comment": SECRET},
        "WEBP": {"exif": exif, "icc_profile": SECRET, "xmp": SECRET},
        "AVIF": {"exif": exif, "xmp": SECRET},
        "TIFF": {"exif": exif, "icc_profile": SECRET},
    }
    return saved(picture(), kind, **options[kind])


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "BMP"])
def test_metadata_does_not_survive(kind: str) -> None:
    data = with_secrets(kind)
    assert SECRET in data
    attachment = opened(data)
    image = Image.open(io.BytesIO(attachment.data))
    image.load()
    assert SECRET not in attachment.data
    assert not image.getexif()
    assert not {"icc_profile", "exif", "xmp", "comment", "Comment", "XML:com.adobe.xmp"} & {*image.info}


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (24, 24), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert difference(seen(data), frames[0]) < 5


def test_of_a_camera_s_file_of_several_photos_the_first_is_taken() -> None:
    data = saved(picture(), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 24), BLUE)])
    assert difference(seen(data), picture()) < 30


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_what_is_transparent_becomes_white(kind: str) -> None:
    clear = Image.new("RGBA", (24, 24), (0, 0, 0, 0))
    assert difference(seen(saved(clear, kind)), Image.new("RGB", (24, 24), "white")) < 2


def test_what_is_half_transparent_is_mixed_with_white() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 127))
    assert difference(seen(saved(half, "PNG")), Image.new("RGB", (8, 8), (255, 128, 128))) < 2


def test_a_transparent_colour_of_a_palette_becomes_white() -> None:
    image = picture().quantize(8)
    data = saved(image, "GIF", transparency=image.getpixel((1, 1)))
    assert seen(data).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_rgb_of_8_bits(mode: str) -> None:
    grey = Image.linear_gradient("L").resize((40, 24))
    image = grey.convert("I").point(lambda level: level * 257).convert(mode) if mode == "I;16" else grey.convert(mode)
    shown = seen(saved(image, "PNG"))
    assert shown.mode == "RGB"
    assert difference(shown, image.convert("RGB") if mode == "1" else grey) < 5


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_every_mode_of_jpeg_becomes_rgb(mode: str) -> None:
    image = picture().convert(mode)
    shown = seen(saved(image, "JPEG"))
    assert shown.mode == "RGB"
    assert difference(shown, image.convert("RGB")) < 30


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F", "CMYK", "YCbCr", "1", "P", "LA"])
def test_every_mode_of_tiff_becomes_rgb_of_8_bits(mode: str) -> None:
    grey = Image.linear_gradient("L").resize((40, 24))
    if mode.startswith("I;16"):
        image = grey.convert("I").point(lambda level: level * 257).convert(mode)
    elif mode in {"I", "F"}:
        image = grey.convert("F").point(lambda level: level * 1000 + -9).convert(mode)
    else:
        image = grey.convert(mode)
    compression = "tiff_adobe_deflate" if mode != "YCbCr" else "raw"
    shown = seen(saved(image, "TIFF", compression=compression))
    assert shown.mode == "RGB"
    assert difference(shown, image.convert("RGB") if mode == "1" else grey) < 8


def test_a_large_image_is_scaled_to_the_largest_side() -> None:
    assert seen(saved(picture(400, 240), "JPEG"), largest_side=100).size == (100, 60)


def test_a_scaled_photo_is_what_a_plain_resize_makes_of_it() -> None:
    large = Image.merge("RGB", [Image.radial_gradient("L").resize((1200, 800)).rotate(turn) for turn in (0, 90, 9)])
    plain = large.resize((300, 200), Image.Resampling.LANCZOS)
    assert difference(seen(saved(large, "JPEG", quality=95), largest_side=300), plain) < 3


def test_a_small_image_is_never_scaled_up() -> None:
    assert seen(saved(picture(), "PNG")).size == (40, 24)


def test_a_thin_image_keeps_a_pixel_of_its_short_side() -> None:
    assert seen(saved(Image.new("RGB", (5000, 1)), "PNG")).size == (LARGEST_SIDE_PIXELS, 1)


def png_of(width: int, height: int) -> bytes:
    """One that declares a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [60_000, 11_000])
def test_a_pixel_bomb_is_refused_without_decoding(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _image: pytest.fail("it was decoded"))
    assert f"{MOST_PIXELS // 10**6} million pixels" in refusal(png_of(side, side)).message


def test_chinese_counts_pixels_in_its_own_steps() -> None:
    choose_language("zh")
    assert f"{MOST_PIXELS / 10**8:g} 亿像素" in refusal(png_of(11_000, 11_000)).message


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = saved(picture(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert "damaged" in refusal(data[:-2] + scan * door.MOST_JPEG_SCANS + data[-2:]).message


def test_a_film_behind_a_photo_does_not_count_as_scans() -> None:
    assert difference(seen(saved(picture(), "JPEG") + b"\xff\xda" * 1000), picture()) < 30


def test_a_file_that_is_too_large_is_refused() -> None:
    assert "50 MB" in refusal(saved(picture(), "PNG") + bytes(MOST_BYTES)).message


def test_an_empty_file_is_refused() -> None:
    refusal(b"")


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"heix\0\0\0\0"])
def test_heic_is_refused_by_name(brands: bytes) -> None:
    data = struct.pack(">I", len(brands) + 8) + b"ftyp" + brands
    assert is_image(data)
    error = refusal(data)
    assert "HEIC" in error.message
    assert "heif-convert" in error.hint


@pytest.mark.parametrize("start", ["", '<?xml version="1.0"?>\n<!-- Made by hand -->\n', "\ufeff<!DOCTYPE svg>"])
def test_svg_is_refused_by_name(start: str) -> None:
    data = f'{start}<svg xmlns="http://www.w3.org/2000/svg"/>'.encode()
    assert is_image(data)
    error = refusal(data)
    assert "SVG" in error.message
    assert "rsvg-convert" in error.hint


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "JPEG2000", "PCX", "EPS", "PDF"])
def test_no_other_decoder_of_pillow_runs(kind: str) -> None:
    assert "AVIF" in refusal(saved(picture(), kind)).hint


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_that_is_cut_short_is_refused(kind: str) -> None:
    data = saved(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    assert "cut short" in refusal(data[: len(data) * 6 // 10]).message


def test_a_decoder_that_runs_out_of_memory_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_image: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fails)
    assert "PNG" in refusal(saved(picture(), "PNG")).message


def flipped(data: bytearray, chance: random.Random) -> bytes:
    for _flip in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def torn(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def holed(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, 64)]
    return bytes(data)


def stretched(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.randint(1, 64))
    return bytes(data)


def swollen(data: bytearray, chance: random.Random) -> bytes:
    """Large numbers where lengths and sizes stand."""
    start = chance.randrange(min(64, len(data) - 4))
    data[start : start + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\0\0"))
    return bytes(data)


DAMAGES: Final[tuple[Callable[[bytearray, random.Random], bytes], ...]] = (flipped, torn, holed, stretched, swollen)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_image_is_a_refusal_or_a_picture(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(kind)  # noqa: S311 - the same damage in every run
    plain, full = saved(picture(), kind), saved(Image.effect_noise((32, 32), 90).convert("RGB"), kind)
    for number in range(DAMAGED_IMAGES):
        damaged = DAMAGES[number % len(DAMAGES)](bytearray(chance.choice((plain, full))), chance)
        try:
            attachment = opened(damaged)
        except InputUnreadable as error:
            assert error.hint  # noqa: PT017 - either is right
        else:
            assert max(Image.open(io.BytesIO(attachment.data)).size) <= LARGEST_SIDE_PIXELS
    assert capfd.readouterr() == ("", "")
