"""The real program in a process of its own: through pipes, as a script calls it, or on a terminal, as a person does."""

import codecs
import errno
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.terminals import FakeTerminal

ROOT: Final = Path(__file__).parent.parent
HYCHAT: Final = (sys.executable, "-m", "hychat")
PATIENCE_SECONDS: Final = 60.0
_LONGER_THAN_ANY_ANSWER: Final = 1 << 16
# Makes the terminal the new process's own, so that the characters typed into it become signals, then becomes the program.
_ON_TERMINAL: Final = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def error(self) -> str:
        return self.stderr.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def environment(**changes: str) -> dict[str, str]:
    """This process's, in which every test has a home folder of its own.

    One thread: two crawl where the machine has something else to do. No filter: it holds a sentence back.
    """
    return {**os.environ, "PYTHONPATH": str(ROOT), "HYCHAT_THREADS": "1", "HYCHAT_SAFETY": "off", **changes}


def run_hychat(
    *arguments: str | bytes,
    stdin: bytes | int = b"",
    stdout: int = subprocess.PIPE,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
) -> Ended:
    """Run it to its end. `stdin` is what is piped in, or a file descriptor."""
    piped: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    ended = subprocess.run(
        [*HYCHAT, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=PATIENCE_SECONDS,
        check=False,
        **piped,
    )
    return Ended(ended.returncode, ended.stdout or b"", ended.stderr)


def run_script(script: str, **env: str) -> Ended:
    """Run a line of shell in which `$HYCHAT` is the program."""
    ended = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(HYCHAT=" ".join(HYCHAT), **env),
        cwd=ROOT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def started(*arguments: str, stdin: int = subprocess.DEVNULL, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program while it runs, in a process group of its own; it is ended with the block."""
    process = subprocess.Popen(
        [*HYCHAT, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**env),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    """Its stdout up to a read that holds the wanted bytes; less, where it ends before."""
    assert process.stdout is not None
    read = b""
    while wanted not in read and (more := os.read(process.stdout.fileno(), _LONGER_THAN_ANY_ANSWER)):
        read += more
    return read


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, by /proc."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def engine_of(process: subprocess.Popen[bytes]) -> int:
    """The engine's process."""
    (engine,) = children_of(process.pid)
    return engine


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _waiting(pid: int) -> Iterator[str]:
    """What each thread of a process waits for in the kernel, as far as it tells."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for name in ("wchan", "syscall"):
            with suppress(OSError):
                yield f"{task.name} {name}: {(task / name).read_text(encoding='ascii').strip()}"


def _is_asleep(pid: int) -> bool:
    """Whether a process's main thread waits for something."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "S"


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while is_running(pid):
        assert time.monotonic() < ends, f"process {pid} still runs"
        os.sched_yield()


class Terminal:
    """A program on a terminal: what it writes is seen as a person sees it, and what is typed reaches it."""

    def __init__(self, arguments: Sequence[str], columns: int, lines: int, env: dict[str, str]) -> None:
        self.screen = FakeTerminal(columns, lines)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._keyboard, terminal = pty.openpty()
        self._descriptor = terminal
        self._ends = [self._keyboard, terminal]
        self._set_size(columns, lines)
        self.modes_before = termios.tcgetattr(terminal)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _ON_TERMINAL, str(terminal), *arguments],
            pass_fds=[terminal],
            env=environment(**{"TERM": "xterm-256color", "PYTHONFAULTHANDLER": "1", **env}),
            cwd=ROOT,
        )

    @classmethod
    @contextmanager
    def running(
        cls, *arguments: str, columns: int = 60, lines: int = 20, env: dict[str, str] | None = None
    ) -> Iterator[Self]:
        """hychat with these arguments, or any program where the first is a path; it is ended with the block."""
        program = () if arguments[:1] and arguments[0].startswith("/") else HYCHAT
        terminal = cls([*program, *arguments], columns, lines, env or {})
        try:
            yield terminal
        finally:
            terminal.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a signal as a negative number."""
        return self._process.poll()

    @property
    def written(self) -> str:
        """Everything that came, escape codes included."""
        return self.screen.written

    @property
    def rows(self) -> list[str]:
        """What a person sees, scrollback included, without the empty rows at the end."""
        rows = self.screen.rows()
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def wait_until_shown(self, text: str) -> None:
        """Read until the text is on the screen."""
        self.wait_until(lambda shown: text in shown)

    def wait_until(self, is_so: Callable[[str], bool]) -> None:
        """Read until something is so of what is on the screen."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while not is_so("\n".join(self.screen.display())):
            if time.monotonic() > ends:
                shown = "\n".join(self.screen.display())
                raise AssertionError(f"it did not come; the screen:\n{shown}\n{self.last_words()}")
            self._read(0.2)

    @property
    def has_its_modes_back(self) -> bool:
        """Whether the terminal's own settings (echo, line editing) are as they were."""
        return termios.tcgetattr(self._descriptor) == self.modes_before

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def press_ctrl_c(self) -> None:
        """As a person does, who is slower than the echo: between two keys, Python's readline looks for no signal."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends and not _is_asleep(self.pid):
            os.sched_yield()
        self.type("\x03")

    def resize(self, columns: int, lines: int = 20) -> None:
        self._set_size(columns, lines)
        self.screen.resize(columns)

    def wait_for(self, text: str) -> None:
        """Read until the program has written the text."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while text not in self.written:
            if time.monotonic() > ends:
                raise AssertionError(f"{text!r} did not come, but {self.written!r}\n{self.last_words()}")
            self._read(PATIENCE_SECONDS)

    def last_words(self) -> str:
        """Where every thread of a program that stands still is; it ends it."""
        if self._process.poll() is not None:
            return f"exit code {self._process.returncode}"
        known, waiting = len(self.written), "\n".join(_waiting(self.pid))
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(PATIENCE_SECONDS)
        while self._read(0.2):
            pass
        return waiting + self.written[known:]

    def wait_for_more(self) -> bool:
        """Read what the program writes next, which may be a part of a character; whether anything came."""
        return self._read(PATIENCE_SECONDS)

    def end(self) -> int:
        """Read until the program has ended; its exit code, a signal as a negative number."""
        while self._ends and self._process.poll() is None:
            self._read(0.05)
        while self._ends and self._read(0.0):
            pass
        return self._process.wait(PATIENCE_SECONDS)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        self._close_ends()

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._close_ends()

    def _close_ends(self) -> None:
        for end in self._ends:
            os.close(end)
        self._ends = []

    def _read(self, patience_seconds: float) -> bool:
        if not select.select([self._keyboard], [], [], patience_seconds)[0]:
            return False
        try:
            data = os.read(self._keyboard, _LONGER_THAN_ANY_ANSWER)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self.screen.write(self._decoder.decode(data))
        return True

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
