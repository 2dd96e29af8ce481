"""One line of the report: what was measured, against what, and whether the ratio is good enough."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio must come to."""

    limit: float
    is_floor: bool

    def is_met(self, ratio: float) -> bool:
        """Whether this ratio is good enough."""
        return ratio >= self.limit if self.is_floor else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.is_floor else '<='} {self.limit:g}"


def at_least(limit: float) -> Target:
    """More is better."""
    return Target(limit, is_floor=True)


def at_most(limit: float) -> Target:
    """Less is better."""
    return Target(limit, is_floor=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, and the one it is held against."""

    name: str
    compared: str
    """What value and anchor are."""
    unit: str = ""
    target: Target | None = None
    """None: for information only."""
    value: float | None = None
    anchor: float | None = None
    ratio: float | None = None
    """Value over anchor."""
    missing: str = ""
    """Why there is no figure."""

    def measured(self, pairs: Sequence[tuple[float, float]]) -> "Row":
        """With the medians of values and anchors.

        The ratio is the median of the pairs' own ratios, so that slow drift of the machine cancels out.
        """
        values, anchors = zip(*pairs, strict=True)
        ratio = median(value / anchor for value, anchor in pairs)
        return replace(self, value=median(values), anchor=median(anchors), ratio=ratio)

    def not_measured(self, reason: str) -> "Row":
        """Without figures."""
        return replace(self, missing=reason)

    @property
    def verdict(self) -> str:
        """`pass`, `FAIL`, `report` for a row without a target, or why it was not measured."""
        if self.missing:
            return f"not measured: {self.missing}"
        if self.target is None or self.ratio is None:
            return "report"
        return "pass" if self.target.is_met(self.ratio) else "FAIL"

    def as_json(self) -> dict[str, Any]:
        """All fields, the target as it is printed."""
        return {**asdict(self), "target": self.target and str(self.target), "verdict": self.verdict}

    def __str__(self) -> str:
        figures = [f"{figure:.4g} {self.unit}" if figure is not None else "" for figure in (self.value, self.anchor)]
        ratio = "" if self.ratio is None else f"{self.ratio:.3f}"
        return _line(self.name, *figures, ratio, str(self.target or ""), self.verdict) + f"\n    {self.compared}"


def heading() -> str:
    """The names of the columns."""
    return _line("", "value", "anchor", "ratio", "target", "verdict")


def _line(*cells: str) -> str:
    name, value, anchor, ratio, target, verdict = cells
    return f"{name:<20} {value:>14} {anchor:>14} {ratio:>7}  {target:<8} {verdict}".rstrip()


def alternating(rounds: int, first: Callable[[], _A], second: Callable[[], _B]) -> list[tuple[_A, _B]]:
    """Measure A B A B: what disturbs the machine for a while disturbs both."""
    return [(first(), second()) for _ in range(rounds)]
