"""How well a filter does on labelled texts, each figure with its 95 % confidence interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

_Z: Final = 1.959963984540054
"""Standard deviations of a normal distribution that hold 95 % of it."""
_RESAMPLES: Final = 400
_SEED: Final = 1


class Figure(NamedTuple):
    """A share from 0 to 1, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled text after the filter."""

    is_unsafe: bool
    is_flagged: bool
    score: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of a set; None where there is nothing to count."""

    unsafe: int
    safe: int
    recall: Figure | None
    """The share of unsafe texts that is flagged."""
    false_positive_rate: Figure | None
    """The share of safe texts that is flagged."""
    f1: Figure | None
    auprc: Figure | None
    """Area under the precision-recall curve, as average precision."""


def metrics_of(rows: Sequence[Judged]) -> Metrics:
    """All figures of a set."""
    unsafe = [row for row in rows if row.is_unsafe]
    safe = [row for row in rows if not row.is_unsafe]
    return Metrics(
        unsafe=len(unsafe),
        safe=len(safe),
        recall=_share(unsafe),
        false_positive_rate=_share(safe),
        f1=_resampled(rows, f1) if unsafe else None,
        auprc=_resampled(rows, average_precision) if unsafe and safe else None,
    )


def _share(rows: Sequence[Judged]) -> Figure | None:
    """Wilson's interval (1927): it holds for small sets and for shares near 0 and 1."""
    count = len(rows)
    if not count:
        return None
    share = sum(row.is_flagged for row in rows) / count
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return Figure(share, max(0.0, centre - half), min(1.0, centre + half))


def f1(rows: Sequence[Judged]) -> float:
    """Harmonic mean of precision and recall."""
    hits = sum(row.is_unsafe and row.is_flagged for row in rows)
    wrong = sum(row.is_unsafe != row.is_flagged for row in rows)
    return 2 * hits / (2 * hits + wrong) if hits else 0.0


def average_precision(rows: Sequence[Judged]) -> float:
    """Mean of the precision at each unsafe text, from the highest score down; equal scores count as one step."""
    ordered = sorted(rows, key=lambda row: -row.score)
    total = sum(row.is_unsafe for row in ordered)
    if not total:
        return 0.0
    area, hits, position = 0.0, 0, 0
    while position < len(ordered):
        end = position
        while end < len(ordered) and ordered[end].score == ordered[position].score:
            end += 1
        new = sum(row.is_unsafe for row in ordered[position:end])
        hits += new
        area += new / total * hits / end
        position = end
    return area


def _resampled(rows: Sequence[Judged], figure: Callable[[Sequence[Judged]], float]) -> Figure:
    """Percentile bootstrap (Efron 1979), seeded."""
    random = Random(_SEED)  # noqa: S311 - statistics
    values = sorted(figure(random.choices(rows, k=len(rows))) for _resample in range(_RESAMPLES))
    return Figure(figure(rows), values[int(0.025 * _RESAMPLES)], values[int(0.975 * _RESAMPLES) - 1])
