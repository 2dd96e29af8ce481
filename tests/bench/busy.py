"""Writing speed while another process takes one of the two cores."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.bench.engines import long_answer_speed
from tests.bench.machine import THREADS, one_core_busy
from tests.bench.row import Row, Target, alternating, at_least, row_of_pairs

_FEW_TOKENS: Final = 48
"""With a fixed thread count they take long enough."""


def rows(rounds: int) -> Iterator[Row]:
    """With threads that adapt, and with fixed ones for contrast."""
    compared = (
        "speed of a 256-token answer with a busy loop on one of two cores, over the quiet one; engines start cold"
    )
    yield _busy_over_quiet("busy-core", compared, rounds, long_answer_speed, at_least(0.7))
    yield _busy_over_quiet(
        "busy-core-fixed",
        f"the same with {THREADS} fixed threads and {_FEW_TOKENS} tokens",
        1,
        lambda: long_answer_speed(threads=THREADS, max_tokens=_FEW_TOKENS),
    )


def _busy_over_quiet(
    name: str, compared: str, rounds: int, speed: Callable[[], float], target: Target | None = None
) -> Row:
    def busy_speed() -> float:
        with one_core_busy():
            return speed()

    return row_of_pairs(name, compared, "tok/s", alternating(rounds, busy_speed, speed), target)
