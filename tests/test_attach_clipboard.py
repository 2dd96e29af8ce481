import base64
import os
from pathlib import Path

import pytest

from hychat.attach import clipboard
from hychat.attach.clipboard import clipboard_image
from hychat.domain.errors import InputUnreadable

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
WAYLAND = {"WAYLAND_DISPLAY": "wayland-0"}
X11 = {"DISPLAY": ":0"}
WSL = {"WSL_DISTRO_NAME": "Debian"}


class Desk:
    """A folder on the PATH, with stand-ins for the programs of a desktop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "png").write_bytes(PNG)
        (folder / "base64").write_bytes(base64.b64encode(PNG) + b"\r\n")

    def has(self, program: str, script: str) -> None:
        """`$PICTURE` is a PNG, `$TEXT` the same in base64."""
        path = self._folder / program
        path.write_text(f"#!/bin/sh\nPICTURE={self._folder}/png TEXT={self._folder}/base64\n{script}\n", "utf-8")
        path.chmod(0o755)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """No program of the machine itself is seen that could read a clipboard."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("cat", "sleep", "yes"):
        (programs / tool).symlink_to(
            next(path for path in (Path("/bin", tool), Path("/usr/bin", tool)) if path.exists())
        )
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("sys.platform", "linux")
    return Desk(programs)


def refusal(environment: dict[str, str]) -> InputUnreadable:
    with pytest.raises(InputUnreadable) as caught:
        clipboard_image(environment)
    return caught.value


def test_wayland_s_clipboard_is_read(desk: Desk) -> None:
    desk.has("wl-paste", '[ "$*" = "--no-newline --type image/png" ] && cat "$PICTURE"')
    assert clipboard_image(WAYLAND) == PNG


def test_x11_s_clipboard_is_read(desk: Desk) -> None:
    desk.has("xclip", '[ "$*" = "-selection clipboard -t image/png -o" ] && cat "$PICTURE"')
    assert clipboard_image(X11) == PNG


def test_the_clipboard_of_macos_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    desk.has("pngpaste", '[ "$*" = "-" ] && cat "$PICTURE"')
    assert clipboard_image({}) == PNG


def test_the_clipboard_of_windows_is_read_from_within_wsl(desk: Desk) -> None:
    desk.has("powershell.exe", 'cat "$TEXT"')
    assert clipboard_image(WSL) == PNG


def test_a_bitmap_is_taken_where_there_is_no_png(desk: Desk) -> None:
    desk.has("wl-paste", 'case "$*" in *image/bmp) cat "$PICTURE";; *) exit 1;; esac')
    assert clipboard_image(WAYLAND) == PNG


def test_the_next_program_is_asked_where_the_first_has_no_image(desk: Desk) -> None:
    desk.has("wl-paste", "exit 1")
    desk.has("xclip", 'cat "$PICTURE"')
    assert clipboard_image(WAYLAND | X11) == PNG


def test_only_programs_of_this_desktop_are_asked(desk: Desk) -> None:
    desk.has("wl-paste", 'cat "$PICTURE"')
    desk.has("xclip", "exit 1")
    assert clipboard_image(X11) is None


@pytest.mark.parametrize("script", ["exit 1", "echo no image", "", 'cat "$PICTURE"; exit 1'])
def test_a_clipboard_without_an_image_gives_none(desk: Desk, script: str) -> None:
    desk.has("wl-paste", script)
    assert clipboard_image(WAYLAND) is None


@pytest.mark.parametrize("script", ["", "echo Get-Clipboard failed!", "printf '%s' iVBORw0KGgo"])
def test_a_complaint_of_powershell_is_no_image(desk: Desk, script: str) -> None:
    desk.has("powershell.exe", script)
    assert clipboard_image(WSL) is None


def test_a_program_that_cannot_be_started_gives_none(desk: Desk) -> None:
    desk.has("wl-paste", "")
    Path(os.environ["PATH"], "wl-paste").write_bytes(b"\x7fELF broken")
    assert clipboard_image(WAYLAND) is None


@pytest.mark.parametrize(
    ("environment", "package"), [(WAYLAND, "wl-clipboard"), (X11, "xclip"), (WAYLAND | X11, "wl-clipboard or xclip")]
)
@pytest.mark.usefixtures("desk")
def test_without_a_program_the_one_to_install_is_named(environment: dict[str, str], package: str) -> None:
    assert f"Install {package}," in refusal(environment).hint


@pytest.mark.usefixtures("desk")
def test_without_a_display_a_file_is_asked_for() -> None:
    assert "file" in refusal({}).hint


@pytest.mark.parametrize("script", ["exec sleep 600", "sleep 600", "sleep 600 & exit 0", "while :; do :; done"])
def test_a_program_that_does_not_answer_is_ended(desk: Desk, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "_PATIENCE_SECONDS", 0.1)
    desk.has("wl-paste", script)
    assert "0.1 seconds" in refusal(WAYLAND).message


def test_endless_output_is_refused_and_ended(desk: Desk) -> None:
    desk.has("wl-paste", "yes")
    assert "50 MB" in refusal(WAYLAND).message
