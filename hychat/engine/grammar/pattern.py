r"""Regular expressions of JSON schemas, read into what a grammar can say.

Supported, between `^` and `$`: characters, escapes, classes, groups, `|` inside a group, quantifiers. Where engines
disagree (`\w` in Python and in ECMAScript) the narrower meaning is taken, so that an answer fits both.
"""

import re
from dataclasses import dataclass
from typing import Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar.characters import (
    PLAIN,
    PRINTABLE_ASCII,
    SHORT_ESCAPES,
    Ranges,
    character_class,
    common,
    literal,
    of_text,
    without,
)
from hychat.engine.grammar.gbnf import MAX_REPETITIONS
from hychat.engine.grammar.writer import NOTHING, GrammarWriter
from hychat.messages import _

MAX_NESTING: Final = 20


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Repeated:
    """A part, several times."""

    part: "Part"
    least: int
    most: int | None
    """None: as often as there is room."""

    def most_within(self, room: int) -> int:
        """The bound, where open repetitions end at `room`."""
        return max(self.least, room) if self.most is None else self.most


@dataclass(frozen=True, slots=True)
class Together:
    """Parts, one after the other."""

    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    """One of several parts."""

    options: "tuple[Part, ...]"


Part = OneOf | Repeated | Together | Either


def read_pattern(pattern: str, path: str) -> Part:
    """What a pattern stands for.

    Raises:
        SchemaError: It holds something unsupported; the message names the schema's path and the column.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")) or pattern.endswith("\\$"):
        raise SchemaError(
            _("{path}: `pattern` must begin with `^` and end with `$`.").format(path=path),
            hint=_("Write `^(a|b)$` rather than `a|b`."),
        )
    return _Reader(pattern, path).read()


def shortest(part: Part) -> int:
    """Fewest characters."""
    match part:
        case OneOf():
            return 1
        case Repeated(inner, least):
            return least * shortest(inner)
        case Together(parts):
            return sum(map(shortest, parts))
        case Either(options):
            return min(map(shortest, options))


def longest(part: Part, room: int) -> int:
    """Most characters, where open repetitions end at `room`."""
    match part:
        case OneOf():
            return 1
        case Repeated(inner):
            return part.most_within(room) * longest(inner, room)
        case Together(parts):
            return sum(longest(inner, room) for inner in parts)
        case Either(options):
            return max(longest(option, room) for option in options)


def expression(part: Part, room: int, writer: GrammarWriter) -> str:
    """The part in GBNF, as the inside of a JSON string; open repetitions end at `room`."""
    match part:
        case OneOf(ranges):
            return _one_of(ranges, writer)
        case Together(parts):
            return " ".join(expression(inner, room, writer) for inner in parts) or NOTHING
        case Either(options):
            return writer.either("pattern", [expression(option, room, writer) for option in options])
        case Repeated(inner, least):
            once = expression(inner, room, writer)
            most = part.most_within(room)
            symbol = once if isinstance(inner, OneOf) else writer.rule("pattern", once)
            return f"{symbol}{{{least},{most}}}" if most else NOTHING


def _one_of(ranges: Ranges, writer: GrammarWriter) -> str:
    plain = common(ranges, PLAIN)
    escaped = [escape for character, escape in SHORT_ESCAPES.items() if common(ranges, of_text(character))]
    options = [*([character_class(plain)] if plain else []), *map(literal, escaped)]
    return options[0] if options == [character_class(plain)] else writer.rule("character", " | ".join(options))


_WRITABLE: Final = (*PLAIN, *of_text("".join(SHORT_ESCAPES)))
_SHORTHANDS: Final[dict[str, Ranges]] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x09, 0x09), (0x20, 0x20)),
}
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_LINE_ENDS: Final = of_text("\n\r\u2028\u2029")
_CODE: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")
_QUANTIFIER: Final = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<least>\d{1,6})(?P<open>,(?P<most>\d{1,6})?)?\})\??")
_SIGNS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class _Reader:
    """Reads a pattern by recursive descent."""

    def __init__(self, pattern: str, path: str) -> None:
        self._pattern = pattern[:-1]
        self._path = path
        self._at = 1

    def read(self) -> Part:
        part = self._alternatives(0)
        if self._at < len(self._pattern):
            raise self._error(self._at)  # `^a|b$` means `(^a)|(b$)`
        return part

    @property
    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _alternatives(self, nesting: int) -> Part:
        options = [self._sequence(nesting)]
        while nesting and self._next == "|":
            self._at += 1
            options.append(self._sequence(nesting))
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _sequence(self, nesting: int) -> Part:
        parts: list[Part] = []
        while self._next and self._next not in "|)":
            parts.append(self._quantified(nesting))
        return parts[0] if len(parts) == 1 else Together(tuple(parts))

    def _quantified(self, nesting: int) -> Part:
        start = self._at
        part = self._single(nesting)
        found = _QUANTIFIER.match(self._pattern, self._at)
        if not found:
            return part
        self._at = found.end()
        least, most = _bounds(found)
        has_order = most is None or least <= most
        if not has_order or max(least, most or 0) > MAX_REPETITIONS or (most != 1 and not shortest(part)):
            raise self._error(start)
        return Repeated(part, least, most)

    def _single(self, nesting: int) -> Part:
        start = self._at
        self._at += 1
        match self._pattern[start]:
            case "(":
                return self._group(nesting)
            case "[":
                return OneOf(self._class())
            case ".":
                return OneOf(without(PLAIN, _LINE_ENDS))
            case "\\":
                return OneOf(self._escape(start))
            case character if character in "^$*+?{}]":
                raise self._error(start)
            case character:
                return OneOf(self._writable(of_text(character), start))

    def _group(self, nesting: int) -> Part:
        start = self._at - 1
        if self._pattern.startswith("?:", self._at):
            self._at += 2
        if self._next == "?" or nesting == MAX_NESTING:
            raise self._error(start)
        part = self._alternatives(nesting + 1)
        if self._next != ")":
            raise self._error(start)
        self._at += 1
        return part

    def _class(self) -> Ranges:
        start = self._at - 1
        is_negated = self._next == "^"
        self._at += is_negated
        ranges: list[tuple[int, int]] = []
        universe = PLAIN
        while self._next and self._next != "]":
            if self._is_shorthand():
                universe = PRINTABLE_ASCII  # beyond it, engines disagree on what a shorthand leaves out
            ranges += self._class_range()
        if not self._next or not ranges:
            raise self._error(start)
        self._at += 1
        return self._writable(without(common(universe, PLAIN), ranges) if is_negated else tuple(ranges), start)

    def _is_shorthand(self) -> bool:
        return self._next == "\\" and self._pattern[self._at + 1 : self._at + 2].lower() in _SHORTHANDS

    def _class_range(self) -> Ranges:
        start = self._at
        first = self._class_member()
        if self._next != "-" or self._pattern[self._at + 1 : self._at + 2] in {"]", ""}:
            return first
        self._at += 1
        last = self._class_member()
        if any(len(end) > 1 or end[0][0] != end[0][1] for end in (first, last)) or last < first:
            raise self._error(start)  # a shorthand is no end of a range
        return ((first[0][0], last[0][0]),)

    def _class_member(self) -> Ranges:
        start = self._at
        self._at += 1
        character = self._pattern[start]
        if character == "[":
            raise self._error(start)
        return self._escape(start) if character == "\\" else of_text(character)

    def _escape(self, start: int) -> Ranges:
        """What stands after a backslash."""
        if found := _CODE.match(self._pattern, self._at):
            self._at = found.end()
            return self._writable(of_text(chr(int(found[1] or found[2], 16))), start)
        character = self._next
        self._at += 1
        if character in _SHORTHANDS:
            return _SHORTHANDS[character]
        if character.lower() in _SHORTHANDS:
            return common(without(PRINTABLE_ASCII, _SHORTHANDS[character.lower()]), PLAIN)
        if character in _CONTROLS:
            return of_text(_CONTROLS[character])
        if not character or character.isalnum() or not character.isascii():
            raise self._error(start)
        return of_text(character)

    def _writable(self, ranges: Ranges, start: int) -> Ranges:
        """The set, if JSON text can show any of it."""
        if not common(ranges, _WRITABLE):
            raise self._error(start)
        return ranges

    def _error(self, position: int) -> SchemaError:
        part = (self._pattern + "$")[position : position + 12]
        sentence = _("{path}: `pattern` is not supported from column {column} on: `{part}`.")
        return SchemaError(
            sentence.format(path=self._path, column=position + 1, part=part),
            hint=_("Characters, classes, groups, `|` inside a group and quantifiers are supported."),
        )


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    if found["sign"]:
        return _SIGNS[found["sign"]]
    least = int(found["least"])
    if not found["open"]:
        return least, least
    return least, int(found["most"]) if found["most"] else None
