"""The machine itself: Python, memory, the terminal."""

import os
import platform
import sys
from collections.abc import Iterator
from typing import Final

from hychat import __version__
from hychat.cli.doctor.finding import Finding, Surroundings, ok, warn
from hychat.domain.numbers import size
from hychat.engine.memory import machine_memory
from hychat.messages import _

_LITTLE_MEMORY_BYTES: Final = 1 << 30
"""The smallest Hunyuan and its context want about this much."""
_NARROW_COLUMNS: Final = 40


def python(_around: Surroundings) -> Iterator[Finding]:
    """Which hychat and which Python; one that is too old would not have come so far."""
    yield ok(
        "python",
        _("hychat {version} on Python {python}, {path}").format(
            version=__version__, python=platform.python_version(), path=sys.executable
        ),
        hychat=__version__,
        version=platform.python_version(),
        implementation=platform.python_implementation(),
        executable=sys.executable,
        platform=platform.platform(),
    )


def memory(_around: Surroundings) -> Iterator[Finding]:
    """Whether a model has room."""
    available, total = machine_memory()
    message = _("{available} of {total} available").format(available=size(available), total=size(total))
    details = {"available_bytes": available, "total_bytes": total}
    if available < _LITTLE_MEMORY_BYTES:
        fix = _("End other programs, or take a small model: hychat -m starter")
        yield warn("memory", message, fix, **details)
    else:
        yield ok("memory", message, **details)


def terminal(around: Surroundings) -> Iterator[Finding]:
    """What the terminal shows."""
    stdout, name = around.stdout, os.environ.get("TERM", "")
    columns, lines = stdout.size()
    details = {
        "is_terminal": stdout.is_terminal,
        "term": name,
        "colours": _colours(around),
        "encoding": sys.stdout.encoding,
        "columns": columns,
        "lines": lines,
        "no_color": bool(os.environ.get("NO_COLOR")),
    }
    if not stdout.is_unicode:
        message = _("The terminal's encoding is {encoding}: some characters are shown as ?").format(
            encoding=sys.stdout.encoding
        )
        yield warn("terminal", message, "export LC_ALL=C.UTF-8", **details)
    elif not stdout.is_terminal:
        yield ok("terminal", _("not a terminal: answers are written as plain text"), **details)
    elif not stdout.has_styles:
        message = _("The terminal says it obeys no escape codes (TERM={term}): no colours, no Markdown").format(
            term=name
        )
        yield warn("terminal", message, "export TERM=xterm-256color", **details)
    elif columns < _NARROW_COLUMNS:
        message = _("The terminal is only {columns} columns wide").format(columns=columns)
        yield warn("terminal", message, _("Make its window wider, or its letters smaller."), **details)
    else:
        colours = details["colours"] or _("no colours (NO_COLOR is set)")
        yield ok("terminal", f"{name or '?'}, {columns}x{lines}, {sys.stdout.encoding}, {colours}", **details)


def _colours(around: Surroundings) -> str:
    """How many the terminal says it has; empty where none are used."""
    if not around.stdout.has_colour:
        return ""
    if os.environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        return _("24-bit colours")
    return _("256 colours") if "256color" in os.environ.get("TERM", "") else _("16 colours")
