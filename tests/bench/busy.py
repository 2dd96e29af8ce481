"""Writing speed while another process takes one of the two cores."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.bench.engines import LONG_ANSWER_TOKENS, long_answer_speed
from tests.bench.machine import THREADS, one_core_busy
from tests.bench.row import Row, alternating, at_least

_FEW_TOKENS: Final = 48
"""With a fixed thread count they take long enough."""

_ADAPTING: Final = Row(
    "busy-core",
    f"speed of a {LONG_ANSWER_TOKENS}-token answer with a busy loop on one of two cores, over the quiet one; cold engines",
    "tok/s",
    at_least(0.7),
)
_ONE_THREAD: Final = Row(
    "busy-core-one-thread",
    "the same over one fixed thread on a quiet machine: the most that one core gives",
    "tok/s",
    at_least(0.85),
)
_FIXED: Final = Row("busy-core-fixed", f"the same with {THREADS} fixed threads, {_FEW_TOKENS} tokens, once", "tok/s")


def rows(rounds: int) -> Iterator[Row]:
    """With threads that adapt, and against what one core can give, and with fixed threads for contrast."""
    yield _ADAPTING.measured(_busy_and_quiet(rounds, long_answer_speed))
    yield _ONE_THREAD.measured(alternating(rounds, lambda: _beside_a_busy_loop(long_answer_speed), _one_thread_speed))
    yield _FIXED.measured(_busy_and_quiet(1, lambda: long_answer_speed(threads=THREADS, tokens=_FEW_TOKENS)))


def _busy_and_quiet(rounds: int, speed: Callable[[], float]) -> list[tuple[float, float]]:
    return alternating(rounds, lambda: _beside_a_busy_loop(speed), speed)


def _beside_a_busy_loop(speed: Callable[[], float]) -> float:
    with one_core_busy():
        return speed()


def _one_thread_speed() -> float:
    return long_answer_speed(threads=1)
