"""The word lists: phrases that are found whatever they are disguised as, and what makes them harmless."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from sys import intern
from typing import Any, Final, NamedTuple

from hychat.domain.errors import ConfigError
from hychat.domain.text import may_be_deep
from hychat.messages import _
from hychat.safety.fold import HAN, Folded, fold

_TOKEN: Final = re.compile(rf"[a-z0-9]+|[{HAN}]")
_NO_WORD: Final = re.compile(rf"[^a-z0-9{HAN}]")
_NO_WORD_IN_LINES: Final = re.compile(rf"[^a-z0-9{HAN}\n]")
_MIXED: Final = re.compile(rf"[{HAN}][a-z]|[a-z][{HAN}]")
_AGAIN: Final = re.compile(r"(\w)\1+")
_LEET: Final = str.maketrans("013457l", "oieasti")
"""Digits as the letters they stand for, and l as i, since 1 is both."""
_ASKING: Final = re.compile(r"(?:how|where|what|ways?|best way|easiest way)\b|怎么|怎样|如何|哪里")
_CONTEXT_CHARACTERS: Final = 100
"""So near a hit a context counts."""
_FEWEST_HAN: Final = 4
"""Of a phrase that is also found with some of its characters in pinyin."""
_FEWEST_LETTERS: Final = 10
"""Of a phrase that is also found without its spaces."""
_FEWEST_OWN_LETTERS: Final = 6
"""Of a word of the user's that is found in disguise; a Chinese character counts for two."""
_SHORT_WORD: Final = 3
"""Letters; a word of so many is not taken for a plural."""
_HAN_LETTER: Final = re.compile(rf"[{HAN}]")
_IN_LISTS: Final = re.compile(rf"[a-z0-9{HAN}\s.,;:!?'\"()，。；：！？、-]+")
"""What phrases in disguise are made of; another sign or letter would be lost in their skeleton."""
_OWN_TOKEN: Final = re.compile(
    r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]+|\S"
)
"""Words, and each other sign: also letters of scripts that do not part words, or that add endings to them."""
_HEAD: Final = 4
_OWN: Final = "own"
_CONTEXTS: Final = "contexts.yaml"


class Tier(StrEnum):
    """What a phrase leads to."""

    BLOCK = "block"
    SUPPORT = "support"
    """Somebody speaks of harming himself: help instead of an answer."""
    WARN = "warn"


class Entry(NamedTuple):  # which is made in a third of a data class's time, and there are thousands
    """A phrase of a list."""

    phrase: str
    category: str
    tier: Tier
    is_demotable: bool = True
    """Whether a safe context makes it weigh less."""

    @property
    def is_question(self) -> bool:
        """Whether it asks for something: in an answer it is most likely quoted."""
        return _ASKING.match(self.phrase) is not None


@dataclass(frozen=True, slots=True)
class Hit:
    """A phrase that was found."""

    entry: Entry
    tier: Tier
    """After its context was looked at."""
    span: tuple[int, int]
    """First and one past the last character in the original text."""

    def moved(self, characters: int) -> "Hit":
        """Where it is in a text of which the one it was found in is a part."""
        return replace(self, span=(self.span[0] + characters, self.span[1] + characters))


class WordList:
    """All phrases, ready to be found."""

    def __init__(  # noqa: PLR0913 - each list is another kind of phrase
        self,
        entries: Iterable[Entry],
        contexts: Iterable[str] = (),
        allowed: Iterable[str] = (),
        harmless: Iterable[str] = (),
        idioms: Iterable[str] = (),
        own: Iterable[Entry] = (),
    ) -> None:
        """`contexts` make the phrases near them weigh less, `harmless` ones nothing, but for who speaks of harming himself.

        What is a part of `idioms` says something else. `own` phrases and those `allowed` are the user's; what is allowed is
        never found.
        """
        shipped, mine = tuple(entries), tuple(own)
        self.entries = (*shipped, *mine)
        self._phrases = _Phrases(shipped)
        self._contexts = _Phrases(_plain_entries(contexts))
        self._harmless = _Phrases(_plain_entries(harmless))
        self._idioms = _Phrases(_plain_entries(idioms))
        self._own = _OwnPhrases(mine)
        self._allowed = _OwnPhrases(_plain_entries(allowed))

    @property
    def has_allowed(self) -> bool:
        """Whether the user allows anything."""
        return bool(self._allowed)

    def hits(self, folded: Folded) -> list[Hit]:
        """What is found in a text, in order."""
        read = _Read(folded)
        hits = [*self._shipped_hits(read)]
        hits += [Hit(entry, entry.tier, span) for entry, span in self._own.find(read)]
        if not hits:
            return []
        allowed = _Places(span for _entry, span in self._allowed.find(read))
        return sorted((hit for hit in hits if not allowed.have_around(*hit.span)), key=lambda hit: hit.span)

    def _shipped_hits(self, read: "_Read") -> Iterator[Hit]:
        found = [*self._phrases.find(read.tokens)]
        if not found:
            return
        idioms, contexts, harmless = (
            _Places((start, end) for _entry, start, end in phrases.find(read.tokens))
            for phrases in (self._idioms, self._contexts, self._harmless)
        )
        for entry, start, end in found:
            tier: Tier | None = entry.tier
            if entry.is_demotable and contexts.have_near(start, end):
                tier = _DEMOTED.get(entry.tier)
            if entry.is_demotable and entry.tier is not Tier.SUPPORT and harmless.have_near(start, end):
                tier = None
            if tier is not None and not idioms.have_around(start, end):
                yield Hit(entry, tier, read.skeleton.span(start, end))

    def without_allowed(self, text: str, folded: Folded) -> str:
        """A text without what is allowed, for those who judge the rest."""
        if not self._allowed:
            return text
        kept, position = [], 0
        for first, last in sorted(span for _entry, span in self._allowed.find(_Read(folded))):
            kept.append(text[position : max(first, position)])
            position = max(last, position)
        return "".join([*kept, text[position:]])


