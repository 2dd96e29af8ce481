"""Peak resident memory of hychat's two processes while they answer."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import Final

from hychat.engine.gguf import read_header
from tests.bench.programs import MODEL, Environment, fresh_home, hychat, model_file
from tests.bench.row import Row, at_most

_MIB: Final = 2**20
_PARENT_LIMIT: Final = 90
_CHILD_EXTRA: Final = 200
_LOOK_SECONDS: Final = 0.02
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_KV_SIZE: Final = re.compile(r"KV buffer size =\s+([\d.]+) MiB")
_QUESTION: Final = "Go on with this story.\n" + " ".join(
    f"The keeper wrote line {line} of his log." for line in range(80)
)


def rows(rounds: int) -> Iterator[Row]:
    """One answer of 256 tokens to a prompt of about a thousand, in MiB; it does not change from run to run."""
    del rounds
    if not Path("/proc/self/status").exists():
        yield Row("memory", "peak resident memory of parent and child").not_measured("needs Linux's /proc")
        return
    with fresh_home() as environment:
        parent, child = _peaks(environment)
        kv = _kv_mib(environment)
    file = read_header(model_file()).file_bytes / _MIB
    compared = f"peak memory of the parent while it shows an answer on a terminal, over {_PARENT_LIMIT} MiB"
    yield Row("memory-parent", compared, "MiB", at_most(1)).measured([(parent, _PARENT_LIMIT)])
    compared = f"peak memory of the child, over model file {file:.0f} + KV cache {kv:.0f} + {_CHILD_EXTRA} MiB"
    yield Row("memory-child", compared, "MiB", at_most(1)).measured([(child, file + kv + _CHILD_EXTRA)])


def _peaks(environment: Environment) -> tuple[float, float]:
    """Peak MiB of the process that a user starts, and of its child.

    The kernel keeps the peak itself, so looking now and then misses nothing but the very end.
    """
    command = [*hychat(), "-m", MODEL, "--max-tokens", "256", "--seed", "1", _QUESTION]
    terminal, its_end = pty.openpty()
    parent_peak = child_peak = 0.0
    with subprocess.Popen(
        command, env={**environment, "TERM": "xterm"}, stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end
    ) as program:
        os.close(its_end)
        while _passes_on(terminal):
            parent_peak = max(parent_peak, _peak_mib(program.pid))
            child_peak = max([child_peak, *map(_peak_mib, children(program.pid))])
    os.close(terminal)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command)
    return parent_peak, child_peak


def _passes_on(terminal: int) -> bool:
    """Take what was written to the terminal, waiting for a moment; False once nobody can write to it any more."""
    if not select([terminal], [], [], _LOOK_SECONDS)[0]:
        return True
    try:
        return bool(os.read(terminal, 1 << 16))
    except OSError:  # how Linux tells that the other end is closed
        return False


def _peak_mib(pid: int) -> float:
    """`VmHWM`; 0 of a process that has just ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def children(pid: int) -> list[int]:
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]
    except OSError:
        return []


def _kv_mib(environment: Environment) -> float:
    """The largest KV cache that llama.cpp reserved, as it wrote to the engine's log."""
    logs = [log.read_text(encoding="utf-8", errors="replace") for log in Path(environment["HOME"]).rglob("engine.log")]
    return max(float(size) for log in logs for size in _KV_SIZE.findall(log))
