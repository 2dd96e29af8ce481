"""Qwen3Guard-Gen as a layer of the filter: a language model that was trained to rule on what is asked and answered.

It is asked through an `Oracle`, with the chat template of its own file: that lays the policy it was trained on around the
text, one for prompts and one for replies. What it answers is read strictly, line by line. Both forms, the severities and
the categories are those of Qwen's README and technical report (github.com/QwenLM/Qwen3Guard, arxiv.org/abs/2510.14276).

Whatever stands in a text, the tokenizer takes it for text. Words that would pass for the frame itself (a speaker's label
at the start of a line, the bounds of the conversation) lose their marks: a text that goes on with "USER: thanks!" would
have the model rule on the thanks alone. What that does to the ruling was not measured.
"""

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import AnswerIncomplete, HychatError, ModelRefused, PromptTooLong
from hychat.messages import _

Kind = Literal["prompt", "response"]
Safety = Literal["safe", "controversial", "unsafe"]

MODEL: Final = "qwen3guard"
"""Its name in the catalogue."""

_SEVERITIES: Final[Mapping[str, Safety]] = {"Safe": "safe", "Controversial": "controversial", "Unsafe": "unsafe"}
"""Mildest first."""
_ORDER: Final = (*_SEVERITIES.values(),)
_CATEGORIES: Final[Mapping[str, str]] = {
    "Violent": "violence",
    "Non-violent Illegal Acts": "illegal",
    "Sexual Content or Sexual Acts": "sexual",
    "PII": "privacy",
    "Suicide & Self-Harm": "self-harm",
    "Unethical Acts": "unethical",
    "Politically Sensitive Topics": "",
    "Copyright Violation": "",
    "Jailbreak": "jailbreak",
}
"""Qwen's names, and ours; empty for what this filter has no opinion on."""
_PROMPTS_ONLY: Final = "Jailbreak"
_NO_CATEGORY: Final = "None"
_ANSWER: Final = re.compile(
    r"\s*Safety: (?P<safety>\w+)[ \t]*\nCategories: (?P<categories>[^\n]+?)[ \t]*(?:\nRefusal: (?P<refusal>Yes|No))?\s*"
)
_FRAME: Final = "<BEGIN CONVERSATION>"
"""What the template of a guard model writes before the text."""
_FRAME_LIKE: Final = re.compile(
    r"^(?P<label>[^\S\n]*(?:USER|ASSISTANT))[^\S\n]*:|<(?P<bound>(?:BEGIN|END)[ A-Z]*)>", re.IGNORECASE | re.MULTILINE
)

_WINDOW_CHARACTERS: Final = 3000
_OVERLAP_CHARACTERS: Final = 300
_MOST_WINDOWS: Final = 16
_SHORTEST_HALVED: Final = 2 * _OVERLAP_CHARACTERS
_ASKED_CHARACTERS: Final = 1000
"""Of each end of a long question, that a reply is judged with."""
_REMEMBERED: Final = 64


class GuardUnreadable(HychatError):
    """The guard model answered something else than a ruling. Exit code 1, as of an engine that failed."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the guard model says of a text."""

    safety: Safety
    """Controversial is what is harmful in one setting and not in another."""
    categories: tuple[str, ...] = ()
    """Names of hychat's, and "illegal" (hacking, theft, making drugs) and "unethical" (hate, harassment, insults), which Qwen
    draws wider than any of ours. Empty where it is safe, and where the model gave no reason."""
    is_refusal: bool | None = None
    """Whether a reply declines what was asked; None for a prompt."""


class Oracle(Protocol):
    """A language model that gives its likeliest answer."""

    def frame(self, cancel: CancelToken) -> str:
        """What its own template writes around a question."""
        ...

    def ask(self, turns: Sequence[str], cancel: CancelToken) -> str:
        """Its whole answer to a chat: the user's words first, then by turns."""
        ...

    def close(self) -> None:
        """End it; a second call does nothing."""
        ...


def parse(text: str, kind: Kind) -> Ruling:
    """Read an answer of the guard model: two lines for a prompt, three for a reply, and only white space around them.

    A text that is flagged only for political topics or for copyright counts as safe: no layer of this filter judges
    either. Safe with a category is a contradiction, so it is not read; a flag without a category stands.

    Raises:
        GuardUnreadable: It has another form, or names a severity or category that was not published for the kind.
    """
    said = _ANSWER.fullmatch(text)
    if said is None or said["safety"] not in _SEVERITIES or (said["refusal"] is None) != (kind == "prompt"):
        raise _unreadable()
    safety = _SEVERITIES[said["safety"]]
    is_refusal = said["refusal"] == "Yes" if kind == "response" else None
    named = _named(said["categories"], kind)
    if named and safety == "safe":
        raise _unreadable()
    judged = tuple(dict.fromkeys(ours for name in named if (ours := _CATEGORIES[name])))
    if named and not judged:
        return Ruling("safe", (), is_refusal)
    return Ruling(safety, judged, is_refusal)