_DEMOTED: Final = {Tier.BLOCK: Tier.WARN, Tier.SUPPORT: Tier.SUPPORT}


class _Places:
    """Where phrases were found, ready to be asked about many times."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        in_order = sorted(spans)
        self._starts = [start for start, _end in in_order]
        self._ends = sorted(end for _start, end in in_order)
        self._furthest = [*accumulate((end for _start, end in in_order), max)]
        """The furthest end of those up to each start."""

    def have_near(self, start: int, end: int) -> bool:
        """Whether one stands before or behind a hit; a phrase is no context of its own."""
        return _has_between(self._ends, start - _CONTEXT_CHARACTERS + 1, start) or _has_between(
            self._starts, end, end + _CONTEXT_CHARACTERS - 1
        )

    def have_around(self, start: int, end: int) -> bool:
        """Whether a hit stands within one."""
        n_begun = bisect_right(self._starts, start)
        return n_begun > 0 and self._furthest[n_begun - 1] >= end


def _has_between(places: Sequence[int], first: int, last: int) -> bool:
    at = bisect_left(places, first)
    return at < len(places) and places[at] <= last


def _plain_entries(phrases: Iterable[str]) -> Iterator[Entry]:
    return (Entry(phrase, "", Tier.WARN) for phrase in phrases)


# Finding

_Node = dict[str, Any]
"""From a word or a Chinese character to the node behind it; from nothing to the entry that ends here."""


class _Phrases:
    """Phrases as a tree of their words and Chinese characters."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._tree: _Node = {}
        self._glued: dict[str, list[tuple[str, Entry]]] = {}
        """Phrases without their spaces, by their first letters."""
        self._spelled: list[tuple[list[str], Entry]] = []
        """Chinese ones that are long enough to be found in pinyin too."""
        found = [*entries]
        for entry, skeleton in zip(found, _skeletons([entry.phrase for entry in found]), strict=True):
            tokens = [*map(intern, _TOKEN.findall(skeleton))]  # each word stands in memory once
            _add(self._tree, tokens, entry)
            if not skeleton.isascii():
                if len(tokens) == len(skeleton) and len(entry.phrase) >= _FEWEST_HAN:
                    self._spelled.append((tokens, entry))
            elif len(glued := "".join(tokens)) >= _FEWEST_LETTERS and len(tokens) > 1:
                self._glued.setdefault(glued[:_HEAD], []).append((glued, entry))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._tree)

    def find(self, tokens: "_Tokens") -> Iterator[tuple[Entry, int, int]]:
        """Entries in a skeleton, each with where it stands; the longest where several begin at one place."""
        if not self._tree:
            return
        tree = self._tree
        for nth, word in enumerate(tokens.words):
            if (word in tree or (word[-1] == "s" and word[:-1] in tree)) and (hit := self._longest(tokens, nth)):
                yield hit
            if len(word) >= _FEWEST_LETTERS:
                yield from self._inside(word, tokens.starts[nth])
        if tokens.are_mixed:
            yield from self._in_pinyin(tokens)

    def _longest(self, tokens: "_Tokens", first: int) -> tuple[Entry, int, int] | None:
        node, found = self._tree, None
        for nth in range(first, len(tokens.words)):
            step = _step(node, tokens.words[nth])
            if step is None:
                break
            node = step
            if "" in node:
                found = node[""], tokens.starts[first], tokens.ends[nth]
        return found

    def _inside(self, word: str, start: int) -> Iterator[tuple[Entry, int, int]]:
        for at in range(len(word) - _FEWEST_LETTERS + 1):
            for glued, entry in self._glued.get(word[at : at + _HEAD], ()):
                if word.startswith(glued, at):
                    yield entry, start + at, start + at + len(glued)

    @cached_property
    def _spelled_tree(self) -> _Node:
        """The Chinese phrases by their syllables; behind each, the characters and the entry."""
        tree: _Node = {}
        for tokens, entry in self._spelled:
            node = tree
            for token in tokens:
                node = node.setdefault(_syllable(token), {})
            node.setdefault("", []).append((tokens, entry))
        return tree

    def _in_pinyin(self, tokens: "_Tokens") -> Iterator[tuple[Entry, int, int]]:
        """Phrases of which some characters are written as their syllables, and the others as they are."""
        syllables = tokens.syllables
        for first in range(len(syllables)):
            node = self._spelled_tree
            for nth in range(first, len(syllables)):
                if syllables[nth] not in node:
                    break
                node = node[syllables[nth]]
                if "" in node:
                    written = tokens.words[first : nth + 1]
                    for characters, entry in node[""]:
                        if written != characters and _is_spelling(written, characters):
                            yield entry, tokens.starts[first], tokens.ends[nth]


