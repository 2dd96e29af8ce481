"""Draws the README's picture from a real run: commands in a pseudo-terminal, what they print, as SVG.

`python -m tests.pictures.make` writes `tests/pictures/first-answer.svg`.
"""

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

COLUMNS: Final = 92
_PICTURE: Final = Path(__file__).with_name("first-answer.svg")
_HYCHAT: Final = [sys.executable, "-m", "hychat", "-m", "starter", "-n"]
_SCHEMA: Final = (
    '{"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}}, '
    '"required": ["city", "people"]}'
)
_SCENES: Final = (
    ('hychat "Give me three tips for better sleep."', "", ["--seed", "2", "Give me three tips for better sleep."]),
    (
        'cat meeting.txt | hychat "Who pays the bill?"',
        "Meeting on Monday. Anna orders the cake. Ben pays the bill. Carla invites everyone.\n",
        ["--seed", "1", "Who pays the bill?"],
    ),
    ("hychat --schema city.json \"Paris\"", "", ["--seed", "1", "--schema", _SCHEMA, "Tell me about Paris as JSON."]),
)


def main() -> None:
    """Run the scenes and write the picture."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for typed, piped, arguments in _SCENES:
        console.print(Text.assemble(("$ ", "bold green"), (typed, "bold")))
        console.print(Text.from_ansi(run(arguments, piped)))
        console.print()
    console.save_svg(str(_PICTURE), title="hychat")


def run(arguments: list[str], piped: str) -> str:
    """What a run prints on a terminal, as it stands there in the end."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(  # noqa: S603 - our own program
        [*_HYCHAT, *arguments], stdin=subprocess.PIPE, stdout=child, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(child)
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(piped.encode())
        process.stdin.close()
        output = _read_all(parent)
    return output


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
