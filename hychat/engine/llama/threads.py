"""How many threads to decode with, now.

ggml's threads wait for one another at a barrier after every operation. When another process takes one of their cores the
others spin there: on two cores, with one of them busy, two threads fall to a twelfth of their speed while one keeps 0.8.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SMALL_MACHINE_CORES: Final = 4


def usable_cores() -> int:
    """Cores this process may use: its CPU affinity, at most what a container's CPU quota allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota_cores() or cores))


def _quota_cores() -> int | None:
    """Cores of the cgroup's CPU quota (cgroup v2, `cpu.max`), None without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return None


def default_threads() -> int:
    """One thread a physical core; all cores of a small machine, where siblings still help."""
    cores = usable_cores()
    return cores if cores <= _SMALL_MACHINE_CORES else max(_SMALL_MACHINE_CORES, cores // _threads_per_core())


def _threads_per_core() -> int:
    """Hardware threads of the first core, as Linux lists them; 1 elsewhere."""
    try:
        siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").read_text(encoding="ascii")
        return max(1, len(siblings.replace("-", ",").strip().split(",")))
    except OSError:
        return 1


def thread_counts(most: int) -> tuple[int, ...]:
    """The counts worth trying, most first: each about three quarters of the one before, down to 1."""
    counts = [most]
    while counts[-1] > 1:
        counts.append(max(1, min(counts[-1] - 1, counts[-1] * 3 // 4)))
    return tuple(counts)


class ThreadGovernor:
    """Picks the thread count from the decode times it is told.

    It stays with one count ("home") and tries a neighbour for a few steps: the next lower one as soon as steps take clearly
    longer than they did, either one from time to time. What is faster becomes home. Trials come less and less often while
    they do not pay, so that on a quiet machine they cost next to nothing.
    """

    TRIAL_STEPS: Final = 2
    SLOWDOWN: Final = 1.5
    """Steps this much longer than usual mean that a core was taken."""
    GAIN: Final = 0.95
    """A neighbour must take at most this share of home's time to become home."""
    FIRST_INTERVAL_SECONDS: Final = 1.0
    LONGEST_INTERVAL_SECONDS: Final = 30.0

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = tuple(counts)
        self._home = 0
        self._rank = 0
        self._width = 0
        self._recent: list[float] = []
        self._home_seconds = 0.0
        """What a step takes at home, as last judged."""
        self._interval = 0.0  # the first trial comes at once: the core may be taken from the start
        self._waited = 0.0
        self._goes_up = True

    @property
    def threads(self) -> int:
        """The count to use for the next step."""
        return self._counts[self._rank]

    def record(self, seconds: float, width: int) -> None:
        """Take the time of one decode step of `width` sequences that was made with `threads` threads."""
        if width != self._width:  # times of different widths do not compare
            self._width, self._rank, self._recent, self._home_seconds = width, self._home, [], 0.0
            return
        self._recent.append(seconds)
        if len(self._recent) >= self.TRIAL_STEPS:
            typical = min(self._recent)
            self._recent = []
            if self._rank == self._home:
                self._stay(typical)
            else:
                self._judge(typical)

    def _stay(self, typical: float) -> None:
        slowed = self._home_seconds and typical > self._home_seconds * self.SLOWDOWN
        first = not self._home_seconds
        self._home_seconds = typical if slowed or first else 0.9 * self._home_seconds + 0.1 * typical
        self._waited += typical * self.TRIAL_STEPS
        if slowed:
            self._interval = self.FIRST_INTERVAL_SECONDS
            self._go(self._home + 1)
        elif self._waited > self._interval:
            self._goes_up = not self._goes_up
            self._go(self._home + (-1 if self._goes_up else 1))

    def _judge(self, typical: float) -> None:
        direction = self._rank - self._home
        if typical < self._home_seconds * self.GAIN:
            self._home, self._home_seconds = self._rank, typical
            self._interval = self.FIRST_INTERVAL_SECONDS
            self._go(self._home + direction)
        else:
            self._rank = self._home
            self._interval = min(max(self._interval * 2, self.FIRST_INTERVAL_SECONDS), self.LONGEST_INTERVAL_SECONDS)

    def _go(self, rank: int) -> None:
        """Try another count, if there is one."""
        self._waited = 0.0
        self._rank = rank if 0 <= rank < len(self._counts) else self._home
