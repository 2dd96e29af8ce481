"""The thread count follows what else runs on the machine: simulated step times in, counts out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from hychat.engine.llama.threads import ThreadGovernor, default_threads, thread_counts, usable_cores

QUIET_MS = {1: 25.0, 2: 16.5}
"""Decode steps of the starter model on two cores, by threads."""
BUSY_MS = (116, 39, 101, 92, 84, 32, 36, 29, 35, 95, 111, 112)
"""Steps of two threads while another process has one of the cores."""
BUSY_PREEMPTIONS_PER_SECOND = 500


@dataclass
class Machine:
    """Cores, some of them taken by others, and how long a step takes on what is left."""

    step_seconds: Callable[[int], float]
    """By thread count, while no thread has to share a core."""
    cores: int = 2
    taken_cores: int = 0
    noise: float = 0.03
    random: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - a simulation

    def step(self, threads: int) -> tuple[float, int]:
        """Seconds of one step, and preemptions."""
        seconds = self.step_seconds(threads) * self.random.gauss(1, self.noise)
        if threads <= self.cores - self.taken_cores:
            return seconds, self.random.choice((0, 0, 1))
        seconds *= self.random.choice(BUSY_MS) / QUIET_MS[2]
        return seconds, int(seconds * BUSY_PREEMPTIONS_PER_SECOND)

    def best_seconds(self) -> float:
        """A step with the best count."""
        return min(self.step_seconds(n) for n in range(1, self.cores - self.taken_cores + 1))


def two_cores(*, taken_cores: int = 0) -> Machine:
    return Machine(lambda threads: QUIET_MS[threads] / 1e3, taken_cores=taken_cores)


def many_cores(cores: int, *, taken_cores: int = 0, noise: float = 0.03) -> Machine:
    """Work shared by all, and a barrier that costs more with every thread."""
    return Machine(lambda threads: 0.1 / threads + 0.0002 * threads, cores, taken_cores, noise)


def run(governor: ThreadGovernor, machine: Machine, *, steps: int = 0, seconds: float = 0.0, width: int = 1) -> float:
    """Decode for so many steps, or so long; the time it took."""
    spent, step = 0.0, 0
    while step < steps or spent < seconds:
        taken, preemptions = machine.step(governor.threads)
        governor.record(taken, width, preemptions)
        spent, step = spent + taken, step + 1
    return spent


def test_a_quiet_machine_loses_less_than_one_percent_in_its_first_answer() -> None:
    machine = two_cores()
    assert run(ThreadGovernor((2, 1)), machine, steps=256) < 1.01 * 256 * machine.best_seconds()


def test_a_quiet_machine_loses_next_to_nothing_later() -> None:
    machine, governor = two_cores(), ThreadGovernor((2, 1))
    run(governor, machine, seconds=60)
    assert run(governor, machine, steps=2_000) < 1.003 * 2_000 * machine.best_seconds()


def test_a_core_that_is_taken_from_the_start_costs_a_few_steps() -> None:
    machine = two_cores(taken_cores=1)
    assert run(ThreadGovernor((2, 1)), machine, steps=256) < 1.1 * 256 * machine.best_seconds()


def test_a_core_that_is_taken_midway_is_left_within_a_few_steps() -> None:
    governor = ThreadGovernor((2, 1))
    run(governor, two_cores(), seconds=20)
    run(governor, two_cores(taken_cores=1), steps=6)
    assert governor.threads == 1


def test_a_core_that_stays_taken_costs_little() -> None:
    machine, governor = two_cores(taken_cores=1), ThreadGovernor((2, 1))
    run(governor, machine, seconds=20)
    assert run(governor, machine, seconds=60) > 0
    assert run(governor, machine, steps=1_000) < 1.03 * 1_000 * machine.best_seconds()


def test_a_core_that_is_free_again_is_used_within_seconds() -> None:
    governor = ThreadGovernor((2, 1))
    run(governor, two_cores(taken_cores=1), seconds=60)
    run(governor, two_cores(), seconds=10)
    assert run(governor, two_cores(), steps=200) < 1.03 * 200 * two_cores().best_seconds()


def test_a_screen_that_is_painted_between_tokens_leaves_the_threads_alone() -> None:
    machine, governor, spent = two_cores(), ThreadGovernor((2, 1)), 0.0
    for step in range(1_000):
        seconds, preemptions = machine.step(governor.threads)
        if step % 10 < 2:  # a frame takes the core in two steps running
            seconds, preemptions = seconds + 0.012, 8
        governor.record(seconds, 1, preemptions)
        spent += seconds
    assert spent < 1.35 * 1_000 * machine.best_seconds()  # 1.15 with two threads throughout, 1.66 with one


def test_where_both_cores_are_taken_one_thread_is_left_alone() -> None:
    machine, governor = Machine(lambda threads: {1: 0.025, 2: 0.08}[threads], taken_cores=2), ThreadGovernor((2, 1))
    run(governor, machine, seconds=30)
    trials = 0
    for _step in range(200):
        trials += governor.threads == 2
        run(governor, machine, steps=1)
    assert trials < 20


@pytest.mark.parametrize("taken_cores", [0, 1, 4, 8])
def test_many_cores_come_near_the_best_count(taken_cores: int) -> None:
    machine = many_cores(16, taken_cores=taken_cores)
    governor = ThreadGovernor(thread_counts(16))
    run(governor, machine, seconds=5)
    assert run(governor, machine, steps=2_000) < 1.15 * 2_000 * machine.best_seconds()


@pytest.mark.parametrize("noise", [0.1, 0.15])
def test_noise_does_not_lead_astray(noise: float) -> None:
    machine = many_cores(8, noise=noise)
    governor = ThreadGovernor(thread_counts(8))
    run(governor, machine, seconds=5)
    assert run(governor, machine, steps=2_000) < 1.15 * 2_000 * machine.best_seconds()


def test_a_count_that_the_user_chose_stays() -> None:
    governor = ThreadGovernor((2,))
    for _step in range(500):
        run(governor, two_cores(taken_cores=1), steps=1)
        assert governor.threads == 2


def test_steps_of_another_width_are_not_compared() -> None:
    governor = ThreadGovernor((2, 1))
    run(governor, two_cores(), steps=50)
    for _step in range(10):
        governor.record(0.04, 4, 0)  # four answers at once take longer, whatever the threads
        assert governor.threads == 2


@pytest.mark.parametrize("most", [1, 2, 3, 4, 8, 16, 96])
def test_the_counts_to_try_go_down_to_one(most: int) -> None:
    counts = thread_counts(most)
    assert counts[0] == most
    assert counts[-1] == 1
    assert list(counts) == sorted(set(counts), reverse=True)


def test_the_default_uses_no_more_than_there_is() -> None:
    assert 1 <= default_threads() <= usable_cores()
