"""How a text is laid before the encoder: its language, its windows, its pieces."""

import re
from collections.abc import Sequence
from typing import Final, Literal

from hychat.safety.fold import HAN
from hychat.safety.model.pieces import END, START, Pieces

PROMPT_PIECES: Final = 128
PAIR_PROMPT_PIECES: Final = 48
PAIR_REPLY_PIECES: Final = 128
_LATIN_OF_A_HAN: Final = 3
"""So many Latin letters say as much as a Chinese character."""
_FEWEST_LETTERS: Final = 3
_WINDOW_CHARACTERS: Final = {"en": 520, "zh": 180}
"""What fits into the pieces. Windows of half the size found more of what is hidden in long texts, and much less at the same rate
of false alarms."""
_LETTER: Final = re.compile(r"[^\W\d_]")
_KNOWN: Final = re.compile(r"[a-z]")
_HAN: Final = re.compile(rf"[{HAN}]")
_SAMPLE_CHARACTERS: Final = 4000
"""Of a long text's beginning, which tell its language."""

Input = tuple[Sequence[int], int]
"""Pieces, and where the reply begins in them; 0 where all of it is judged."""


def language_of(text: str) -> Literal["en", "zh"] | None:
    """The language whose models judge a text; None where most of its letters are of other scripts, or there are next to none."""
    text = text[:_SAMPLE_CHARACTERS]
    han, latin = len(_HAN.findall(text)), len(_KNOWN.findall(text))
    weight = _LATIN_OF_A_HAN * han + latin
    others = len(_LETTER.findall(text)) - han - latin
    if weight < _FEWEST_LETTERS or others > weight:
        return None
    return "zh" if _LATIN_OF_A_HAN * han >= latin else "en"


def windows(text: str, language: str) -> list[str]:
    """A text in parts that the encoder can take, each cut at a space where there is one near."""
    size = _WINDOW_CHARACTERS[language]
    parts: list[str] = []
    start = 0
    while start < len(text):
        end = start + size
        if end < len(text) and (blank := text.rfind(" ", start + size * 3 // 4, end)) > 0:
            end = blank + 1
        parts.append(text[start:end])
        start = end
    return parts


def prompt_input(pieces: Pieces, text: str) -> Input:
    """A prompt alone."""
    return (START, *pieces.numbers(text, PROMPT_PIECES), END), 0


def pair_input(pieces: Pieces, prompt: str, reply: str) -> Input:
    """A prompt and its reply."""
    asked = (START, *pieces.numbers(prompt[: 8 * PAIR_PROMPT_PIECES], PAIR_PROMPT_PIECES), END)
    return (*asked, *pieces.numbers(reply, PAIR_REPLY_PIECES), END), len(asked)
