"""Reading and writing speed, against llama-bench."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from tests.bench.engines import LONG_ANSWER_TOKENS, long_answer_speed
from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, Speeds, anchor, fresh_home, hychat_json, llama_bench
from tests.bench.row import Row, alternating, at_least

_ANCHOR: Final = "LLAMA_BENCH"
_PROMPT_TOKENS: Final = 512
_GENERATED_TOKENS: Final = 128
_REPETITIONS: Final = 2

_BENCH: Final = f"`hychat bench` over `llama-bench -p {_PROMPT_TOKENS} -n {_GENERATED_TOKENS} -t {THREADS}`"
_WRITING: Final = Row("bench-generation", f"{_BENCH}: writing", "tok/s", at_least(0.97))
_READING: Final = Row("bench-prompt", f"{_BENCH}: reading", "tok/s", at_least(0.98))
_STREAMING: Final = Row(
    "streaming",
    f"{LONG_ANSWER_TOKENS} tokens, full sampler chain, first piece to last as the parent sees them, over llama-bench's "
    "writing",
    "tok/s",
    at_least(0.95),
)


def rows(rounds: int) -> Iterator[Row]:
    """`hychat bench`, then an answer as a user gets it."""
    program = anchor(_ANCHOR)
    if program is None:
        yield from (row.not_measured(f"set {_ANCHOR}") for row in (_WRITING, _READING, _STREAMING))
        return
    with fresh_home() as environment:
        pairs = alternating(rounds, lambda: _hychat_bench(environment), lambda: _llama_bench(program))
    yield _WRITING.measured([(ours.generation, theirs.generation) for ours, theirs in pairs])
    yield _READING.measured([(ours.prompt, theirs.prompt) for ours, theirs in pairs])
    yield _STREAMING.measured(alternating(rounds, long_answer_speed, lambda: llama_bench(program).generation))


def _hychat_bench(environment: Environment) -> Speeds:
    sizes = ["-p", str(_PROMPT_TOKENS), "-g", str(_GENERATED_TOKENS), "-r", str(_REPETITIONS)]
    report = hychat_json(["bench", "-m", MODEL, "--threads", str(THREADS), *sizes], environment)
    prompt, generation = (median(test["repetitions"]) for test in report["tests"])
    return Speeds(prompt, generation)


def _llama_bench(program: str) -> Speeds:
    return llama_bench(program, prompt=_PROMPT_TOKENS, generated=_GENERATED_TOKENS, repetitions=_REPETITIONS)
