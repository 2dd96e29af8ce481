"""What a download tells while it runs. It ends with `PullDone`, or raises."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PullStarted:
    """The file is known, and how much of it there is already."""

    file: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class PullProgress:
    """So much is on this machine; it grows only, but for a file that turned out to be wrong and is fetched anew."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class PullWaiting:
    """Another program is fetching the same file."""

    file: str


@dataclass(frozen=True, slots=True)
class PullRetry:
    """The connection was lost, or the server is busy; it goes on in a while."""

    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class PullRestarted:
    """What was fetched is not what the hub has; it was deleted, and the file is fetched from its start."""

    file: str


@dataclass(frozen=True, slots=True)
class PullDone:
    """The file is there, and it is the right one."""

    path: str
    sha256: str | None
    """None where it was there already and was not read again."""


PullEvent = PullStarted | PullProgress | PullWaiting | PullRetry | PullRestarted | PullDone
