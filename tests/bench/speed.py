"""Reading and writing speed, against llama-bench."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from tests.bench.engines import long_answer_speed
from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, Speeds, anchor, fresh_home, hychat_json, llama_bench
from tests.bench.row import Row, alternating, at_least, row_of_pairs

_ANCHOR: Final = "LLAMA_BENCH"
_PROMPT_TOKENS: Final = 512
_GENERATED_TOKENS: Final = 128
_REPETITIONS: Final = 2


def rows(rounds: int) -> Iterator[Row]:
    """`hychat bench`, then an answer as a user gets it."""
    program = anchor(_ANCHOR)
    if program is None:
        yield Row("speed", "hychat bench and a streamed answer, over llama-bench", missing=f"set {_ANCHOR}")
        return
    yield from _bench(program, rounds)
    yield _streaming(program, rounds)


def _bench(program: str, rounds: int) -> Iterator[Row]:
    with fresh_home() as environment:
        pairs = alternating(
            rounds,
            lambda: _hychat_bench(environment),
            lambda: llama_bench(program, prompt=_PROMPT_TOKENS, generated=_GENERATED_TOKENS, repetitions=_REPETITIONS),
        )
    writing = [(ours.generation, theirs.generation) for ours, theirs in pairs]
    reading = [(ours.prompt, theirs.prompt) for ours, theirs in pairs]
    compared = "`hychat bench` over `llama-bench -p 512 -n 128 -t 2`"
    yield row_of_pairs("bench-generation", f"{compared}: writing", "tok/s", writing, at_least(0.97))
    yield row_of_pairs("bench-prompt", f"{compared}: reading", "tok/s", reading, at_least(0.98))


def _hychat_bench(environment: Environment) -> Speeds:
    sizes = ["-p", str(_PROMPT_TOKENS), "-g", str(_GENERATED_TOKENS), "-r", str(_REPETITIONS)]
    report = hychat_json(["bench", "-m", MODEL, "--threads", str(THREADS), *sizes], environment)
    prompt, generation = (median(test["repetitions"]) for test in report["tests"])
    return Speeds(prompt, generation)


def _streaming(program: str, rounds: int) -> Row:
    pairs = alternating(rounds, long_answer_speed, lambda: llama_bench(program).generation)
    compared = "256 tokens, full sampler chain, first piece to last as the parent sees them, over llama-bench's writing"
    return row_of_pairs("streaming", compared, "tok/s", pairs, at_least(0.95))
