"""Draws the README's picture from a real run: commands in a pseudo-terminal, what they print, as SVG.

`python -m tests.pictures.make` writes `tests/pictures/first-answer.svg`.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path
from typing import Final

import pyte
from rich.console import Console
from rich.text import Text

COLUMNS: Final = 92
LINES: Final = 200
_WEB_FONT: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""A picture asks no other host for anything."""
_NAMES: Final = {"brown": "yellow"}
"""Colours that pyte calls otherwise than rich."""
_PICTURE: Final = Path(__file__).with_name("first-answer.svg")
_HYCHAT: Final = [sys.executable, "-m", "hychat", "-m", "starter", "-n"]
_NOTES: Final = (
    "The team met on Monday. We decided to move the launch from May to June, because the tests are not finished. "
    "Anna will tell the customers this week.\n"
)
_SCENES: Final = (
    ('hychat "Give me three tips for better sleep."', "", ["--seed", "2", "Give me three tips for better sleep."]),
    ('cat notes.txt | hychat "Summarise in one sentence."', _NOTES, ["--seed", "3", "Summarise in one sentence."]),
    (
        'hychat -x "Write a Python function that adds two numbers."',
        "",
        ["--seed", "1", "-x", "Write a Python function that adds two numbers."],
    ),
)


def main() -> None:
    """Run the scenes and write the picture."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for typed, piped, arguments in _SCENES:
        console.print(Text.assemble(("$ ", "bold green"), (typed, "bold")))
        console.print(as_seen(run(arguments, piped)))
        console.print()
    svg = console.export_svg(title="hychat")
    _PICTURE.write_text(without_web_font(svg), encoding="utf-8")


def without_web_font(svg: str) -> str:
    """The picture in whatever font is here: the one that rich and Textual name lies on another host."""
    return _WEB_FONT.sub("", svg)


def as_seen(output: str) -> Text:
    """What a terminal shows in the end, colours included."""
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.Stream(screen).feed(output)
    shown = Text()
    for row in range(screen.cursor.y):
        line = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            colour = "" if cell.fg == "default" else f" {_NAMES.get(cell.fg, cell.fg)}"
            line.append(cell.data, style=("bold" if cell.bold else "") + colour)
        line.rstrip()
        shown.append_text(line).append("\n")
    shown.rstrip()
    return shown


def run(arguments: list[str], piped: str) -> str:
    """What a run writes to its terminal."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*_HYCHAT, *arguments], stdin=subprocess.PIPE, stdout=child, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(child)
        assert process.stdin is not None
        process.stdin.write(piped.encode())
        process.stdin.close()
        return _read_all(parent)


def _read_all(fd: int) -> str:
    chunks = []
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()


if __name__ == "__main__":
    main()
