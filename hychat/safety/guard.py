"""What the layers say together: the word lists first, which are sure of what they find, then the semantic model."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import ceil
from pathlib import Path
from textwrap import shorten
from typing import Final, Protocol

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import HychatError, Interrupted
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _
from hychat.safety.fold import Folded, fold
from hychat.safety.guard_model import Ruling
from hychat.safety.window import SENTENCE_END
from hychat.safety.words import Hit, Tier, WordList, load

_ALLOWED: Final = SafetyVerdict(SafetyAction.ALLOW)
_WORDS: Final = "words"
_WEIGHTS: Final = (Tier.BLOCK, Tier.SUPPORT, Tier.WARN)
_ACTIONS: Final = {Tier.BLOCK: SafetyAction.BLOCK, Tier.SUPPORT: SafetyAction.SUPPORT, Tier.WARN: SafetyAction.WARN}
BLOCKED_FPR: Final = {SafetyLevel.STANDARD: 0.005, SafetyLevel.STRICT: 0.05}
"""The share of harmless texts at which the semantic model blocks."""
WARNED_FPR: Final = 0.02
_LONGEST_PLACED: Final = 100_000
"""Characters of a text whose worst part is looked for."""
_PIECE_CHARACTERS: Final = 100_000
"""Of a long text, read in a tenth of a second, between two looks whether the user still waits."""
_MARGIN_CHARACTERS: Final = 400
"""Around a piece: longer than any phrase, with the context on both of its sides."""
_MOST_PARTS: Final = 32
"""Of a long text, when the worst of it is looked for."""
_EXCERPT_CHARACTERS: Final = 80
_LOOKED_BACK: Final = 360
"""Characters of an answer before the new ones that are judged with them."""
_FINAL: Final = frozenset({SafetyAction.BLOCK, SafetyAction.SUPPORT})
"""Nobody else is asked then."""
_SELF_HARM: Final = "self-harm"
_RULER: Final = "guard"
_UNREAD: Final = "unread"
"""The category of a text of which the guard model could not say anything."""
_RULED: Final = {"safe": SafetyAction.ALLOW, "controversial": SafetyAction.WARN, "unsafe": SafetyAction.BLOCK}
_HARM: Final = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}


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

    def prompts(self, folded: Sequence[str], benign_fpr: float) -> Sequence[Opinion | None]:
        """Of what users ask. What lies below the threshold of this share of harmless texts need only be known to do so."""
        ...

    def reply(self, prompt: str, reply: str) -> Opinion | None:
        """Of what a model says to that."""
        ...

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """The harm that such a share of harmless texts reaches; `kind` is prompt or response."""
        ...


class Ruler(Protocol):
    """A guard model: slow, and right more often than the others."""

    def prompt(self, text: str, cancel: CancelToken | None = None) -> Ruling:
        """Of what a user asks.

        Raises:
            Interrupted: `cancel` was set.
            HychatError: It cannot say.
        """
        ...

    def reply(self, prompt: str, text: str, cancel: CancelToken | None = None) -> Ruling:
        """Of all that is written of an answer so far. Raises as `prompt`."""
        ...


class Layers:
    """What a guard asks, read when the first text comes, or before by `prepare`; guards of several levels may share them."""

    def __init__(
        self,
        words: Callable[[], WordList],
        judge: Callable[[], Judge | None],
        words_version: Callable[[], object] = lambda: None,
    ) -> None:
        """`words` and `judge` load what they return; where `words_version` has changed, the words have too."""
        self._open_words, self._open_judge = words, judge
        self._words_version = words_version
        self._loading = threading.Lock()
        self._loaded: tuple[WordList, Judge | None] | None = None
        self._loaded_version: object = None

    @property
    def is_ready(self) -> bool:
        """Whether everything is loaded."""
        return self._loaded is not None

    def loaded(self) -> tuple[WordList, Judge | None]:
        """All of them. Raises as `Guard.prepare`."""
        with self._loading:
            if self._loaded is None:
                self._loaded_version = self._words_version()
                self._loaded = self._open_words(), self._open_judge()
            return self._loaded

    def renewed(self) -> tuple[WordList, Judge | None]:
        """The same, with words that were changed since.

        Raises:
            ConfigError: The user's own word list cannot be read. The words from before stay, and it is said once.
        """
        words, judge = self.loaded()
        with self._loading:
            if (version := self._words_version()) != self._loaded_version:
                self._loaded_version = version
                words = self._open_words()
                self._loaded = words, judge
        return words, judge


class Guard:
    """The filter at one level, which is not off; thread-safe."""

    def __init__(self, level: SafetyLevel, layers: Layers, ruler: Ruler | None = None) -> None:
        """`ruler` is asked last."""
        self.level = level
        self.keep: Callable[[SafetyVerdict, str], None] | None = None
        """Given what is blocked, where that is wanted."""
        self._layers = layers
        self._ruler = ruler
        self._system: tuple[str, WordList | None, SafetyVerdict] = ("", None, _ALLOWED)
        """The last system text, the lists it was looked up in, and what was said of it."""

    @property
    def is_ready(self) -> bool:
        """Whether it can judge at once."""
        return self._layers.is_ready

    @property
    def is_slow(self) -> bool:
        """Whether a guard model is asked too."""
        return self._ruler is not None

    def prepare(self) -> None:
        """Load what it asks.

        Raises:
            ConfigError: The user's own word list cannot be read.
        """
        self._layers.loaded()

    def prepare_aside(self) -> None:
        """Load it in a thread, beside something else; what goes wrong is told by the first text."""

        def load() -> None:
            with suppress(HychatError):
                self.prepare()

        if not self.is_ready:
            threading.Thread(target=load, name="guard", daemon=True).start()

    def prompt(self, text: str, cancel: CancelToken | None = None) -> SafetyVerdict:
        """Of what a user asks. Raises as `prepare`; and Interrupted, where `cancel` is set."""
        return self.prompts([text], cancel)[0]

    def prompts(
        self, texts: Sequence[str], cancel: CancelToken | None = None, *, as_at: SafetyLevel | None = None
    ) -> list[SafetyVerdict]:
        """Of many, which is faster than one by one; the semantic model judges `as_at` another level. Raises as `prompt`."""
        blocked_fpr = BLOCKED_FPR[as_at or self.level]
        words, judge = self._layers.renewed()
        looked = [_looked_through(words, text, cancel) for text in texts]
        verdicts = [_of_hits(each.hits) for each in looked]
        rest = [number for number, verdict in enumerate(verdicts) if verdict.action not in _FINAL]
        if judge is not None:
            _stop_where(cancel)
            opinions = judge.prompts([looked[number].judged for number in rest], max(WARNED_FPR, blocked_fpr))
            for number, opinion in zip(rest, opinions, strict=True):
                found = self._weighed("prompt", opinion, judge, blocked_fpr)
                if found.action is not SafetyAction.ALLOW:
                    found = _placed(found, texts[number], words, judge)
                verdicts[number] = _heavier(verdicts[number], _kindly(found))
        if self._ruler is not None:
            for number in rest:
                if verdicts[number].action not in _FINAL:
                    ruled = self._ruled(partial(self._ruler.prompt, _left(words, texts[number]), cancel))
                    verdicts[number] = _heavier(verdicts[number], _kindly(ruled))
        return [self._kept(verdict, text) for verdict, text in zip(verdicts, texts, strict=True)]

    def system(self, text: str, cancel: CancelToken | None = None) -> SafetyVerdict:
        """Of a text that a chat is held under; it comes with every question, and is judged once. Raises as `prompt`.

        The semantic model judges it as at the standard level whatever the guard's: its thresholds are those of questions,
        and harmless instructions ("Ignore typos.") lie close to the lower ones.
        """
        lists, _judge = self._layers.renewed()
        known, known_lists, verdict = self._system
        if text != known or lists is not known_lists:
            [verdict] = self.prompts([text], cancel, as_at=SafetyLevel.STANDARD)
            if verdict.category != _UNREAD:
                self._system = (text, lists, verdict)
        return verdict

    def picture(self, data: bytes) -> SafetyVerdict:
        """Of a PNG or JPEG, where the extra `image-safety` is installed; else nothing is said of it."""
        from hychat.safety import image  # rarely needed

        return image.image_verdict(data, self.level) if image.is_installed() else _ALLOWED

    def reply(self, prompt: str, text: str, shown: int = 0, cancel: CancelToken | None = None) -> SafetyVerdict:
        """Of an answer, or of what is written of it, whose first characters are shown. Raises as `prompt`."""
        words, judge = self._layers.loaded()
        start = max(0, shown - _LOOKED_BACK)
        folded = fold(text[start:])
        hits = [hit for hit in words.hits(folded) if _is_of_reply(hit) and hit.span[1] > shown - start]
        verdict = _moved(_of_hits(hits), start)
        if verdict.action is not SafetyAction.BLOCK and judge is not None:
            opinion = judge.reply(_judged(words, prompt, fold(prompt)), _judged(words, text[start:], folded))
            verdict = self._weighed("response", opinion, judge, BLOCKED_FPR[self.level])
        if verdict.action is not SafetyAction.BLOCK and self._ruler is not None:
            asked, said = (_left(words, each) for each in (prompt, text))
            verdict = _heavier(verdict, self._ruled(partial(self._ruler.reply, asked, said, cancel)))
        return self._kept(verdict, text)

    def _ruled(self, ask: Callable[[], Ruling]) -> SafetyVerdict:
        """What the guard model says; one that cannot say it blocks at the strict level, and is told of at the others."""
        try:
            ruling = ask()
        except Interrupted:
            raise
        except HychatError as error:
            action = SafetyAction.BLOCK if self.level is SafetyLevel.STRICT else SafetyAction.ALLOW
            return SafetyVerdict(action, _UNREAD, guard=_RULER, reason=error.message)
        return SafetyVerdict(_RULED[ruling.safety], next(iter(ruling.categories), ""), _HARM[ruling.safety], _RULER)

    def _kept(self, verdict: SafetyVerdict, text: str) -> SafetyVerdict:
        if self.keep and verdict.action is SafetyAction.BLOCK:
            self.keep(verdict, text)
        return verdict

    def _weighed(self, kind: str, opinion: Opinion | None, judge: Judge, blocked_fpr: float) -> SafetyVerdict:
        if opinion is None:
            return _ALLOWED
        blocks, warns = (judge.threshold(kind, opinion.language, fpr) for fpr in (blocked_fpr, WARNED_FPR))
        action = (
            SafetyAction.BLOCK
            if opinion.harm >= blocks
            else SafetyAction.WARN
            if opinion.harm >= warns
            else SafetyAction.ALLOW
        )
        return SafetyVerdict(action, opinion.category, opinion.harm, opinion.stage)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the word lists make of a text."""

    hits: list[Hit]
    judged: str
    """The text as the semantic model gets it: folded, and without what is allowed."""


