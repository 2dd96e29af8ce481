"""Speed of a model on this machine, counted as llama-bench counts it."""

import random
import time
from collections.abc import Callable

from hychat.engine.llama.context import BATCH_TOKENS, AbortFlag, Context, Entry
from hychat.engine.llama.model import Model
from hychat.engine.wire import Bench

_CONTEXT_STEP_TOKENS = 256


def measure(
    model: Model, wanted: Bench, *, threads: int, on_run: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Tokens per second of each repetition, reading then writing; `on_run` is called after each.

    As in llama-bench: random tokens, an empty cache before every repetition, one warm-up of each kind, no sampling.

    Raises:
        ContextTooLarge: There is no memory for the context.
        DecodeFailed: llama.cpp gave up.
    """
    need = max(wanted.prompt_tokens, wanted.generated_tokens)
    size = -(-need // _CONTEXT_STEP_TOKENS) * _CONTEXT_STEP_TOKENS
    context = Context(model, tokens=size, slots=1, threads=threads, abort=AbortFlag())
    tokens = random.Random(0).choices(range(model.vocab_size), k=need)  # noqa: S311 - any tokens will do

    def speeds(count: int, run: Callable[[Context, list[int]], None]) -> list[float]:
        measured = []
        for _repetition in range(wanted.repetitions + 1):
            context.forget_all(0)
            started = time.perf_counter()
            run(context, tokens[:count])
            measured.append(count / (time.perf_counter() - started))
            on_run()
        return measured[1:]  # the first warms up

    try:
        return speeds(wanted.prompt_tokens, _read), speeds(wanted.generated_tokens, _write)
    finally:
        context.close()


def _read(context: Context, tokens: list[int]) -> None:
    for start in range(0, len(tokens), BATCH_TOKENS):
        chunk = tokens[start : start + BATCH_TOKENS]
        context.decode([Entry(0, start, chunk, start + len(chunk) == len(tokens))])
    context.synchronize()


def _write(context: Context, tokens: list[int]) -> None:
    for position, token in enumerate(tokens):
        context.decode([Entry(0, position, [token], True)])
        context.synchronize()
