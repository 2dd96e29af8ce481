"""The safety filter: time per text, memory, throughput, and what it costs an answer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import Final

from hychat.domain.choices import SafetyLevel
from hychat.safety.guard import Guard, open_layers
from tests.bench.programs import MODEL, Environment, fresh_home, hychat, hychat_json
from tests.bench.row import Row, alternating, at_least, at_most

_NET_P50: Final = Row("safety-net-p50", "a prompt that the small model settles, median, over 1 ms", "ms", at_most(1))
_NET_P95: Final = Row("safety-net-p95", "the same, 95th percentile, over 3 ms", "ms", at_most(1))
_ENCODER: Final = Row(
    "safety-encoder", "a prompt that the encoder judges, 95th percentile, over 25 ms", "ms", at_most(1)
)
_LARGE: Final = Row("safety-1mb", "the slowest of some texts of 1 MB, over 1 s", "s", at_most(1))
_THROUGHPUT: Final = Row(
    "safety-jsonl", "prompts a second through `hychat safety check --jsonl` on one core, over 1,000", "/s", at_least(1)
)
_MEMORY: Final = Row(
    "safety-memory", "resident memory that the loaded filter adds, numpy's with it, over 60 MB", "MB", at_most(1)
)
_LOAD: Final = Row("safety-load", "loading lists and models, numpy's import apart, over 60 ms", "ms", at_most(1))
_RATE: Final = Row(
    "safety-decode", "speed of the starter's answer of 400 tokens at `--safety standard` over that at `off`", "tok/s",
    at_least(0.97),
)  # fmt: skip
_TURN: Final = Row(
    "safety-one-token", "`hychat --max-tokens 1 hi` at `--safety standard` over `off`, start to exit", "s"
)

_ORDINARY: Final = 200
"""Lines of each language's harmless rows that are taken, evenly."""
_LINES: Final = 2000
_ANSWER: Final = ("--seed", "4", "--max-tokens", "400", "Write a long story about a dragon and a princess.")
_LARGE_TEXTS: Final = (
    "the boat lay in the harbour. ",
    "湖上有一条船。",
    "a",
    "b.o.m.b ",
    "ｋｉｌｌ　",
    "怎麼 ",
    "\u200b",
)
_MEASURE: Final = """
import json, resource, sys, time
def rss():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
import hychat.safety.guard as g
from pathlib import Path
from hychat.domain.choices import SafetyLevel
from hychat.safety.fold import fold
before = rss()
import numpy
guard = g.Guard(SafetyLevel.STANDARD, g.open_layers(Path("/no/such/words.yaml")))
start = time.perf_counter()
guard.prepare()
load = time.perf_counter() - start
for text in json.load(sys.stdin):
    guard.prompt(text)
print(json.dumps([1000 * load, rss() - before]))
"""


def rows(rounds: int) -> Iterator[Row]:
    """Times of one process that keeps to one core; harmless texts are those of the trainer's own rows."""
    texts = _texts()
    with fresh_home() as environment:
        one_core = {**environment, "OPENBLAS_NUM_THREADS": "1"}
        yield from _latencies(texts)
        yield _throughput(rounds, texts, one_core)
        figures = [_loaded(texts, one_core) for _round in range(rounds)]
        yield _LOAD.measured([(load, 60.0) for load, _memory in figures])
        yield _MEMORY.measured([(memory * 1.048576, 60.0) for _load, memory in figures])
        yield _RATE.measured(
            alternating(rounds, lambda: _rate("standard", environment), lambda: _rate("off", environment))
        )
        yield _TURN.measured(
            alternating(rounds, lambda: _turn("standard", environment), lambda: _turn("off", environment))
        )


def _texts() -> list[str]:
    found: list[str] = []
    for language in ("en", "zh"):
        lines = (files("hychat.safety.training") / "own" / f"{language}_harmless.txt").read_text("utf-8").splitlines()
        found += lines[:: max(1, len(lines) // _ORDINARY)]
    return found


def _latencies(texts: Sequence[str]) -> Iterator[Row]:
    """Of a guard in this process, by the stage that settled each text."""
    guard = Guard(SafetyLevel.STANDARD, open_layers(Path("/no/such/words.yaml")))
    guard.prepare()
    settled: list[float] = []
    judged: list[float] = []
    for text in texts:
        seconds = _seconds(guard, text)
        (judged if guard.prompt(text).guard == "encoder" else settled).append(1000 * seconds)
    yield _NET_P50.measured([(median(settled), 1.0)])
    yield _NET_P95.measured([(quantiles(settled, n=20)[-1], 3.0)])
    yield _ENCODER.measured([(quantiles(judged, n=20)[-1], 25.0)])
    slowest = max(_seconds(guard, text * (1_000_000 // len(text.encode()))) for text in _LARGE_TEXTS)
    yield _LARGE.measured([(slowest, 1.0)])


def _seconds(guard: Guard, text: str) -> float:
    started = perf_counter()
    guard.prompt(text)
    return perf_counter() - started


def _throughput(rounds: int, texts: Sequence[str], environment: Environment) -> Row:
    lines = "".join(json.dumps({"text": texts[i % len(texts)] + f" ({i})"}) + "\n" for i in range(_LINES))
    core = min(os.sched_getaffinity(0))

    def seconds(text: str) -> float:
        started = perf_counter()
        subprocess.run(
            ["taskset", "-c", str(core), *hychat(), "safety", "check", "--jsonl"],
            input=text, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return perf_counter() - started

    first = lines.split("\n", 1)[0] + "\n"
    rates = [(_LINES - 1) / (seconds(lines) - seconds(first)) for _round in range(rounds)]
    return _THROUGHPUT.measured([(rate, 1000.0) for rate in rates])


def _loaded(texts: Sequence[str], environment: Environment) -> tuple[float, float]:
    """Milliseconds and MiB."""
    with NamedTemporaryFile("w+", encoding="utf-8") as file:
        json.dump([*texts], file)
        file.seek(0)
        ended = subprocess.run(
            [sys.executable, "-c", _MEASURE], stdin=file, env=environment, check=True, capture_output=True, text=True
        )
    load, memory = json.loads(ended.stdout)
    return load, memory


def _rate(level: str, environment: Environment) -> float:
    answer = hychat_json(["-m", MODEL, "--safety", level, *_ANSWER], environment)
    return float(answer["timings"]["decode_tokens_per_second"])


def _turn(level: str, environment: Environment) -> float:
    started = perf_counter()
    subprocess.run(
        [*hychat(), "-m", MODEL, "--safety", level, "--max-tokens", "1", "hi"],
        env=environment, check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return perf_counter() - started