def _looked_through(words: WordList, text: str, cancel: CancelToken | None) -> _Looked:
    """A text piece by piece, as far as the first phrase that is blocked.

    Raises:
        Interrupted: `cancel` was set.
    """
    hits: list[Hit] = []
    judged: list[str] = []
    for start in range(0, max(1, len(text)), _PIECE_CHARACTERS):
        _stop_where(cancel)
        first = max(0, start - _MARGIN_CHARACTERS)
        piece = text[first : start + _PIECE_CHARACTERS + _MARGIN_CHARACTERS]
        folded = fold(piece)
        begun_here = range(start - first, start - first + _PIECE_CHARACTERS)
        hits += [_kindly_hit(hit.moved(first)) for hit in words.hits(folded) if hit.span[0] in begun_here]
        if any(hit.tier is Tier.BLOCK for hit in hits):
            break
        judged.append(_judged(words, piece, folded))
    return _Looked(hits, "".join(judged))


def _stop_where(cancel: CancelToken | None) -> None:
    """Raises Interrupted where the user does not wait any more."""
    if cancel is not None and cancel.is_set:
        raise Interrupted(_("Stopped."))


def _judged(words: WordList, text: str, folded: Folded) -> str:
    """A text as the semantic model gets it."""
    left = words.without_allowed(text, folded)
    return folded.text if left is text else fold(left).text


