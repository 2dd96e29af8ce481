"""One reading of a text for both layers of the filter: disguises undone, with a way back to what was written.

Every rule is a pass over the text that finds small edits; each folded character knows which characters it came from. All
passes are linear, whatever the text.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import compress
from typing import ClassVar, Final

HAN: Final = "\u3400-\u9fff"
_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_LEET_SIGNS: Final = frozenset("013457@$!")
_FEWEST_LETTERS: Final = 2
_SIGN: Final = r"[.\-_*/|~+,'^\n]"
_SIGN_IN_LINE: Final = r"[.\-_*/|~+,'^]"
_SIGNS: Final = re.compile(rf"{_SIGN}+")
_SIGNS_AND_BLANKS: Final = re.compile(rf"{_SIGN}+ +")
_TOKEN: Final = re.compile(r"[a-z0-9@$!]+")
_MASKS: Final = frozenset("*#%")
_MASKED: Final = re.compile(r"(?<![a-z0-9*#%])[a-z][a-z*#%]+[a-z](?![a-z0-9*#%])")
_LEAST_SEEN: Final = 0.5
"""Of a masked word's letters."""
_INSERTABLE: Final = frozenset("*^~`")
_APOSTROPHES: Final = frozenset("'’")
_APOSTROPHE: Final = re.compile(r"(?<=[a-z])['’](?=[a-z])")
_DOUBLED: Final = frozenset("ls")
"""Letters that are more often double than single inside a word."""
_BLANK: Final = re.compile(" +")
_BLANKS: Final = re.compile(r"[ \t\u00a0]{2,}")
_PUNCTUATION: Final = "，。！？、；：“”‘’（）《》…—,.!?;:()\"'"
_BETWEEN_HAN: Final = re.compile(rf"(?<=[{HAN}])(?:[^\w\n{re.escape(_PUNCTUATION)}]|[._*]){{1,3}}(?=[{HAN}])")
"""Signs, spaces and emoji inside Chinese; its ordinary punctuation parts clauses."""
_HAN_ONE_BY_ONE: Final = re.compile(rf"[{HAN}](?:[{re.escape(_PUNCTUATION)}][{HAN}]){{2,}}(?![{HAN}])")
_HAS_LATIN: Final = re.compile("[A-Za-z]")
_KANA: Final = range(0x3041, 0x3100)
_HANGUL: Final = range(0xAC00, 0xD7A4)
_AS_THEY_ARE: Final = frozenset({*_KANA, *_HANGUL})
"""Their marks are part of the letters."""
_ENCLOSED: Final = ((0x1F150, 26), (0x1F170, 26))
"""White letters on black, which Unicode does not decompose: first code point and count, from A on."""
_UNSEEN_KINDS: Final = frozenset({"Mn", "Me", "Cc", "Cf", "Cs", "Co"})
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_UNSEEN: Final = "\0"
_UNSEEN_RUN: Final = re.compile("\0+")


class _Patterns:
    """What is looked for around letters: compiled when a text needs it, for the letters of all scripts cost 25 ms."""

    def __init__(self, letter: str) -> None:
        """`letter` is the class of the letters of words, in scripts that have words; digits too."""
        single = rf"(?:{letter}|[@$!])"
        self.spaced_sign = re.compile(rf"(?<!{letter}){single}( {_SIGN}{{1,3}})(?= {single}(?!{letter}))")
        self.dotted = re.compile(rf"(?<!{letter}){single}(?:{_SIGN}{{1,3}}{single}){{2,}}(?!{letter})")
        """Letters one by one, signs between them."""
        self.sentences = re.compile(rf"(?<!{letter}){single}(?:{_SIGN}{{1,3}} +{single}){{3,}}(?!{letter})")
        """The same with a space behind each sign; of fewer they may be a list or initials."""
        self.pair = re.compile(rf"(?<!{letter})(?<!{_SIGN_IN_LINE})[^\W\d_]({_SIGN})[^\W\d_](?!{letter})")
        """Two letters, which may be `e.g.`: they are one word where others in the text are dotted apart."""
        self.spaced = re.compile(
            rf"(?<!{letter})(?<!{_SIGN}){single}(?: +{single}){{2,}}(?!{letter})(?!{_SIGN}{letter})"
        )
        """The same with spaces; where words are apart there are more."""
        self.word = re.compile(rf"{single}+")
        self.inserted = re.compile(rf"(?<=[a-z0-9@$!])[*^~`]+(?={single})|(?<={letter})[*^~`]+(?={single})")
        self.stretched = re.compile(rf"({letter})\1{{2,}}")


