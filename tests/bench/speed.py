"""Reading and writing speed, against llama-bench."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from tests.bench.engines import LONG_ANSWER_TOKENS, LONG_QUESTION_TOKENS, long_answer_speed
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

_ANSWER: Final = (
    f"a streamed answer of {LONG_ANSWER_TOKENS} tokens, all samplers, as the parent sees it, over `llama-bench"
)
_STREAMING: Final = Row("streaming", f"{_ANSWER} -n {_GENERATED_TOKENS}`", "tok/s", at_least(0.95))
_SAME_DEPTH: Final = Row(
    "streaming-same-depth",
    f"{_ANSWER} -n {LONG_ANSWER_TOKENS} -d {LONG_QUESTION_TOKENS}`: the same places in the context",
    "tok/s",
    at_least(0.95),
)


def rows(rounds: int) -> Iterator[Row]:
    """`hychat bench`, then an answer as a user gets it."""
    program = anchor(_ANCHOR)
    if program is None:
        yield from (row.not_measured(f"set {_ANCHOR}") for row in (_WRITING, _READING, _STREAMING, _SAME_DEPTH))
        return
    yield from _bench(program, rounds)
    yield from _streaming(program, rounds)


def _bench(program: str, rounds: int) -> Iterator[Row]:
    with fresh_home() as environment:
        pairs = alternating(
            rounds,
            lambda: _hychat_bench(environment),
            lambda: llama_bench(program, prompt=_PROMPT_TOKENS, generated=_GENERATED_TOKENS, repetitions=_REPETITIONS),
        )
    for row, test in ((_WRITING, f"tg{_GENERATED_TOKENS}"), (_READING, f"pp{_PROMPT_TOKENS}")):
        yield row.measured([(ours[test], theirs[test]) for ours, theirs in pairs])


def _hychat_bench(environment: Environment) -> Speeds:
    sizes = ["-p", _PROMPT_TOKENS, "-g", _GENERATED_TOKENS, "-r", _REPETITIONS, "--threads", THREADS]
    report = hychat_json(["bench", "-m", MODEL, *map(str, sizes)], environment)
    return {test["test"]: median(test["repetitions"]) for test in report["tests"]}


def _streaming(program: str, rounds: int) -> Iterator[Row]:
    """Each answer is held against both; writing gets slower the further back a token has to look."""
    triples = alternating(rounds, long_answer_speed, lambda: (_from_start(program), _same_depth(program)))
    yield _STREAMING.measured([(ours, from_start) for ours, (from_start, _) in triples])
    yield _SAME_DEPTH.measured([(ours, same_depth) for ours, (_, same_depth) in triples])


def _from_start(program: str) -> float:
    return llama_bench(program, generated=_GENERATED_TOKENS)[f"tg{_GENERATED_TOKENS}"]


def _same_depth(program: str) -> float:
    speeds = llama_bench(program, generated=LONG_ANSWER_TOKENS, depth=LONG_QUESTION_TOKENS, repetitions=1)
    return speeds[f"tg{LONG_ANSWER_TOKENS}"]
