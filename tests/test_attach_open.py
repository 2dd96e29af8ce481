import io
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from hychat.attach.image import MOST_BYTES
from hychat.attach.open import dropped_paths, is_sound, open_attachment, open_bytes, typed_path
from hychat.attach.text import text_part
from hychat.domain.attachment import AttachmentKind
from hychat.domain.errors import InputUnreadable

SOUNDS = {
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "MP3 with tags": b"ID3\x04\0\0\0\0\0\0",
    "MP3": b"\xff\xfb\x90\x64\0\0",
    "OGG": b"OggS\0\x02\0\0",
    "FLAC": b"fLaC\0\0\0\x22",
    "M4A": b"\0\0\0\x1cftypM4A \0\0\0\0",
}


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


def refusal(path: Path) -> InputUnreadable:
    with pytest.raises(InputUnreadable) as caught:
        open_attachment(path)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png())
    return path


def test_an_image_is_told_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(png())
    attachment = open_attachment(path)
    assert (attachment.kind, attachment.name, attachment.source) == (AttachmentKind.IMAGE, "notes.txt", str(path))


def test_a_text_is_told_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xff")
    attachment = open_attachment(path)
    assert (attachment.kind, attachment.text) == (AttachmentKind.TEXT, "one\ntwo \ufffd")
    assert (attachment.name, attachment.source) == ("picture.png", str(path))


def test_bytes_from_a_pipe_have_no_source() -> None:
    attachment = open_bytes(png(), "stdin")
    assert (attachment.kind, attachment.name, attachment.source) == (AttachmentKind.IMAGE, "stdin", None)


