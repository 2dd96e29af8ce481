"""Writing speed of all answers together, by how many are written at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from tests.bench.engines import LONG_QUESTION, Answer, Starter, cold_starter, long_answer_settings
from tests.bench.row import Row

_COUNTS: Final = (1, 2, 4, 8, 16, 32)
_ANSWER_TOKENS: Final = 64


def rows(rounds: int) -> Iterator[Row]:
    """For information only, so once; each count's speed over that of one answer alone."""
    del rounds
    with cold_starter(slots=max(_COUNTS)) as starter:
        alone = _speed(starter, 1)
        for count in _COUNTS:
            speed = alone if count == 1 else _speed(starter, count)
            compared = (
                f"answers of {_ANSWER_TOKENS} tokens, {count} at once, all tokens together, over one answer alone"
            )
            yield Row(f"parallel-{count}", compared, "tok/s").measured([(speed, alone)])


def _speed(starter: Starter, count: int) -> float:
    """Tokens per second from the first piece of any answer to the last."""
    settings = replace(long_answer_settings(), max_tokens=_ANSWER_TOKENS)

    def ask(number: int) -> Answer:
        return starter.ask(LONG_QUESTION, replace(settings, seed=number))

    with ThreadPoolExecutor(count) as readers:
        answers = list(readers.map(ask, range(count)))
    tokens = sum(answer.usage.generated_tokens for answer in answers)
    return tokens / (max(a.last_piece for a in answers) - min(a.first_piece for a in answers))
