"""Figures of a filter: thresholds from harmless rows, recall, F1, area under precision and recall."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


def threshold_at(scores: Array, weights: Array, benign_fpr: float) -> float:
    """The score that so much of the weight of harmless rows exceeds."""
    order = np.argsort(-scores, kind="stable")
    passed = np.cumsum(weights[order]) / weights.sum()
    last = int(np.searchsorted(passed, benign_fpr, side="right"))
    return float(scores[order[min(last, len(order) - 1)]])


def average_precision(scores: Array, is_harmful: Flags) -> float:
    """Area under the curve of precision over recall."""
    hits = is_harmful[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(int(hits.sum()), 1))


def f1(flagged: Flags, is_harmful: Flags) -> float:
    """Harmonic mean of precision and recall."""
    hits = int((flagged & is_harmful).sum())
    return 2 * hits / max(int(flagged.sum()) + int(is_harmful.sum()), 1)


def best_f1(scores: Array, is_harmful: Flags) -> float:
    """With the threshold that suits the set best: an upper bound, no promise."""
    return max((f1(scores >= cut, is_harmful) for cut in np.unique(scores)), default=0.0)
