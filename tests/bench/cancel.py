"""From a cancel to the end of the stream."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from statistics import median, quantiles
from threading import Timer
from time import perf_counter
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.event import PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.engine.protocol import Done, EngineEvent, Piece
from tests.bench.engines import FULL_CHAIN, LONG_QUESTION, Starter, cold_starter, long_answer_settings
from tests.bench.row import Row, at_most

_DECODE_MOMENTS: Final = 60
_DECODE_SECONDS: Final = 0.4
"""Moments are drawn from so long after the first piece; an answer takes longer."""
_DECODE_LIMIT_SECONDS: Final = 0.05
_PREFILL_MOMENTS: Final = 20
_LONG_TEXT: Final = " ".join(f"The keeper wrote line {line} of his log." for line in range(160))


def rows(rounds: int) -> Iterator[Row]:
    """While an answer is written, and while a prompt is read; the number of moments does not depend on `rounds`."""
    del rounds
    moments = random.Random(0)  # noqa: S311 - any moments will do
    with cold_starter() as starter:
        yield _decoding(starter, moments)
        yield _prefilling(starter, moments)


def _decoding(starter: Starter, moments: random.Random) -> Row:
    settings = long_answer_settings()
    latencies = [
        _latency(starter, LONG_QUESTION, settings, Piece, moments.uniform(0, _DECODE_SECONDS))
        for _ in range(_DECODE_MOMENTS)
    ]
    compared = f"cancel to the last event while decoding, p95 of {_DECODE_MOMENTS} moments, over 50 ms"
    return Row("cancel-decode", compared, "s", at_most(1)).measured([(_p95(latencies), _DECODE_LIMIT_SECONDS)])


def _prefilling(starter: Starter, moments: random.Random) -> Row:
    times = _chunk_times(starter)
    chunk_seconds = median(later - earlier for earlier, later in pairwise(times[:-1]))  # the last is shorter
    latencies = [
        _latency(starter, _long_question(number), FULL_CHAIN, None, moments.uniform(0, times[-1] - times[0]) * 0.9)
        for number in range(1, _PREFILL_MOMENTS + 1)
    ]
    compared = f"cancel to the last event while reading, p95 of {_PREFILL_MOMENTS} moments, over one chunk's time"
    return Row("cancel-prefill", compared, "s", at_most(1)).measured([(_p95(latencies), chunk_seconds)])


def _long_question(number: int) -> str:
    """Over 1,500 tokens that begin differently for each number, so that no cache has read them."""
    return f"{number}. {_LONG_TEXT}"


def _chunk_times(starter: Starter) -> list[float]:
    """When reading began, and when each chunk of the prompt was read."""
    events = starter.engine.stream(starter.prompt(_long_question(0)), replace(FULL_CHAIN, max_tokens=1), CancelToken())
    return [perf_counter(), *(perf_counter() for event in events if isinstance(event, PrefillProgress))]


def _latency(
    starter: Starter, question: str, settings: GenerationSettings, after: type[EngineEvent] | None, delay: float
) -> float:
    """Seconds from the cancel to the last event. The cancel comes `delay` seconds after the first event of a kind, or after
    the request.
    """
    cancel = CancelToken()
    cancelled_at: list[float] = []

    def fire() -> None:
        cancelled_at.append(perf_counter())
        cancel.set()

    timer = Timer(delay, fire)
    if after is None:
        timer.start()
    for event in starter.engine.stream(starter.prompt(question), settings, cancel):
        if after is not None and isinstance(event, after) and not timer.ident:
            timer.start()
        if isinstance(event, Done):
            ended_at = perf_counter()
            if event.stop is not StopReason.CANCELLED:
                raise AssertionError(f"the answer ended by itself: {event.stop}")
            return ended_at - cancelled_at[0]
    raise AssertionError("a stream ends with Done")


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
