"""An image from the system's clipboard, through whichever program there is: a terminal pastes text alone."""

import base64
import binascii
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from time import monotonic
from typing import IO, Final

from hychat.attach.image import MOST_BYTES, is_image, too_many_bytes
from hychat.domain.errors import InputUnreadable
from hychat.messages import _

_PATIENCE_SECONDS: Final = 5.0
"""For one program; PowerShell takes two to start."""
_TYPES: Final = ("image/png", "image/jpeg", "image/bmp")
"""Those that are asked for; the clipboard of Windows, seen from a Linux inside it, has only the last."""
_POWERSHELL: Final = (
    "Add-Type -AssemblyName System.Windows.Forms,System.Drawing;"
    "$image = [Windows.Forms.Clipboard]::GetImage();"
    "if ($image) {"
    "$memory = New-Object IO.MemoryStream;"
    "$image.Save($memory, [Drawing.Imaging.ImageFormat]::Png);"
    "[Console]::Out.Write([Convert]::ToBase64String($memory.ToArray()))}"
)
"""Base64, because a pipe out of PowerShell carries text."""


@dataclass(frozen=True, slots=True)
class _Tool:
    """A program, what to call it with, and how its output becomes an image."""

    commands: tuple[tuple[str, ...], ...]
    """To try one after the other."""
    package: str
    """What to install for it."""
    decoded: Callable[[bytes], bytes] = bytes


def clipboard_image(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The image in the clipboard, unchecked; None where it holds none.

    Raises:
        InputUnreadable: There is no program here to read it with, it does not answer, or the image is too large.
    """
    tools = _tools(environment)
    found = [tool for tool in tools if shutil.which(tool.commands[0][0])]
    if not found:
        raise _no_tool(tools)
    is_late = False
    for tool in found:
        ends = monotonic() + _PATIENCE_SECONDS
        for command in tool.commands:
            image = tool.decoded(_output_of(command, ends))
            if is_image(image):
                return image
        is_late |= monotonic() >= ends
    if is_late:
        raise InputUnreadable(
            _("The clipboard gave no answer within {seconds:g} seconds.").format(seconds=_PATIENCE_SECONDS)
        )
    return None


def _tools(environment: Mapping[str, str]) -> list[_Tool]:
    """Those that may work here."""
    tools: list[_Tool] = []
    if environment.get("WAYLAND_DISPLAY"):
        tools.append(_Tool(tuple(("wl-paste", "--no-newline", "--type", kind) for kind in _TYPES), "wl-clipboard"))
    if environment.get("DISPLAY"):
        asked = (("xclip", "-selection", "clipboard", "-t", kind, "-o") for kind in _TYPES)
        tools.append(_Tool(tuple(asked), "xclip"))
    if sys.platform == "darwin":
        tools.append(_Tool((("pngpaste", "-"),), "pngpaste"))
    if sys.platform == "win32" or environment.get("WSL_DISTRO_NAME"):
        command = ("powershell.exe", "-NoProfile", "-NonInteractive", "-STA", "-Command", _POWERSHELL)
        tools.append(_Tool((command,), "PowerShell", _from_base64))
    return tools


def _no_tool(tools: list[_Tool]) -> InputUnreadable:
    message = _("There is no program here that reads an image from the clipboard.")
    if not tools:
        return InputUnreadable(message, hint=_("This terminal has no display; attach the image's file instead."))
    packages = _(" or ").join(tool.package for tool in tools)
    return InputUnreadable(message, hint=_("Install {package}, or attach the image's file.").format(package=packages))


def _from_base64(output: bytes) -> bytes:
    """Nothing where it is something else, such as a complaint."""
    try:
        return base64.b64decode(output.strip(), validate=True)
    except binascii.Error:
        return b""


def _output_of(command: tuple[str, ...], ends: float) -> bytes:
    """What a program prints; nothing where it fails or is not done by then.

    Raises:
        InputUnreadable: It prints more than is taken.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - a program of the system's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError:
        return b""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with process:
        return _bounded(process, process.stdout, ends)


def _bounded(process: subprocess.Popen[bytes], output: IO[bytes], ends: float) -> bytes:
    most = MOST_BYTES * 4 // 3 + 4  # in base64
    clock = Timer(max(0.0, ends - monotonic()), _end, [process])
    clock.start()
    try:
        data = output.read(most + 1)
        if len(data) > most:
            raise too_many_bytes(_("The image in the clipboard"))
        return data if process.wait() == 0 else b""
    finally:
        clock.cancel()
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its children, one of which may hold the pipe open."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says so of one that has ended
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