def _named(categories: str, kind: Kind) -> list[str]:
    """Qwen's categories in an answer.

    Raises:
        GuardUnreadable: There is none of that name.
    """
    if categories == _NO_CATEGORY:
        return []
    names = re.split(", ?", categories)
    if not _CATEGORIES.keys() >= {*names} or (kind == "response" and _PROMPTS_ONLY in names):
        raise _unreadable()
    return names


def _unreadable() -> GuardUnreadable:
    """Without the answer: it may repeat what must not be seen."""
    return GuardUnreadable(
        _("The guard model answered something else than a ruling."),
        hint=_("If this goes on, fetch it again: {command}").format(command=f"hychat models pull {MODEL}"),
    )


class GuardModel:
    """Rules on texts. Thread-safe; every method but `close` may raise as the oracle's `ask`.

    A long text is read in windows that overlap, the worst ruling wins, and nothing more is read once one is unsafe. Of a
    text of more than 16 windows 16 are read, evenly spread, both ends among them. Windows begin at fixed places and what
    was ruled is remembered, so a reply that grows costs its last window, whose start the KV cache of the engine holds:
    give `reply` all that was written so far, not the end of it.
    """

    def __init__(self, oracle: Oracle) -> None:
        """Nothing is opened yet."""
        self._oracle = oracle
        self._is_known_to_guard = False
        self._remembering = threading.Lock()
        self._rulings: dict[tuple[str, ...], Ruling] = {}

    def prepare(self, cancel: CancelToken) -> None:
        """Load the model.

        Raises:
            ModelRefused: It is another kind of model.
        """
        if not self._is_known_to_guard:
            if _FRAME not in self._oracle.frame(cancel):
                raise ModelRefused(
                    _("The model that should guard this chat is not a guard model."),
                    hint=_("Take this one: {command}").format(command=f"hychat models pull {MODEL}"),
                )
            self._is_known_to_guard = True

    def prompt(self, text: str, cancel: CancelToken | None = None) -> Ruling:
        """Of what a user asks. Raises as `prepare`, and GuardUnreadable."""
        return self._worst(((window,) for window in _windows(_unframed(text))), cancel or CancelToken())

    def reply(self, prompt: str, text: str, cancel: CancelToken | None = None) -> Ruling:
        """Of an answer, or of all that is written of it so far. Of a long prompt both ends are read. Raises as `prompt`."""
        asked = _ends(_unframed(prompt))
        return self._worst(((asked, window) for window in _windows(_unframed(text))), cancel or CancelToken())

    def close(self) -> None:
        """End the model; a second call does nothing."""
        self._oracle.close()

    def _worst(self, chats: Iterable[tuple[str, ...]], cancel: CancelToken) -> Ruling:
        rulings: list[Ruling] = []
        for chat in chats:
            rulings.append(self._ruling(chat, cancel))
            if rulings[-1].safety == "unsafe":
                break
        return max(rulings, key=lambda ruling: _ORDER.index(ruling.safety))

    def _ruling(self, chat: tuple[str, ...], cancel: CancelToken) -> Ruling:
        """Of one window; scripts with many tokens to a character are halved until they fit."""
        *before, text = chat
        if not text.strip():
            return Ruling("safe", (), False if before else None)
        try:
            return self._remembered(chat, cancel)
        except PromptTooLong:
            if len(text) < _SHORTEST_HALVED:
                raise
        middle, overlap = len(text) // 2, _OVERLAP_CHARACTERS // 2
        halves = (text[: middle + overlap], text[middle - overlap :])
        return self._worst(((*before, half) for half in halves), cancel)

    def _remembered(self, chat: tuple[str, ...], cancel: CancelToken) -> Ruling:
        with self._remembering:
            known = self._rulings.get(chat)
        if known is not None:
            return known
        ruling = self._asked(chat, cancel)
        with self._remembering:
            self._rulings[chat] = ruling
            if len(self._rulings) > _REMEMBERED:
                del self._rulings[next(iter(self._rulings))]
        return ruling

    def _asked(self, chat: tuple[str, ...], cancel: CancelToken) -> Ruling:
        self.prepare(cancel)
        try:
            answer = self._oracle.ask(chat, cancel)
        except AnswerIncomplete as error:
            raise _unreadable() from error
        return parse(answer, "prompt" if len(chat) == 1 else "response")


def _windows(text: str) -> list[str]:
    """Parts of a text that begin at the same places however long it gets."""
    starts = range(0, max(1, len(text) - _OVERLAP_CHARACTERS), _WINDOW_CHARACTERS - _OVERLAP_CHARACTERS)
    last, last_read = len(starts) - 1, min(len(starts), _MOST_WINDOWS) - 1
    read = [starts[round(number * last / max(last_read, 1))] for number in range(last_read + 1)]
    return [text[start : start + _WINDOW_CHARACTERS] for start in read]


def _ends(text: str) -> str:
    if len(text) <= 2 * _ASKED_CHARACTERS:
        return text
    return f"{text[:_ASKED_CHARACTERS]}\n…\n{text[-_ASKED_CHARACTERS:]}"


def _unframed(text: str) -> str:
    """The text, with what would pass for the frame made plain."""
    return _FRAME_LIKE.sub(lambda found: found["label"] or found["bound"], text)
