"""An answer on its way to the screen: checked as it grows, and held back until it was, so that nothing blocked is seen."""

import re
from collections.abc import Callable
from typing import Final

from hychat.domain.safety import SafetyAction, SafetyVerdict

SENTENCE_END: Final = re.compile(r"[.!?…][\"')\]”’]*\s|[。！？；][”’」』）]*|\n")
_LONGEST_UNCHECKED: Final = 160
"""Characters, about forty tokens, after which is checked what has no end of a sentence."""
_HELD_BACK: Final = 80
"""Characters of it that stay: a phrase may have begun there."""


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
        ends = [found.end() for found in SENTENCE_END.finditer(self._held)]
        if ends:
            return self._release(ends[-1], ends[-1])
        if len(self._held) > _LONGEST_UNCHECKED:
            return self._release(len(self._held), len(self._held) - _HELD_BACK)
        return ""

    def finish(self) -> str:
        """The rest."""
        return self._release(len(self._held), len(self._held)) if self._held else ""

    def _release(self, checked: int, released: int) -> str:
        """Check up to here, and let go up to there."""
        verdict = self._check(self._shown + self._held[:checked], len(self._shown))
        if verdict.action is SafetyAction.BLOCK:
            self.verdict, self._held = verdict, ""
            return ""
        text, self._held = self._held[:released], self._held[released:]
        self._shown += text
        return text
