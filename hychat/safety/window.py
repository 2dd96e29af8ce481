"""An answer on its way to the screen: checked as it grows, and held back until it was, so that nothing blocked is seen.

A phrase may be spread over lines and sentences, so the end of one is not always where text comes out: short ones wait for a
longer one, and what waits is counted in letters and digits, since signs between them are nothing to a reader.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from hychat.domain.safety import SafetyAction, SafetyVerdict

SENTENCE_END: Final = re.compile(r"[.!?…][\"')\]”’]*\s|[。！？；][”’」』）]*|\n")
_SHORTEST_SENTENCE: Final = 10
"""Letters; in shorter ones words may stand one by one."""
_FIRST_IDEOGRAPH: Final = "\u2e80"
_LETTERS_OF_IDEOGRAPH: Final = 3
"""So many a Chinese character counts for in a sentence."""
_LONGEST_UNCHECKED: Final = 130
"""Letters, about forty tokens, after which is checked what has no end of a sentence, or only short ones."""
_HELD_BACK: Final = 65
"""Letters of it that stay: a phrase may have begun there."""
_MOST_UNCHECKED: Final = 1000
"""Characters, after which is checked what has few letters."""


class Window:
    """Text goes in as it is written, and comes out once it was checked."""

    def __init__(
        self, check: Callable[[str, int], SafetyVerdict], least_characters: int = 0, *, shown: str = ""
    ) -> None:
        """`check` judges what was written so far, and is told how many of its characters came out already.

        Where checking is slow, `least_characters` are waited for. `shown` came out before, in another window.
        """
        self._check = check
        self._least = least_characters
        self._shown = shown
        """What came out."""
        self._held = ""
        self.verdict: SafetyVerdict | None = None
        """Why nothing comes any more, once it is so."""

    def feed(self, text: str) -> str:
        """Take the next piece; what may be shown."""
        if self.verdict is not None:
            return ""
        self._held += text
        if len(self._held) < self._least:
            return ""
        if end := _end_of_long_sentence(self._held):
            return self._release(end, end)
        if _n_letters(self._held) > _LONGEST_UNCHECKED or len(self._held) > _MOST_UNCHECKED:
            return self._release(len(self._held), _start_of_held_back(self._held))
        return ""

    def finish(self) -> str:
        """The rest."""
        return self._release(len(self._held), len(self._held)) if self._held else ""

    def _release(self, checked: int, released: int) -> str:
        """Check up to here, and let go up to there; of what is blocked, the sentences before it."""
        verdict = self._checked(checked)
        if verdict.action is SafetyAction.BLOCK:
            released = self._end_before(verdict)
            if released and self._checked(released).action is SafetyAction.BLOCK:
                released = 0
            self.verdict = verdict
        text, self._held = self._held[:released], self._held[released:]
        self._shown += text
        if self.verdict is not None:
            self._held = ""
        return text

    def _checked(self, characters: int) -> SafetyVerdict:
        """What is said of so many of those that are held, after what came out."""
        return self._check(self._shown + self._held[:characters], len(self._shown))

    def _end_before(self, verdict: SafetyVerdict) -> int:
        """The end of the last sentence before what was found, if that is told; else of none."""
        found_at = verdict.span[0] - len(self._shown) if verdict.span else 0
        return max((end for end in _ends(self._held) if end <= found_at), default=0)


def _ends(text: str) -> list[int]:
    return [found.end() for found in SENTENCE_END.finditer(text)]


def _end_of_long_sentence(text: str) -> int:
    """Of the last one that is not short."""
    spans = pairwise([0, *_ends(text)])
    return max((end for start, end in spans if _length(text[start:end]) >= _SHORTEST_SENTENCE), default=0)


def _length(sentence: str) -> int:
    """In letters."""
    return sum(_LETTERS_OF_IDEOGRAPH if sign >= _FIRST_IDEOGRAPH else 1 for sign in sentence if sign.isalnum())


def _n_letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _start_of_held_back(text: str) -> int:
    """Where the last of its letters begin that are held back, or half of what may wait."""
    n_letters = 0
    for at in range(len(text) - 1, max(0, len(text) - _MOST_UNCHECKED // 2), -1):
        n_letters += text[at].isalnum()
        if n_letters == _HELD_BACK:
            return at
    return max(0, len(text) - _MOST_UNCHECKED // 2)
