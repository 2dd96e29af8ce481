"""What people do to a phrase so that a filter does not see it; each takes a phrase and returns another spelling."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from random import Random

Disguise = Callable[[str, Random], str]

_MARKS = "\u0301\u0336\u0308\u0323"
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_SIGNS = ".-_*/|~+"
_HAN_SIGNS = (".", "-", "*", "_", " ", "|", "/", "·", "+", "🔥", "♥", "~")
_LEET = {"o": "0", "i": "1!", "l": "1", "e": "3", "a": "4@", "s": "5$", "t": "7"}
_LOOKALIKES = {
    "a": "аα",
    "c": "сϲ",
    "e": "е",
    "i": "іι",
    "j": "ј",
    "o": "оο",
    "p": "рρ",
    "s": "ѕ",
    "x": "х",
    "y": "уү",
    "v": "ν",
}
_HAN = re.compile(r"[\u3400-\u9fff]")


def zero_width(phrase: str, random: Random) -> str:
    return "".join(letter + (random.choice(_UNSEEN) if random.random() < 0.5 else "") for letter in phrase)


def marks(phrase: str, random: Random) -> str:
    return "".join(letter + (random.choice(_MARKS) if letter.isalpha() else "") for letter in phrase)


def full_width(phrase: str, _random: Random) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in phrase)


def upper_case(phrase: str, random: Random) -> str:
    return "".join(letter.upper() if random.random() < 0.6 else letter for letter in phrase)


def lookalikes(phrase: str, random: Random) -> str:
    """Letters of other scripts; one of each word stays as it is."""
    return _word_by_word(phrase, 2, lambda word: _replaced(word, _LOOKALIKES, {random.choice(_plain(word))}, random))


def leet(phrase: str, random: Random) -> str:
    """Signs for letters; two of each word stay, and its ends, where a sign may be punctuation."""
    return _word_by_word(
        phrase, 4, lambda word: _replaced(word, _LEET, {0, len(word) - 1, *random.sample(_plain(word), 2)}, random)
    )


def spaced(phrase: str, _random: Random) -> str:
    return "  ".join(" ".join(_letters(word)) for word in phrase.split()) if not _HAN.search(phrase) else phrase


def dotted(phrase: str, random: Random) -> str:
    sign = random.choice(_SIGNS)
    return _word_by_word(phrase, 3, sign.join)


def stars(phrase: str, random: Random) -> str:
    def starred(word: Sequence[str]) -> str:
        at = random.randrange(1, len(word))
        return "".join([*word[:at], "*", *word[at:]])

    return _word_by_word(phrase, 3, starred)


def stretched(phrase: str, random: Random) -> str:
    return "".join(
        letter * (random.randrange(3, 6) if letter in "aeiou" and random.random() < 0.5 else 1) for letter in phrase
    )


def signs_between_han(phrase: str, random: Random) -> str:
    sign = random.choice(_HAN_SIGNS)
    return re.sub(r"(?<=[\u3400-\u9fff])(?=[\u3400-\u9fff])", sign, phrase)


def traditional(phrase: str, random: Random) -> str:
    return "".join(random.choice(_traditional().get(letter, letter)) for letter in phrase)


def pinyin(phrase: str, random: Random) -> str:
    """One character of a long enough phrase as its syllable."""
    places = [at for at, letter in enumerate(phrase) if letter in _syllables()]
    if len(places) < 4 or len(places) != len(phrase):
        return phrase
    at = random.choice(places)
    return phrase[:at] + _syllables()[phrase[at]] + phrase[at + 1 :]


def _word_by_word(phrase: str, fewest: int, change: Callable[[Sequence[str]], str]) -> str:
    """Every word of so many letters and more in another spelling; Chinese has none."""
    if _HAN.search(phrase):
        return phrase
    words = ((_letters(word), word) for word in re.split(r"( +)", phrase))
    return "".join(change(letters) if len(_plain(letters)) >= fewest else word for letters, word in words)


def _letters(word: str) -> list[str]:
    """Each with the marks and unseen characters around it."""
    return re.findall(rf"[{_UNSEEN}]*.[{_MARKS}{_UNSEEN}]*", word)


def _plain(letters: Sequence[str]) -> list[int]:
    """Where letters stand that no earlier disguise has changed."""
    return [at for at, letter in enumerate(letters) if letter[0].isascii() and letter[0].isalpha()]


def _replaced(letters: Sequence[str], table: Mapping[str, str], kept: set[int], random: Random) -> str:
    return "".join(
        random.choice(table[letter[0]]) + letter[1:] if at not in kept and letter[0] in table else letter
        for at, letter in enumerate(letters)
    )


@cache
def _traditional() -> dict[str, str]:
    first, second = _table("simplified.txt").split()
    table: dict[str, str] = {}
    for old, new in zip(first, second, strict=True):
        table[new] = table.get(new, "") + old
    return table


@cache
def _syllables() -> dict[str, str]:
    lines = _table("pinyin.txt").splitlines()
    return {letter: syllable for syllable, letters in map(str.split, lines) for letter in letters}


def _table(name: str) -> str:
    return files("hychat.safety").joinpath("tables", name).read_text(encoding="utf-8")


DISGUISES: dict[str, Disguise] = {
    each.__name__: each
    for each in (
        zero_width, marks, full_width, upper_case, lookalikes, leet, spaced, dotted, stars, stretched, signs_between_han,
        traditional, pinyin,
    )
}  # fmt: skip
