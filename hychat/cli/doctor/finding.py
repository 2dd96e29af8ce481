"""What a check finds: a value, printed by others."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hychat.cli.streams import Stream
from hychat.engine.spawn import Spawned
from hychat.messages import _


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """hychat works, though less well than it could."""
    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    status: Status
    message: str
    fix: str = ""
    """What puts it right: a command where there is one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The facts behind it, for JSON."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks look at that is not simply there."""

    stdout: Stream
    spawned: Spawned | None
    """The engine's process, already starting."""
    mirror: str
    """A mirror of the hub to try."""
    flags: Mapping[str, str | None] = field(default_factory=dict)
    """What was typed of how a model is loaded, by key of the settings."""


Check = Callable[[Surroundings], Iterator[Finding]]


def ok(check: str, message: str, **details: Any) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, message, details=details)


def warn(check: str, message: str, fix: str, **details: Any) -> Finding:
    """It could be better."""
    return Finding(check, Status.WARN, message, fix, details)


def error(check: str, message: str, fix: str, **details: Any) -> Finding:
    """It does not work."""
    return Finding(check, Status.ERROR, message, fix, details)


def both(first: str, second: str) -> str:
    """Two facts in one message."""
    return _("{first}; {second}").format(first=first, second=second)
