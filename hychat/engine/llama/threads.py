"""How many threads to decode with, now.

ggml's threads wait for one another at a barrier after every operation. When another process takes one of their cores the
others spin there: on two cores, with one of them busy, two threads fall to a twelfth of their speed while one keeps 0.8.
"""

import os
from collections import deque
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
    """The counts worth trying, most first: one less, as one busy process is the commonest, then in steps of a quarter."""
    counts = [most]
    while counts[-1] > 1:
        counts.append(counts[-1] - 1 if len(counts) == 1 else max(1, counts[-1] * 3 // 4))
    return tuple(counts)


class ThreadGovernor:
    """Picks the thread count for decoding from the step times it is told.

    It stays with one count ("home") and tries a neighbour: the next lower one as soon as two steps running were disturbed,
    the one below that where it was no better, and either neighbour from time to time. One that is faster for a few steps
    becomes home, and the next in that direction is tried at once; one step that is not faster ends the trial. Faster than
    home's last steps, the calm ones too: a screen that is painted between tokens takes a core for a moment only. Trials
    come less and less often while they do not pay, so that on a quiet machine they cost next to nothing.
    """

    PREEMPTIONS_PER_SECOND: Final = 100.0
    """The system takes a thread off its core so often only for another process that wants the core."""
    LEAST_PREEMPTIONS: Final = 4
    SLOWDOWN: Final = 1.5
    """A step so many times longer than usual is disturbed, whatever by."""
    GAIN: Final = 0.95
    """A neighbour's steps must take less than this share of home's time."""
    TRIAL_STEPS: Final = 3
    RECENT_STEPS: Final = 8
    DISTURBED_INTERVAL_SECONDS: Final = 0.3
    """Between trials while steps are disturbed; twice as long after each that did not pay, up to the longest."""
    LONGEST_DISTURBED_INTERVAL_SECONDS: Final = 2.4
    FIRST_INTERVAL_SECONDS: Final = 2.0
    LONGEST_INTERVAL_SECONDS: Final = 8.0
    """Between trials while they are not: so long it may take to notice that a core is free again."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = tuple(counts)
        self._last = len(self._counts) - 1
        self._home = 0
        self._rank = 0
        self._direction = 1
        self._trial: list[float] = []
        """Step times of the neighbour."""
        self._width = 0
        self._usual_seconds = 0.0
        """What a step takes at home; 0 while that is not known."""
        self._recent: deque[float] = deque(maxlen=self.RECENT_STEPS)
        """The last steps at home, since it is home."""
        self._disturbed_steps = 0
        """How many of the last ones running were disturbed."""
        self._interval = self.FIRST_INTERVAL_SECONDS
        self._disturbed_interval = self.DISTURBED_INTERVAL_SECONDS
        self._reach = 1
        """How many ranks below home the next trial goes while steps are disturbed."""
        self._waited = self.DISTURBED_INTERVAL_SECONDS  # the core may be taken from the start

    @property
    def threads(self) -> int:
        """The count to use for the next step."""
        return self._counts[self._rank]

    def record(self, seconds: float, width: int, preemptions: int) -> None:
        """Take a decode step of `width` sequences that was made with `threads` threads.

        `preemptions` says how often the system took a thread off its core meanwhile.
        """
        is_trial = self._rank != self._home
        if width != self._width:  # times of different widths do not compare
            self._width, self._usual_seconds, self._rank = width, 0.0, self._home
            self._recent.clear()
            if is_trial:
                return
        if is_trial:
            self._judge(seconds)
        else:
            self._stay(seconds, preemptions)

    def _stay(self, seconds: float, preemptions: int) -> None:
        usual = self._usual_seconds or seconds
        is_preempted = preemptions >= max(self.LEAST_PREEMPTIONS, self.PREEMPTIONS_PER_SECOND * seconds)
        is_disturbed = is_preempted or seconds > usual * self.SLOWDOWN
        self._disturbed_steps = self._disturbed_steps + 1 if is_disturbed else 0
        is_taken = self._disturbed_steps > 1  # one such step may be anything
        if not is_disturbed:
            usual = seconds if seconds < usual / self.SLOWDOWN else 0.9 * usual + 0.1 * seconds
        self._usual_seconds = usual
        self._recent.append(seconds)
        self._waited += seconds
        if is_taken and self._home < self._last and self._waited > self._disturbed_interval:
            self._try(self._reach)
            self._reach = self._reach + 1 if self._home + self._reach < self._last else 1
        elif self._waited > self._interval:
            self._try(self._direction)

    def _try(self, ranks: int) -> None:
        """Make the next step with a count so many ranks below; with the neighbour above where there is none."""
        if not 0 <= self._home + ranks <= self._last:
            ranks = -ranks
        self._direction = 1 if ranks > 0 else -1
        self._rank = max(0, min(self._last, self._home + ranks))
        self._waited, self._trial = 0.0, []

    def _judge(self, seconds: float) -> None:
        self._trial.append(seconds)
        if seconds >= self.GAIN * sum(self._recent) / len(self._recent):
            self._rank = self._home
            self._direction = -self._direction
            self._interval = min(max(self._interval * 2, self.FIRST_INTERVAL_SECONDS), self.LONGEST_INTERVAL_SECONDS)
            self._disturbed_interval = min(2 * self._disturbed_interval, self.LONGEST_DISTURBED_INTERVAL_SECONDS)
        elif len(self._trial) == self.TRIAL_STEPS:
            self._home, self._usual_seconds = self._rank, sum(self._trial) / self.TRIAL_STEPS
            self._recent.clear()
            self._recent.extend(self._trial)
            has_next = 0 <= self._home + self._direction <= self._last
            self._interval = 0.0 if has_next else self.FIRST_INTERVAL_SECONDS
            self._disturbed_interval, self._reach = self.DISTURBED_INTERVAL_SECONDS, 1
