"""The machine under the benchmarks: the cores they keep to, whether it is quiet, and a core that is kept busy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

THREADS: Final = 2
"""All figures are for two threads on two cores."""
_QUIET_LOAD: Final = 0.5
_FULL_SPEED: Final = 0.95
_ROUNDS: Final = 3
_LOOP: Final = """
from time import perf_counter
started, number = perf_counter(), 0
while number < 6_000_000:
    number += 1
print(perf_counter() - started)
"""


@dataclass(frozen=True, slots=True)
class Quiet:
    """What was found before the first benchmark."""

    load_average: float
    """Of the last minute."""
    parallel_speed: float
    """Two busy loops at once, each on a core of its own, over one alone."""

    @property
    def is_quiet(self) -> bool:
        """Whether the figures can be trusted."""
        return self.load_average <= _QUIET_LOAD and self.parallel_speed >= _FULL_SPEED

    def __str__(self) -> str:
        verdict = "quiet" if self.is_quiet else "NOT QUIET: the figures below are noise"
        return (
            f"machine: {verdict} (load average {self.load_average:.2f}, want <= {_QUIET_LOAD}; two busy loops at once run at "
            f"{self.parallel_speed:.2f} of one alone, want >= {_FULL_SPEED})"
        )


def keep_to_two_cores() -> None:
    """Run this process and its children on two cores, so that two threads mean the same on every machine.

    First and last, because on many machines neighbours in the numbering share one physical core.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[0], cores[-1]})


def look() -> Quiet:
    """Look whether anybody else is at work here; takes two seconds."""
    load_average = os.getloadavg()[0]
    speeds = [_seconds_of_loops(1) / _seconds_of_loops(THREADS) for _ in range(_ROUNDS)]
    return Quiet(load_average, median(speeds))


def _seconds_of_loops(count: int) -> float:
    """Seconds of the slowest of some loops that run at once."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP], stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return max(float(loop.communicate()[0]) for loop in loops)


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Another process takes all of one of the two cores."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(loop.pid, {min(os.sched_getaffinity(0))})
        yield
    finally:
        loop.kill()
        loop.wait()