def _left(words: WordList, text: str) -> str:
    """A text as the guard model gets it: without what is allowed."""
    return words.without_allowed(text, fold(text)) if words.has_allowed else text


def open_layers(own_words: Path) -> Layers:
    """Those that come with hychat, with the user's own phrases, where there is such a file."""
    return Layers(lambda: load(own_words), _shipped_judge, lambda: file_version(own_words))


def file_version(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written again; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _shipped_judge() -> Judge:
    from hychat.safety.model import Classifier

    return Classifier.load()


def _placed(verdict: SafetyVerdict, text: str, words: WordList, judge: Judge) -> SafetyVerdict:
    """With the part of the text that the model finds worst; of a very long one that would take as long as the judgement."""
    if len(text) > _LONGEST_PLACED:
        return verdict
    ends = [found.end() for found in SENTENCE_END.finditer(text)] + [len(text)]
    step = max(1, ceil(len(ends) / _MOST_PARTS))
    edges = [0, *sorted({*ends[step - 1 :: step], len(text)})]
    spans = [*pairwise(edges)]
    parts = [text[slice(*span)] for span in spans]
    opinions = judge.prompts([_judged(words, part, fold(part)) for part in parts], WARNED_FPR)
    harms = [(opinion.harm, span) for span, opinion in zip(spans, opinions, strict=True) if opinion]
    _harm, span = max(harms, default=(0.0, (0, len(text))))
    excerpt = shorten(text[slice(*span)], _EXCERPT_CHARACTERS, placeholder=" …")
    return replace(verdict, span=span, reason=excerpt or text[slice(*span)][:_EXCERPT_CHARACTERS])


def _kindly(verdict: SafetyVerdict) -> SafetyVerdict:
    """Who asks a machine about harming himself is helped, not refused."""
    is_about_himself = verdict.action is SafetyAction.BLOCK and verdict.category == _SELF_HARM
    return replace(verdict, action=SafetyAction.SUPPORT) if is_about_himself else verdict


def _kindly_hit(hit: Hit) -> Hit:
    """The same of a phrase; on the lists, driving others to it is another category."""
    is_about_himself = hit.tier is Tier.BLOCK and hit.entry.category == _SELF_HARM
    return replace(hit, tier=Tier.SUPPORT) if is_about_himself else hit


def _moved(verdict: SafetyVerdict, characters: int) -> SafetyVerdict:
    if verdict.span is None:
        return verdict
    first, last = verdict.span
    return replace(verdict, span=(first + characters, last + characters))


def _is_of_reply(hit: Hit) -> bool:
    return hit.tier is Tier.BLOCK and not hit.entry.is_question


def _of_hits(hits: list[Hit]) -> SafetyVerdict:
    """The heaviest hit, the first of its kind."""
    if not hits:
        return _ALLOWED
    hit = min(hits, key=lambda hit: _WEIGHTS.index(hit.tier))
    return SafetyVerdict(_ACTIONS[hit.tier], hit.entry.category, 1.0, _WORDS, hit.entry.phrase, hit.span)


def _heavier(first: SafetyVerdict, second: SafetyVerdict) -> SafetyVerdict:
    order = [*SafetyAction]
    is_second = (first.action is SafetyAction.ALLOW and not first.reason) or order.index(second.action) > order.index(
        first.action
    )
    return second if is_second else first
