"""Starts the engine's child process: the first thing that hychat does, so this module imports next to nothing.

The child needs some 60 ms before it can be asked to load; meanwhile the parent imports what it needs itself. `subprocess` alone
would cost 10 ms before the child could start, `typing` 8.
"""

import fcntl
import os
import sys

_BOOT = "import sys; sys.path.append(sys.argv[3]); from hychat.engine.host import main; main()"
_PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
_FIRST_SAFE_FD = 10
"""Below it a pipe could land on 0 to 4: the parent may have been started with one of them closed."""
_CHILD_READS = 3
_CHILD_WRITES = 4

_NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}
"""Where it aborts, ggml would have gdb look at the process, and the last lines of the log would be gdb's."""

_PATIENCE = {"GOMP_SPINCOUNT": "10000"}
"""How often a thread of llama.cpp looks for the others before it sleeps: for some 0.4 ms instead of 13.

Nothing is lost on a quiet machine. Where another process has one of two cores, the system can give the sleeper's core to the
thread that is waited for: reading a prompt keeps 0.52 of its speed instead of 0.41.
"""


class Spawned:
    """A child that is starting, and this end of the pipes to it."""

    __slots__ = ("pid", "read_fd", "write_fd")

    def __init__(self, pid: int, read_fd: int, write_fd: int) -> None:
        self.pid = pid
        self.read_fd = read_fd
        self.write_fd = write_fd


def spawn() -> Spawned:
    """Start a child.

    Raises:
        OSError: The system has no process or no file descriptor left.
    """
    child_reads, parent_writes = _pipe()
    parent_reads, child_writes = _pipe()
    # Inherited by number, never by flag: a process that another thread starts meanwhile must not hold the pipes open.
    actions = [
        *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)),
        (os.POSIX_SPAWN_DUP2, child_reads, _CHILD_READS),
        (os.POSIX_SPAWN_DUP2, child_writes, _CHILD_WRITES),
    ]
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-c", _BOOT, str(_CHILD_READS), str(_CHILD_WRITES), _PACKAGE_ROOT],
            environment(),
            file_actions=actions,
        )
    except OSError:
        os.close(parent_reads)
        os.close(parent_writes)
        raise
    finally:
        os.close(child_reads)
        os.close(child_writes)
    return Spawned(pid, parent_reads, parent_writes)


def environment() -> dict[str, str]:
    """A child's environment; what the user chose for OpenMP and ggml stands."""
    chosen = {**_NO_DEBUGGER, **os.environ}
    return chosen if "OMP_WAIT_POLICY" in os.environ else {**_PATIENCE, **chosen}


def _pipe() -> tuple[int, int]:
    """A pipe that only this process has, its numbers out of the way of the standard streams."""
    ends = os.pipe()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_SAFE_FD) for fd in ends]
    for fd in ends:
        os.close(fd)
    return moved[0], moved[1]
