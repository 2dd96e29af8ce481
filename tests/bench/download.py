"""Fetching a large file from this machine's own stand-in hub, against the hub's own program."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from tests.bench.programs import fresh_home
from tests.bench.row import Row, alternating, at_least, at_most

_MIB: Final = 1 << 20
_BYTES: Final = 1 << 30
_REPOSITORY: Final = "owner/large-GGUF"
_FILE: Final = "large-Q4_0.gguf"
_MOST_EXTRA_MIB: Final = 60

_SERVE: Final = f"""
from tests.hub import Hub
from tests.hub_files import Pattern
with Hub() as hub:
    hub.add({_REPOSITORY!r}, {{{_FILE!r}: Pattern({_BYTES})}})
    print(hub.endpoint, flush=True)
    input()
"""
_PULL: Final = f"""
import resource, sys
from pathlib import Path
from hychat.catalogue.download import pull
from hychat.domain.model import ModelFile
from hychat.domain.pull import PullStarted
started = 0
for event in pull(ModelFile(file={_FILE!r}, repository={_REPOSITORY!r}), Path(sys.argv[1]), endpoint=sys.argv[2]):
    if isinstance(event, PullStarted):
        started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def rows(rounds: int) -> Iterator[Row]:
    """Speed, and how much memory grows."""
    speed = Row(
        "download",
        f"{_BYTES // _MIB} MiB from 127.0.0.1, checked, over `hf download` of the same",
        "MiB/s",
        at_least(0.95),
    )
    memory = Row(
        "download-memory", f"peak while fetching over the peak before, against {_MOST_EXTRA_MIB} MiB", "MiB", at_most(1)
    )
    grown: list[float] = []
    with fresh_home() as environment, _hub() as endpoint:

        def ours() -> float:
            with tempfile.TemporaryDirectory() as cache:
                seconds, out = _timed([sys.executable, "-c", _PULL, cache, endpoint], dict(environment))
                before, after = map(int, out.split())
                grown.append((after - before) / 1024)
                return _BYTES / _MIB / seconds

        def theirs() -> float:
            with tempfile.TemporaryDirectory() as cache:
                program = Path(sys.executable).parent / "hf"
                changes = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": cache, "HF_HUB_DISABLE_TELEMETRY": "1"}
                command = [os.fspath(program), "download", _REPOSITORY, _FILE, "--quiet"]
                return _BYTES / _MIB / _timed(command, {**environment, **changes})[0]

        pairs = alternating(rounds, ours, theirs)
    yield speed.measured(pairs)
    yield memory.measured([(extra, float(_MOST_EXTRA_MIB)) for extra in grown])


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    started = perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return perf_counter() - started, done.stdout


@contextmanager
def _hub() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.communicate("\n")
