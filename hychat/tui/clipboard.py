"""The system's clipboard, through whichever tool there is; the terminal's own way (OSC 52) goes beside it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_PATIENCE_SECONDS: Final = 2.0


def copy_with_tool(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Put a text into the clipboard; whether a tool did it."""
    for command in _tools(environment):
        if shutil.which(command[0]):
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(  # noqa: S603 - a tool of the system
                    command,
                    input=text.encode("utf-8", "replace"),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=_PATIENCE_SECONDS,
                    check=True,
                )
                return True
    return False


def _tools(environment: Mapping[str, str]) -> list[list[str]]:
    """Those that may work here, the likeliest first."""
    tools: list[list[str]] = []
    if environment.get("WAYLAND_DISPLAY"):
        tools.append(["wl-copy"])
    if environment.get("DISPLAY"):
        tools += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    if sys.platform == "darwin":
        tools.append(["pbcopy"])
    if environment.get("WSL_DISTRO_NAME"):
        tools.append(["clip.exe"])
    return tools
