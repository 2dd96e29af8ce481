"""Peak resident memory of hychat's two processes while they answer."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hychat.engine.gguf import read_header
from tests.bench.programs import MODEL, Environment, fresh_home, hychat, model_file
from tests.bench.row import Row, at_most, row_of_pairs

_MIB: Final = 2**20
_PARENT_LIMIT_BYTES: Final = 90 * _MIB
_CHILD_EXTRA_BYTES: Final = 200 * _MIB
_LOOK_SECONDS: Final = 0.02
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_KV_SIZE: Final = re.compile(r"KV buffer size =\s+([\d.]+) MiB")
_QUESTION: Final = "Go on with this story.\n" + " ".join(
    f"The keeper wrote line {line} of his log." for line in range(80)
)


def rows(rounds: int) -> Iterator[Row]:
    """One answer of 256 tokens to a prompt of about a thousand; memory does not change from run to run."""
    del rounds
    if not Path("/proc/self/status").exists():
        yield Row("memory", "peak resident memory of parent and child", missing="needs Linux's /proc")
        return
    with fresh_home() as environment:
        parent, child = _peaks(environment)
        kv = _kv_bytes(environment)
    file = read_header(model_file()).file_bytes
    compared = "peak memory of the parent while it shows an answer, over 90 MiB"
    yield row_of_pairs("memory-parent", compared, "MiB", [(parent / _MIB, _PARENT_LIMIT_BYTES / _MIB)], at_most(1))
    limit = file + kv + _CHILD_EXTRA_BYTES
    compared = f"peak memory of the child, over model file {file / _MIB:.0f} + KV cache {kv / _MIB:.0f} + 200 MiB"
    yield row_of_pairs("memory-child", compared, "MiB", [(child / _MIB, limit / _MIB)], at_most(1))


def _peaks(environment: Environment) -> tuple[int, int]:
    """Peak bytes of the process that a user starts, and of its child.

    The kernel keeps the peak itself, so looking now and then misses nothing but the very end.
    """
    command = [*hychat(), "-m", MODEL, "--max-tokens", "256", "--seed", "1", _QUESTION]
    parent_peak = child_peak = 0
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        while program.poll() is None:
            parent_peak = max(parent_peak, _peak_bytes(program.pid))
            child_peak = max([child_peak, *map(_peak_bytes, _children(program.pid))])
            time.sleep(_LOOK_SECONDS)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command)
    return parent_peak, child_peak


def _peak_bytes(pid: int) -> int:
    """`VmHWM`; 0 of a process that has just ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def _kv_bytes(environment: Environment) -> int:
    """What llama.cpp says in the engine's log of the largest KV cache that it reserved."""
    logs = Path(environment["HOME"]).rglob("engine.log")
    sizes = [
        float(size) for log in logs for size in _KV_SIZE.findall(log.read_text(encoding="utf-8", errors="replace"))
    ]
    return int(max(sizes) * _MIB)
