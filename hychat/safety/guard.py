"""What the layers say together: the word lists first, which are sure of what they find, then the semantic model."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from hychat.domain.choices import SafetyLevel
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.safety.fold import fold
from hychat.safety.words import Hit, Tier, WordList, load

_ALLOWED: Final = SafetyVerdict(SafetyAction.ALLOW)
_WORDS: Final = "words"
_WEIGHTS: Final = (Tier.BLOCK, Tier.SUPPORT, Tier.WARN)
_ACTIONS: Final = {Tier.BLOCK: SafetyAction.BLOCK, Tier.SUPPORT: SafetyAction.SUPPORT, Tier.WARN: SafetyAction.WARN}
BLOCKED_FPR: Final = {SafetyLevel.STANDARD: 0.005, SafetyLevel.STRICT: 0.05}
"""The share of harmless texts at which the semantic model blocks."""
WARNED_FPR: Final = 0.02


class Opinion(Protocol):
    """How harmful a semantic model finds a text."""

    @property
    def harm(self) -> float:
        """0 to 1."""
        ...

    @property
    def category(self) -> str:
        """What kind of harm it would be."""
        ...

    @property
    def language(self) -> str:
        """The one it was judged in."""
        ...

    @property
    def stage(self) -> str:
        """The part of the model that said so."""
        ...


class Judge(Protocol):
    """A semantic model of harm; it gets folded texts, and says nothing of what it cannot read."""

    def prompt(self, folded: str) -> Opinion | None:
        """Of what a user asks."""
        ...

    def reply(self, prompt: str, reply: str) -> Opinion | None:
        """Of what a model says to that."""
        ...

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """The harm that such a share of harmless texts reaches; `kind` is prompt or response."""
        ...


class Guard:
    """The filter at one level, which is not off. What it is made of is read when the first text comes, or by `prepare`."""

    def __init__(self, level: SafetyLevel, words: Callable[[], WordList], judge: Callable[[], Judge | None]) -> None:
        """`words` and `judge` load what they return."""
        self.level = level
        self._open_words, self._open_judge = words, judge
        self._words: WordList | None = None
        self._judge: Judge | None = None

    def prepare(self) -> None:
        """Load everything; what a guard does needs it.

        Raises:
            ConfigError: The user's own word list cannot be read.
        """
        if self._words is None:
            self._judge, self._words = self._open_judge(), self._open_words()

    def prompt(self, text: str) -> SafetyVerdict:
        """Of what a user asks. Raises as `prepare`."""
        self.prepare()
        folded = fold(text)
        verdict = _of_hits(self._hits(text))
        if verdict.action in {SafetyAction.BLOCK, SafetyAction.SUPPORT} or self._judge is None:
            return verdict
        opinion = self._judge.prompt(folded.text)
        return _heavier(verdict, self._weighed("prompt", opinion, self._judge))

    def reply(self, prompt: str, text: str, shown: int = 0) -> SafetyVerdict:
        """Of an answer, or of the end of what is written of it, whose first characters are shown. Raises as `prepare`."""
        self.prepare()
        verdict = _of_hits([hit for hit in self._hits(text) if hit.tier is Tier.BLOCK and hit.span[1] > shown])
        if verdict.action is SafetyAction.BLOCK or self._judge is None:
            return verdict
        opinion = self._judge.reply(fold(prompt).text, fold(text).text)
        return self._weighed("response", opinion, self._judge)

    def _hits(self, text: str) -> list[Hit]:
        return self._words.hits(fold(text)) if self._words else []

    def _weighed(self, kind: str, opinion: Opinion | None, judge: Judge) -> SafetyVerdict:
        if opinion is None:
            return _ALLOWED
        blocks, warns = (judge.threshold(kind, opinion.language, fpr) for fpr in (BLOCKED_FPR[self.level], WARNED_FPR))
        action = (
            SafetyAction.BLOCK
            if opinion.harm >= blocks
            else SafetyAction.WARN
            if opinion.harm >= warns
            else SafetyAction.ALLOW
        )
        return SafetyVerdict(action, opinion.category, opinion.harm, opinion.stage)


def open_guard(level: SafetyLevel, own_words: Path) -> Guard:
    """The filter that comes with hychat, and the user's own phrases, where there is such a file."""
    return Guard(level, lambda: load(own_words), lambda: None)


def _of_hits(hits: list[Hit]) -> SafetyVerdict:
    """The heaviest hit, the first of its kind."""
    if not hits:
        return _ALLOWED
    hit = min(hits, key=lambda hit: _WEIGHTS.index(hit.tier))
    return SafetyVerdict(_ACTIONS[hit.tier], hit.entry.category, 1.0, _WORDS, hit.entry.phrase, hit.span)


def _heavier(first: SafetyVerdict, second: SafetyVerdict) -> SafetyVerdict:
    order = [*SafetyAction]
    return second if order.index(second.action) > order.index(first.action) else first
