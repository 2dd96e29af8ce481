"""Notices a model that repeats itself without end, as small INT4 models do."""

from typing import Final

LONGEST_PERIOD_TOKENS: Final = 128
_REPEATS: Final = 5
_SHORTEST_LOOP_TOKENS: Final = 72
"""Below this a repetition may be meant: a ruler of dashes, a table's head, a chorus."""


class LoopDetector:
    """Watches the n-grams of an answer.

    For each period p up to 128 it counts how many tokens in a row equal the one p before. An answer loops when an n-gram has
    come at least five times over, in at least 72 tokens.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._run_of_period = [0] * (LONGEST_PERIOD_TOKENS + 1)

    def feed(self, token: int) -> bool:
        """Take the next token; whether the answer loops by now."""
        tokens, runs = self._tokens, self._run_of_period
        looping = False
        for period in range(1, min(len(tokens), LONGEST_PERIOD_TOKENS) + 1):
            if tokens[-period] == token:
                runs[period] += 1
                looping = looping or runs[period] >= max(_SHORTEST_LOOP_TOKENS, period * (_REPEATS - 1))
            else:
                runs[period] = 0
        tokens.append(token)
        return looping