def test_a_relative_path_is_kept_whole(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    assert open_attachment(Path(photo.name)).source == str(photo)


def test_a_missing_file_is_named_with_the_reason(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.png").message
    assert str(tmp_path / "none.png") in message
    assert "No such file" in message


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == f"{tmp_path} is a folder."


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "pipe" in refusal(tmp_path / "fifo").message


def test_a_device_is_refused() -> None:
    assert "device" in refusal(Path("/dev/zero")).message


def test_what_the_system_refuses_to_open_is_refused_with_its_reason(photo: Path) -> None:
    assert "Not a directory" in refusal(photo / "inside").message


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    assert "aaa" in refusal(Path(name)).message or "a\\x00b" in refusal(Path(name)).message


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert str(tmp_path / "link") in refusal(tmp_path / "link").message


def test_a_file_that_is_too_large_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "50 MB" in refusal(path).message


def test_bytes_that_are_too_many_are_refused() -> None:
    with pytest.raises(InputUnreadable, match="stdin is larger than 50 MB"):
        open_bytes(b"a" * (MOST_BYTES + 1), "stdin")


def test_what_is_neither_text_nor_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF\0\0")
    assert "not text" in refusal(path).message


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n"])
def test_an_empty_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(content)
    assert refusal(tmp_path / "photo.png").message == "photo.png is empty."


@pytest.mark.parametrize("address", ["https://example.org/photo.png", "s3://bucket/photo.png"])
def test_an_address_is_refused_as_such(address: str) -> None:
    assert refusal(Path(address)).message == f"{address} is an address, and hychat opens none."


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_sound_is_told_by_its_content_and_left_to_who_writes_it_down(sound: str) -> None:
    assert open_bytes(SOUNDS[sound], "song.txt").kind is AttachmentKind.SOUND


@pytest.mark.parametrize("text", ["", "RIFF", "RIFF\x24\0\0\0AVI ", "ID", "Oggs", "video"])
def test_a_text_is_no_sound(text: str) -> None:
    assert not is_sound(text.encode())


def test_the_byte_order_mark_of_utf_16_is_no_sound() -> None:
    assert not is_sound("hello".encode("utf-16"))


@pytest.fixture
def drops(tmp_path: Path) -> tuple[Path, Path]:
    """Two files whose names are hard to paste."""
    folder = tmp_path / "My Photos (2)"
    folder.mkdir()
    first, second = folder / "it's 100% a.png", folder / "天空.png"
    first.touch()
    second.touch()
    return first, second


def escaped(path: Path) -> str:
    return "".join(f"\\{letter}" if letter in " ()'%" else letter for letter in str(path))


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


@pytest.mark.parametrize("written", [str, escaped, quoted, Path.as_uri, lambda path: f'"{path}"'])
def test_a_dropped_file_is_found_however_its_path_is_written(drops: tuple[Path, Path], written: object) -> None:
    assert callable(written)
    for path in drops:
        assert dropped_paths(written(path)) == [path]
        assert dropped_paths(f" {written(path)} \r\n") == [path]


@pytest.mark.parametrize("written", [escaped, quoted, Path.as_uri])
@pytest.mark.parametrize("between", [" ", "\n", "\r\n"])
def test_several_dropped_files_are_found_in_their_order(
    drops: tuple[Path, Path], written: object, between: str
) -> None:
    assert callable(written)
    assert dropped_paths(between.join(map(written, drops))) == [*drops]


def test_bare_paths_with_spaces_are_found_a_line_each(drops: tuple[Path, Path]) -> None:
    assert dropped_paths(f"{drops[0]}\n{drops[1]}\n") == [*drops]


def test_a_uri_may_hold_an_apostrophe_and_the_name_of_this_machine(drops: tuple[Path, Path]) -> None:
    uris = [path.as_uri().replace("%27", "'") for path in drops]
    assert dropped_paths(" ".join(uris)) == [*drops]
    assert dropped_paths(uris[1].replace("file://", "file://localhost")) == [drops[1]]


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, drops: tuple[Path, Path]) -> None:
    monkeypatch.setenv("HOME", str(drops[0].parent.parent))
    assert dropped_paths("~/My\\ Photos\\ \\(2\\)/天空.png") == [drops[1]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "hello",
        "photo.png",
        "./photo.png",
        "what is in photo.png?",
        "photo.png photo.png",
        "don't",
        "/help",
        "~",
        "~nobody/photo.png",
        "file:",
        "file:photo.png",
        "file://[/photo.png",
        "https://example.org/photo.png",
        '"',
        "\\",
        "/\0",
        "/" + "a" * 5000,
    ],
)
def test_words_are_no_drop(photo: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    assert dropped_paths(text) == []


def test_a_path_among_words_is_no_drop(photo: Path) -> None:
    assert dropped_paths(f"look at {photo}") == []
    assert dropped_paths(f"{photo} {photo.parent / 'none.png'}") == []


def test_a_folder_is_no_drop(tmp_path: Path) -> None:
    assert dropped_paths(str(tmp_path)) == []


@pytest.mark.parametrize("start", ["file://example.org", "/", "file:////example.org"])
def test_another_machine_is_never_asked(photo: Path, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.path.isfile", lambda _path: pytest.fail("the file was looked for"))
        assert dropped_paths(f"{start}{photo}") == []


def test_a_huge_paste_is_told_at_once(photo: Path) -> None:
    for text in (f"{photo} " * 200_000, "/" * 10_000_000, "'" * 16_000, "/a " * 5_000, "\\ " * 8_000):
        started = time.perf_counter()
        assert dropped_paths(text) == []
        assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("written", [str, escaped, quoted, Path.as_uri, lambda path: f'"{path}"'])
def test_a_typed_path_is_found_however_it_is_written(drops: tuple[Path, Path], written: object) -> None:
    assert callable(written)
    for path in drops:
        assert typed_path(written(path)) == path


@pytest.mark.parametrize(
    "typed", ["it's 100% a.png", '"it\'s 100% a.png"', "it\\'s\\ 100%\\ a.png", "~/it's 100% a.png"]
)
def test_a_typed_path_may_be_relative_or_begin_at_home(
    typed: str, drops: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drops[0].parent)
    monkeypatch.setenv("HOME", str(drops[0].parent))
    assert typed_path(typed).absolute() == drops[0]


@pytest.mark.parametrize(
    ("typed", "path"), [('"no such.png"', "no such.png"), ("no such.png", "no such.png"), ("don't", "don't")]
)
def test_a_typed_path_that_is_not_there_is_told_as_it_is_meant(typed: str, path: str) -> None:
    assert typed_path(typed) == Path(path)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("word" * 300, 300), ("湖上有" * 100, 200), ("船 boat", 2)])
def test_tokens_are_estimated_by_the_script(text: str, tokens: int) -> None:
    assert text_part(text, "note.txt").attachment.estimated_tokens == tokens


def test_a_picture_has_no_number_of_tokens_of_its_own(photo: Path) -> None:
    assert open_attachment(photo).estimated_tokens is None
