"""Speed of a model on this machine, counted as llama-bench counts it."""

import random
import time
from collections.abc import Callable

from hychat.engine.llama.context import BATCH_TOKENS, AbortFlag, Context, Entry
from hychat.engine.llama.model import Model

_CONTEXT_STEP_TOKENS = 256


def measure(
    model: Model, *, prompt_tokens: int, generated_tokens: int, repetitions: int, threads: int
) -> tuple[list[float], list[float]]:
    """Tokens per second of each repetition, reading then writing.

    As in llama-bench: random tokens, an empty cache before every repetition, one warm-up of each kind, no sampling.

    Raises:
        ContextTooLarge: There is no memory for the context.
    """
    need = max(prompt_tokens, generated_tokens)
    size = -(-need // _CONTEXT_STEP_TOKENS) * _CONTEXT_STEP_TOKENS
    context = Context(model, tokens=size, slots=1, threads=threads, abort=AbortFlag())
    tokens = random.Random(0).choices(range(model.vocab_size), k=need)  # noqa: S311 - any tokens will do
    try:
        prefill = _speeds(context, repetitions, prompt_tokens, lambda: _read(context, tokens[:prompt_tokens]))
        decode = _speeds(context, repetitions, generated_tokens, lambda: _write(context, tokens[:generated_tokens]))
    finally:
        context.close()
    return prefill, decode


def _speeds(context: Context, repetitions: int, count: int, run: Callable[[], None]) -> list[float]:
    speeds = []
    for repetition in range(repetitions + 1):
        context.forget_all(0)
        started = time.perf_counter()
        run()
        if repetition:  # the first warms up
            speeds.append(count / (time.perf_counter() - started))
    return speeds


def _read(context: Context, tokens: list[int]) -> None:
    for start in range(0, len(tokens), BATCH_TOKENS):
        chunk = tokens[start : start + BATCH_TOKENS]
        context.decode([Entry(0, start, chunk, start + len(chunk) == len(tokens))])
    context.synchronize()


def _write(context: Context, tokens: list[int]) -> None:
    for position, token in enumerate(tokens):
        context.decode([Entry(0, position, [token], True)])
        context.synchronize()
