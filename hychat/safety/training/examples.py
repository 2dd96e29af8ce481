"""From rows to what the encoder is shown: pieces, labels and weights, with the pairs of prompt and reply made up on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from hychat.safety.fold import fold
from hychat.safety.model.inputs import pair_input, prompt_input
from hychat.safety.model.pieces import Pieces
from hychat.safety.training import frames
from hychat.safety.training.rows import CATEGORIES, OWN, Row, source_weights

_COMMENT_SHARE: Final = 0.35
_NOISY_WEIGHT: Final = 0.7
_OTHER_WORDS: Final = 0.15
_ASKED: Final = 0.6
"""How often a reply whose prompt is not known gets one from elsewhere."""
_REFUSED: Final = 0.3
"""How often that is a harmful one for a harmless reply."""
_AMID: Final = 0.12
"""How often a prompt stands before or behind another, harmless one."""
_AMID_CHARACTERS: Final = {"en": 240, "zh": 80}
_OWN_WEIGHT: Final = 1.5
_SHORT_CHARACTERS: Final = 300
_LONG_CHARACTERS: Final = 500
_LATER_WINDOW: Final = 0.25
"""How often a long reply is shown from somewhere inside."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text as the encoder sees it."""

    numbers: Sequence[int]
    reply_at: int
    """Where the reply begins; 0 for a prompt alone."""
    is_harmful: bool
    category: int
    """Its number in CATEGORIES, or -1."""
    weight: float


def examples(rows: Sequence[Row], pieces: Pieces, random: Random) -> Iterator[Example]:
    """One pass over the training rows: each source as often as it is worth."""
    weights = source_weights(rows)
    prompts = {
        (harm, language): [r.text for r in rows if (r.kind, r.is_harmful, r.language) == ("prompt", harm, language)]
        for harm in (False, True)
        for language in ("en", "zh")
    }
    replies = {
        lang: [r.text for r in rows if r.kind == "response" and not r.is_harmful and r.language == lang]
        for lang in ("en", "zh")
    }
    for row in rows:
        share = weights[row.source, row.kind, row.is_harmful] * (_COMMENT_SHARE if row.kind == "comment" else 1)
        share = 1 if row.source == OWN else share
        if random.random() > share:
            continue
        weight = _NOISY_WEIGHT if row.is_noisy or row.kind == "comment" else _OWN_WEIGHT if row.source == OWN else 1.0
        if row.kind == "response":
            asked = row.prompt
            if not asked and random.random() < _ASKED:
                asked = random.choice(prompts[row.is_harmful or random.random() < _REFUSED, row.language])
            yield _pair(pieces, asked, _window(row.text, random), row.is_harmful, weight)
        else:
            text = row.text
            if random.random() < _OTHER_WORDS and len(text) < _SHORT_CHARACTERS:
                text = frames.in_other_words(text, row.language, random)
            if random.random() < _AMID:
                text = _amid(text, random.choice(prompts[False, row.language]), row.language, random)
            category = CATEGORIES.index(row.category) if row.category in CATEGORIES and row.is_harmful else -1
            yield Example(prompt_input(pieces, text)[0], 0, row.is_harmful, category, weight)
    for language in sorted({row.language for row in rows}):
        yield from _made_up(language, pieces, prompts[True, language], replies[language], random)


def _made_up(
    language: str, pieces: Pieces, harmful: Sequence[str], replies: Sequence[str], random: Random
) -> Iterator[Example]:
    """What sounds harmful and is not, code, and harmless replies to harmful prompts."""
    for text in frames.harmless(language):
        yield Example(prompt_input(pieces, text)[0], 0, is_harmful=False, category=-1, weight=0.7)
    for text in frames.about_code() if language == "en" else ():
        yield Example(prompt_input(pieces, fold(text).text)[0], 0, is_harmful=False, category=-1, weight=0.7)
    for _time in range(700):
        asked = random.choice(harmful)
        yield _pair(pieces, asked, random.choice(frames.refusals(language)), harm=False, weight=0.5)
        if replies:
            yield _pair(pieces, asked, _window(random.choice(replies), random), harm=False, weight=0.7)


def _pair(pieces: Pieces, prompt: str, reply: str, harm: bool, weight: float) -> Example:
    numbers, reply_at = pair_input(pieces, prompt, reply)
    return Example(numbers, reply_at, harm, -1, weight)


def _amid(text: str, other: str, language: str, random: Random) -> str:
    most = _AMID_CHARACTERS[language]
    return f"{other[-most:]} {text}" if random.random() < 0.5 else f"{text} {other[:most]}"  # noqa: PLR2004 - as often as not


def _window(reply: str, random: Random) -> str:
    if len(reply) > _LONG_CHARACTERS and random.random() < _LATER_WINDOW:
        return reply[random.randrange(len(reply) - _SHORT_CHARACTERS) :]
    return reply
