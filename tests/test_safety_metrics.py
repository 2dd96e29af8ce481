"""The figures that the filter is judged by."""

import math
from random import Random

import pytest

from hychat.safety.metrics import Judged, average_precision, f1, metrics_of


def rows(*flagged_and_unsafe: tuple[bool, bool]) -> list[Judged]:
    return [Judged(is_unsafe, is_flagged, float(is_flagged)) for is_flagged, is_unsafe in flagged_and_unsafe]


def test_shares_and_f1_of_a_small_set() -> None:
    found = metrics_of(rows((True, True), (True, True), (False, True), (True, False), (False, False)))
    assert (found.unsafe, found.safe) == (3, 2)
    assert found.recall is not None
    assert found.recall.value == pytest.approx(2 / 3)
    assert found.false_positive_rate is not None
    assert found.false_positive_rate.value == pytest.approx(1 / 2)
    assert found.f1 is not None
    assert found.f1.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    found = metrics_of(rows(*[(True, True)] * 8, *[(False, True)] * 2)).recall
    assert found is not None
    assert found.low == pytest.approx(0.4902, abs=1e-4)
    assert found.high == pytest.approx(0.9433, abs=1e-4)


def test_where_nothing_is_safe_there_is_no_false_positive_rate() -> None:
    found = metrics_of(rows((True, True), (False, True)))
    assert found.false_positive_rate is None
    assert found.auprc is None


def test_average_precision_of_a_ranking() -> None:
    ranking = [
        Judged(is_unsafe, is_flagged=False, score=score)
        for is_unsafe, score in [(True, 0.9), (False, 0.8), (True, 0.7)]
    ]
    assert average_precision(ranking) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(ranking[::-1]) == average_precision(ranking)


def test_equal_scores_are_no_ranking() -> None:
    assert average_precision([Judged(n < 3, is_flagged=False, score=0.5) for n in range(10)]) == pytest.approx(0.3)


def test_a_perfect_filter_has_all() -> None:
    found = metrics_of(rows((True, True), (False, False), (True, True), (False, False)))
    assert found.f1 is not None
    assert found.auprc is not None
    assert (found.f1.value, found.auprc.value, f1(rows((False, False)))) == (1, 1, 0)


def test_the_interval_holds_the_value_and_narrows_with_the_set() -> None:
    random = Random(3)  # noqa: S311 - a simulation

    def drawn(count: int) -> list[Judged]:
        labels = [random.random() < 0.5 for _row in range(count)]
        return [Judged(is_unsafe, (score := random.gauss(is_unsafe, 1)) > 0.5, score) for is_unsafe in labels]

    widths = []
    for count in (50, 800):
        found = metrics_of(drawn(count))
        for figure in (found.f1, found.auprc, found.recall, found.false_positive_rate):
            assert figure is not None
            assert figure.low <= figure.value <= figure.high
        assert found.auprc is not None
        widths.append(found.auprc.high - found.auprc.low)
    assert widths[1] < widths[0] / math.sqrt(4)