class _Tokens:
    """The words and Chinese characters of a skeleton, and where they stand."""

    def __init__(self, skeleton: str) -> None:
        found = [*_TOKEN.finditer(skeleton)]
        self.words = [token[0] for token in found]
        self.starts = [token.start() for token in found]
        self.ends = [token.end() for token in found]
        self.are_mixed = _MIXED.search(skeleton) is not None
        """Whether letters stand beside Chinese characters."""

    @cached_property
    def syllables(self) -> list[str]:
        """What is read for each in pinyin."""
        return [*map(_syllable, self.words)]


class _Read:
    """A text, as phrases are looked for in it."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.skeleton = _skeleton(folded)
        self.tokens = _Tokens(self.skeleton.text)


class _OwnPhrases:
    """The user's phrases, which may be short, or in any script.

    Those that are long enough are found as the shipped ones are, in disguise. The others, of which the skeleton says too
    little (`good` is `god` there, and `c++` is `c`), and those in other scripts must stand as they are once the text is
    folded.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        telling: list[Entry] = []
        self._plain: _Node = {}
        for entry in entries:
            if _is_telling(entry.phrase):
                telling.append(entry)
            else:
                _add(self._plain, _OWN_TOKEN.findall(entry.phrase), entry)
        self._disguised = _Phrases(telling)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._disguised or self._plain)

    def find(self, read: _Read) -> Iterator[tuple[Entry, tuple[int, int]]]:
        """Entries, each with where it stands in the original text; the longest where several begin at one place."""
        for entry, start, end in self._disguised.find(read.tokens):
            yield entry, read.skeleton.span(start, end)
        if self._plain:
            tokens = [*_OWN_TOKEN.finditer(read.folded.text)]
            for nth, token in enumerate(tokens):
                if _own_step(self._plain, token[0]) is not None and (hit := self._longest(tokens, nth)):
                    entry, last = hit
                    yield entry, read.folded.span(token.start(), tokens[last].end())

    def _longest(self, tokens: Sequence[re.Match[str]], first: int) -> tuple[Entry, int] | None:
        """The phrase, and its last token."""
        node, found = self._plain, None
        for nth in range(first, len(tokens)):
            step = _own_step(node, tokens[nth][0])
            if step is None:
                break
            node = step
            if "" in node:
                found = node[""], nth
        return found


def _is_telling(phrase: str) -> bool:
    """Whether the skeleton of a folded phrase of the user's is long enough that it means nothing else."""
    (skeleton,) = _skeletons([phrase])
    n_letters = sum(map(str.isalpha, skeleton)) + len(_HAN_LETTER.findall(skeleton))
    is_long = n_letters >= _FEWEST_OWN_LETTERS or (len(phrase.split()) > 1 and any(map(str.isalpha, phrase)))
    return is_long and _IN_LISTS.fullmatch(phrase) is not None


def _own_step(node: _Node, token: str) -> _Node | None:
    """Along a word, its plural included, where it is no short one."""
    found: _Node | None = node.get(token)
    return _step(node, token) if found is None and len(token) > _SHORT_WORD else found


def _add(tree: _Node, tokens: Sequence[str], entry: Entry) -> None:
    for token in tokens:
        tree = tree.setdefault(token, {})
    tree.setdefault("", entry)