def _patterns(text: str) -> _Patterns:
    """For a text in lower case."""
    return _patterns_for(text.isascii())


@cache
def _patterns_for(is_ascii: bool) -> _Patterns:
    return _Patterns("[a-z0-9]" if is_ascii else r"[^\W_\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


Edit = tuple[int, int, str]
"""First and one past the last character of a stretch of text, and what it is read as."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as it is read."""

    text: str
    _starts: Sequence[int]
    """Where the characters of the original begin that each character came from."""
    _ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """First and one past the last character of the original that were read as `text[start:end]`."""
        if start >= end:
            here = self._starts[start] if start < len(self.text) else (self._ends[-1] if self.text else 0)
            return here, here
        return self._starts[start], self._ends[end - 1]

    def changed(self, change: Callable[[str], str]) -> "Folded":
        """With characters replaced one for one."""
        return Folded(change(self.text), self._starts, self._ends)

    def replaced(self, edits: Iterable[Edit]) -> "Folded":
        """With stretches replaced by others of the same length; in order."""
        pieces: list[str] = []
        position = 0
        for start, end, text in edits:
            pieces += (self.text[position:start], text)
            position = end
        return Folded("".join([*pieces, self.text[position:]]), self._starts, self._ends) if pieces else self

    def without(self, spans: Iterable[tuple[int, int]]) -> "Folded":
        """With stretches left out."""
        kept = bytearray(b"\1") * len(self.text)
        for start, end in spans:
            kept[start:end] = bytes(end - start)
        if 0 not in kept:
            return self
        starts, ends = (array("L", compress(places, kept)) for places in (self._starts, self._ends))
        return Folded("".join(compress(self.text, kept)), starts, ends)

    def once(self, stretches: Iterable[tuple[int, int]]) -> "Folded":
        """With the first character of each stretch standing for all of it."""
        ends, rest = array("L", self._ends), []
        for start, end in stretches:
            ends[start] = ends[end - 1]
            rest.append((start + 1, end))
        return Folded(self.text, self._starts, ends).without(rest) if rest else self

    def edited(self, edits: Iterable[Edit]) -> "Folded":
        """With stretches replaced by others of any length; in order."""
        pieces: list[str] = []
        starts, ends, position = array("L"), array("L"), 0
        for start, end, text in edits:
            pieces += (self.text[position:start], text)
            starts.extend(self._starts[position:start])
            ends.extend(self._ends[position:start])
            starts.extend(self._starts[start:end] if len(text) == end - start else [self._starts[start]] * len(text))
            ends.extend(self._ends[start:end] if len(text) == end - start else [self._ends[end - 1]] * len(text))
            position = end
        if not position:
            return self
        starts.extend(self._starts[position:])
        ends.extend(self._ends[position:])
        return Folded("".join([*pieces, self.text[position:]]), starts, ends)


def fold(text: str) -> Folded:
    """The text as both layers read it: lower case, Simplified Chinese, and what hides words from a reader undone.

    Undone are compatibility forms (NFKC), zero-width and combining marks, letters of other scripts inside Latin words,
    letters spaced or dotted apart, stars inside words and in the place of letters, digits for letters, stretched letters, and
    signs between Chinese characters. Normal words stay apart.
    """
    folded = Folded(text, range(len(text)), range(1, len(text) + 1))
    if text.isascii():
        folded = folded.changed(str.lower)
        folded = folded.without(found.span() for found in _CONTROLS.finditer(folded.text))
    else:
        folded = folded.changed(lambda text: text.translate(_PLAIN))
        folded = folded.edited(_ligatures(folded.text))
        folded = folded.without(found.span() for found in _UNSEEN_RUN.finditer(folded.text))
    folded = folded.replaced(_unmasked(folded.text))
    for hidden in (_drawn_out, _dotted_apart, _spaced_apart, _inside_words, _between_han):
        folded = folded.without(hidden(folded.text))
    folded = folded.replaced(_as_latin(folded.text))
    folded = folded.replaced(_leet(folded.text))
    return folded.without((found.start() + 1, found.end()) for found in _BLANKS.finditer(folded.text))


# The passes


class _PlainCharacters(dict[int, str]):
    """Each character as it is read, found out when it is first met; what several stand for is left to `_ligatures`."""

    def __missing__(self, code: int) -> str:
        plain = _plain(chr(code)) or _UNSEEN
        if len(plain) > 1:
            self.ligatures[chr(code)] = plain
            plain = chr(code)
        self[code] = plain
        return plain

    ligatures: ClassVar[dict[str, str]] = {}


_PLAIN: Final = _PlainCharacters()


def _ligatures(text: str) -> Iterator[Edit]:
    known = _PLAIN.ligatures
    if not known.keys().isdisjoint(text):
        yield from ((at, at + 1, known[sign]) for at, sign in enumerate(text) if sign in known)


def _plain(character: str) -> str:
    """A character in lower case without marks, in its plain form; nothing where it is not seen."""
    code = ord(character)
    if code in _AS_THEY_ARE or character in "\t\n\r":
        return character
    for first, count in _ENCLOSED:
        if first <= code < first + count:
            return chr(ord("a") + code - first)
    if (small := character.casefold()) in _lookalikes():
        return _latin_lookalikes().get(small, small)
    parts = unicodedata.normalize("NFKD", character)
    kept = "".join(part for part in parts if unicodedata.category(part) not in _UNSEEN_KINDS).casefold()
    return kept.translate(_simplified())


def _as_latin(text: str) -> Iterator[Edit]:
    """Words that mix Latin with letters that only look so; a word in one script is what it is."""
    lookalikes = _lookalikes()
    if text.isascii() or lookalikes.keys().isdisjoint(text):
        return
    for found in _patterns(text).word.finditer(text):
        word = found[0]
        if not word.isascii() and _HAS_LATIN.search(word) and not lookalikes.keys().isdisjoint(word):
            yield found.start(), found.end(), "".join(lookalikes.get(letter, letter) for letter in word)


def _unmasked(text: str) -> Iterator[Edit]:
    """Words that people write with signs for some letters, as in `k*ll`; half of a word's letters must be there."""
    if _MASKS.isdisjoint(text):
        return
    for found in _MASKED.finditer(text):
        word = found[0]
        n_masks = sum(map(word.count, _MASKS))
        if 0 < n_masks <= _LEAST_SEEN * len(word):
            for known in _masked_words().get((word[0], word[-1], len(word)), ()):
                if all(letter == sign or sign in _MASKS for letter, sign in zip(known, word, strict=True)):
                    yield *found.span(), known
                    break


def _drawn_out(text: str) -> Iterator[tuple[int, int]]:
    for found in _patterns(text).stretched.finditer(text):
        start, end = found.span()
        if not found[1].isdecimal():
            is_double = found[1] in _DOUBLED and start > 0 and text[start - 1].isalpha()
            yield start + 1 + is_double, end


def _inside_words(text: str) -> Iterator[tuple[int, int]]:
    if not _INSERTABLE.isdisjoint(text):
        yield from (found.span() for found in _patterns(text).inserted.finditer(text))
    if not _APOSTROPHES.isdisjoint(text):
        yield from (found.span() for found in _APOSTROPHE.finditer(text))


def _dotted_apart(text: str) -> Iterator[tuple[int, int]]:
    patterns, signs = _patterns(text), set()
    for found in patterns.dotted.finditer(text):
        if _are_letters(_SIGNS.sub("", found[0])):
            for sign in _SIGNS.finditer(text, *found.span()):
                signs.add(sign[0])
                yield sign.span()
    if signs:
        yield from (found.span(1) for found in patterns.pair.finditer(text) if found[1] in signs)
    yield from (found.span(1) for found in patterns.spaced_sign.finditer(text))
    for found in patterns.sentences.finditer(text):
        if _are_letters(_SIGNS_AND_BLANKS.sub("", found[0])):
            yield from (sign.span() for sign in _SIGNS_AND_BLANKS.finditer(text, *found.span()))


def _spaced_apart(text: str) -> Iterator[tuple[int, int]]:
    """Spaces between letters; of wider ones than the others one stays: words are apart there."""
    for found in _patterns(text).spaced.finditer(text):
        if _are_letters(found[0].replace(" ", "")):
            blanks = [blank.span() for blank in _BLANK.finditer(text, *found.span())]
            narrow = min(end - start for start, end in blanks)
            yield from ((start + (end - start > narrow), end) for start, end in blanks)


def _are_letters(signs: str) -> bool:
    """Whether it is a word, and no version, address or row of numbers."""
    return 2 * sum(map(str.isalpha, signs)) >= len(signs)


def _between_han(text: str) -> Iterator[tuple[int, int]]:
    if not text.isascii():
        yield from (found.span() for found in _BETWEEN_HAN.finditer(text))
        for found in _HAN_ONE_BY_ONE.finditer(text):
            yield from ((at, at + 1) for at in range(found.start() + 1, found.end(), 2))


def _leet(text: str) -> Iterator[Edit]:
    """Signs for letters in words; not the number that ends a name, as in gpt4, nor the one that begins a measure."""
    if _LEET_SIGNS.isdisjoint(text):
        return
    for found in _TOKEN.finditer(text):
        word = found[0].rstrip("!")
        if not word.isalpha() and not word.isdecimal() and (read := _read_leet(word)) != word:
            yield found.start(), found.start() + len(word), read


def _read_leet(word: str) -> str:
    inside = word.strip("0123456789")
    if inside.isalpha() or sum(map(str.isalpha, word)) < _FEWEST_LETTERS:
        return word
    lead, rest = len(word) - len(word.lstrip("0123456789")), len(word.rstrip("0123456789"))
    first = lead if lead > 1 else 0
    last = rest if len(word) - rest > 1 else len(word)
    return word[:first] + word[first:last].translate(_LEET) + word[last:]


# Tables


@lru_cache(maxsize=1)
def _simplified() -> Mapping[int, int]:
    """From Traditional to Simplified characters, one for one: OpenCC 1.4.2 (Apache-2.0)."""
    return str.maketrans(*_table("simplified.txt"))


@lru_cache(maxsize=1)
def _lookalikes() -> Mapping[str, str]:
    """Letters that look like a Latin one: the confusables of Unicode TR 39, by confusable-homoglyphs 3.3.1 (MIT)."""
    return dict(zip(*_table("confusables.txt"), strict=True))


@lru_cache(maxsize=1)
def _latin_lookalikes() -> Mapping[str, str]:
    return {letter: latin for letter, latin in _lookalikes().items() if _is_latin(letter)}


def _is_latin(letter: str) -> bool:
    return len(letter) == 1 and not letter.isascii() and unicodedata.name(letter, "").startswith("LATIN ")


@lru_cache(maxsize=1)
def _masked_words() -> Mapping[tuple[str, str, int], Sequence[str]]:
    """Words that are often masked, by first and last letter and length."""
    words: dict[tuple[str, str, int], list[str]] = {}
    for word in files("hychat.safety").joinpath("tables", "masked.txt").read_text(encoding="utf-8").split():
        words.setdefault((word[0], word[-1], len(word)), []).append(word)
    return words


def _table(name: str) -> tuple[str, str]:
    first, second = files("hychat.safety").joinpath("tables", name).read_text(encoding="utf-8").split()
    return first, second