def _step(node: _Node, token: str) -> _Node | None:
    """Along a word, its plural included."""
    found: _Node | None = node.get(token)
    if found is None and token[-1] == "s" and len(token) > 1:
        found = node.get(token[:-1])
    return found


def _is_spelling(written: Sequence[str], characters: Sequence[str]) -> bool:
    """Whether each is the character, or its syllable in letters."""
    return all(each == character or each.isascii() for each, character in zip(written, characters, strict=True))


def _skeleton(folded: Folded) -> Folded:
    """What is compared: letters and Chinese characters only, each once, digits as the letters they look like."""
    bare = folded.changed(lambda text: _NO_WORD.sub(" ", text).translate(_LEET))
    return bare.once(found.span() for found in _AGAIN.finditer(bare.text))


def _skeletons(phrases: Sequence[str]) -> list[str]:
    """The same of many phrases at once, which are folded texts already."""
    if not phrases:
        return []
    bare = _NO_WORD_IN_LINES.sub(" ", "\n".join(phrases).lower().replace("'", "")).translate(_LEET)
    return _AGAIN.sub(r"\1", bare).split("\n")


# Pinyin


@cache
def _syllable(token: str) -> str:
    """Of a character, compared as words are; a word is its own."""
    return _AGAIN.sub(r"\1", _pinyin().get(token, token).translate(_LEET))


@cache
def _pinyin() -> Mapping[str, str]:
    """The commonest syllable of each character of GB 2312, without tones: pypinyin 0.55 (MIT)."""
    lines = files("hychat.safety").joinpath("tables", "pinyin.txt").read_text(encoding="utf-8").splitlines()
    return {character: syllable for syllable, characters in map(str.split, lines) for character in characters}


# Reading the lists


@cache
def shipped_entries() -> tuple[Entry, ...]:
    """The phrases that come with hychat."""
    folder = files("hychat.safety").joinpath("words")
    return tuple(
        entry
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml") and file.name != _CONTEXTS
        for entry in _entries(file.name.removesuffix(".yaml"), _yaml(file.read_text(encoding="utf-8")))
    )


def _entries(category: str, content: Mapping[str, Any]) -> Iterator[Entry]:
    is_demotable = content.get("demotable", True)
    for tier in Tier:
        for phrases in content.get(tier, {}).values():
            yield from (Entry(phrase, category, tier, is_demotable) for phrase in phrases.splitlines())


def load(own: Path) -> WordList:
    """The shipped lists, and the user's own file where there is one.

    The user's file has the keys `block`, `warn` and `allow`, each a list of phrases.

    Raises:
        ConfigError: The user's file cannot be read, or says something else.
    """
    contexts = _yaml(files("hychat.safety").joinpath("words", _CONTEXTS).read_text(encoding="utf-8"))
    mine = _own_words(own)
    entries = [
        Entry(phrase, _OWN, tier, is_demotable=False) for tier in (Tier.BLOCK, Tier.WARN) for phrase in mine[tier]
    ]
    return WordList(
        shipped_entries(),
        [word for key in ("en", "zh") for word in contexts[key].splitlines()],
        mine["allow"],
        [word for key in ("games_en", "games_zh") for word in contexts[key].splitlines()],
        contexts["idioms_zh"].splitlines(),
        entries,
    )


def _own_words(path: Path) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {"block": [], "warn": [], "allow": []}
    for key, phrases in _own_content(path).items():
        if key not in words or not isinstance(phrases, list) or not all(isinstance(each, str) for each in phrases):
            raise ConfigError(
                _("{path}: {key} is not understood.").format(path=path, key=key),
                hint=_("It holds the keys block, warn and allow, each a list of phrases."),
            )
        words[key] = [_own_phrase(phrase, path) for phrase in phrases]
    return words


def _own_phrase(phrase: str, path: Path) -> str:
    """As it is read in a text.

    Raises:
        ConfigError: Nothing of it is read.
    """
    folded = " ".join(fold(phrase).text.split())
    if not any(map(str.isalnum, folded)):
        raise ConfigError(_("{path}: {phrase} holds no letters and no digits.").format(path=path, phrase=repr(phrase)))
    return folded


def _own_content(path: Path) -> Mapping[object, object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = _yaml(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from error
    except ValueError as error:  # bytes that are no text, or what PyYAML cannot make of them
        raise ConfigError(_("{path} is not YAML: {reason}.").format(path=path, reason=error)) from error
    if content is not None and not isinstance(content, dict):
        raise ConfigError(_("{path} must hold lines of the form `key: value`.").format(path=path))
    return content or {}


def _yaml(text: str) -> Any:
    """The content of a YAML text. Raises ValueError where it is none."""
    import yaml

    loader = yaml.SafeLoader if may_be_deep(text) else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, loader)  # noqa: S506 - both are safe
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
