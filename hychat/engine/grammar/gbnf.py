"""GBNF, the grammar notation of llama.cpp, read more strictly than there.

The notation is described in llama.cpp's `grammars/README.md`; the limits are those of `src/llama-grammar.cpp`. Refused,
though llama.cpp takes them: an empty class, a range that runs backwards, an upper bound that it takes for none, a rule
defined twice, bounds the wrong way round (which never end), and tokens (`<[1]>`, `<token>`), which belong to one model.
"""

import re
from dataclasses import dataclass
from typing import Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar.characters import LAST_CODE_POINT, Range
from hychat.messages import _

MAX_REPETITIONS: Final = 2000
"""llama.cpp refuses more, and takes a larger upper bound for none."""
MAX_CHARACTERS: Final = 400_000
"""Longest grammar; a hundred times what a large schema needs."""
MAX_ELEMENTS: Final = 1_000_000
"""Most elements once repetitions are written out; 8 bytes each, and llama.cpp keeps several copies."""
MAX_NESTING: Final = 50
"""Deepest parentheses: llama.cpp reads them by recursion."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class CharacterClass:
    """One character inside the ranges, or, negated, outside of them; `.` is the negation of none."""

    ranges: tuple[Range, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """Whatever another rule stands for."""

    rule: str


Symbol = Literal | CharacterClass | Reference


@dataclass(frozen=True, slots=True)
class Item:
    """A symbol and how often it stands there."""

    symbol: Symbol
    least: int = 1
    most: int | None = 1
    """None: no bound."""


Rule = tuple[tuple[Item, ...], ...]
"""Alternatives, each a sequence."""


def read_gbnf(text: str) -> dict[str, Rule]:
    """The rules of a grammar by name; groups have become rules of their own, named with an underscore.

    Raises:
        SchemaError: It breaks the notation or a limit, or names a rule that is not there; the message says where.
    """
    if len(text) > MAX_CHARACTERS:
        raise SchemaError(_("The grammar is longer than {most} characters.").format(most=MAX_CHARACTERS))
    reader = _Reader(text)
    reader.read()
    return reader.rules


_BLANK: Final = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANK_LINES: Final = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_ITEM: Final = re.compile(r"[A-Za-z0-9\-\"\[(.<!*+?{]")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_NEWLINE: Final = re.compile(r"\r\n?|\n")
_HEXADECIMAL: Final = re.compile(r"x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}")
_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n", **dict(zip('\\"[]-', '\\"[]-', strict=True))}
_NOT_TEXT: Final = re.compile("[\0\ud800-\udfff]")


class _Reader:
    """Reads the notation by recursive descent, keeping llama.cpp's own account of rules and elements."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, Rule] = {}
        self._text = text
        self._at = 0
        self._first_use: dict[str, int] = {}  # where each rule is first named
        self._generated_rules = 0
        self._elements = 0

    def read(self) -> None:
        """Read the whole text into `rules`."""
        if found := _NOT_TEXT.search(self._text):
            raise self._error(_("Line {line}, column {column} of the grammar: not a character."), found.start())
        self._skip(is_nested=True)
        while self._at < len(self._text):
            self._rule()
            self._skip(is_nested=True)
        for name, position in self._first_use.items():
            if name not in self.rules:
                sentence = _("Line {line}, column {column} of the grammar: there is no rule `{name}`.")
                raise self._error(sentence, position, name=name)

    def _rule(self) -> None:
        start = self._at
        name = self._name()
        if name in self.rules:
            raise self._error(
                _("Line {line}, column {column} of the grammar: `{name}` is defined twice."), start, name=name
            )
        self._skip(is_nested=False)
        self._expect("::=")
        self._skip(is_nested=True)
        rule = self._alternatives(name, nesting=0)
        if self._at < len(self._text) and not self._take(_NEWLINE):
            raise self._error(_("Line {line}, column {column} of the grammar: unexpected `{found}`."), found=self._next)
        self.rules[name] = rule

    def _alternatives(self, name: str, nesting: int) -> Rule:
        found = [self._sequence(name, nesting)]
        while self._next == "|":
            self._step(is_nested=True)
            found.append(self._sequence(name, nesting))
        return tuple(found)

    def _sequence(self, name: str, nesting: int) -> tuple[Item, ...]:
        items: list[Item] = []
        weight = 1  # rules that llama.cpp would copy if the last item were repeated
        while _ITEM.match(self._text, self._at):
            if self._next in "*+?{":
                weight = self._repeat(name, items, weight, nesting)
            else:
                known = self._known_rules
                items.append(Item(self._symbol(name, nesting)))
                weight = max(1, self._known_rules - known) if isinstance(items[-1].symbol, Reference) else 1
                self._count_elements(_width(items[-1]))
        return tuple(items)

    def _symbol(self, name: str, nesting: int) -> Symbol:
        symbol: Symbol
        match self._next:
            case '"':
                symbol = self._literal()
            case "[":
                symbol = self._class()
            case ".":
                self._at += 1
                symbol = CharacterClass((), is_negated=True)
            case "(":
                return self._group(name, nesting)
            case "<" | "!":
                raise self._error(_("Line {line}, column {column} of the grammar: tokens cannot be named."))
            case _:
                symbol = Reference(self._name())
        self._skip(is_nested=nesting > 0)
        return symbol

    def _group(self, name: str, nesting: int) -> Reference:
        if nesting == MAX_NESTING:
            sentence = _("Line {line}, column {column} of the grammar: more than {most} parentheses in one another.")
            raise self._error(sentence, most=MAX_NESTING)
        self._step(is_nested=True)
        group = self._generated_name(name)
        self.rules[group] = self._alternatives(name, nesting + 1)
        self._expect(")")
        self._skip(is_nested=nesting > 0)
        return Reference(group)

    def _literal(self) -> Literal:
        start = self._at
        self._at += 1
        characters: list[str] = []
        while self._next != '"':
            characters.append(self._character(start))
        self._at += 1
        return Literal("".join(characters))

    def _class(self) -> CharacterClass:
        start = self._at
        self._at += 1
        is_negated = self._next == "^"
        self._at += is_negated
        ranges: list[Range] = []
        while self._next != "]":
            ranges.append(self._class_range(start))
        if not ranges:
            raise self._error(_("Line {line}, column {column} of the grammar: an empty character class."), start)
        self._at += 1
        return CharacterClass(tuple(ranges), is_negated)

    def _class_range(self, start: int) -> Range:
        position = self._at
        first = last = ord(self._character(start))
        if self._next == "-" and self._text[self._at + 1 : self._at + 2] != "]":
            self._at += 1
            last = ord(self._character(start))
        if last < first:
            raise self._error(_("Line {line}, column {column} of the grammar: the range runs backwards."), position)
        return first, last

    def _character(self, start: int) -> str:
        """The next character of the literal or class that begins at `start`."""
        character = self._next
        if not character:
            raise self._error(_("Line {line}, column {column} of the grammar: this is never closed."), start)
        self._at += 1
        return self._escaped() if character == "\\" else character

    def _escaped(self) -> str:
        position = self._at - 1
        if digits := self._take(_HEXADECIMAL):
            code_point = int(digits[1:], 16)
            if code_point <= LAST_CODE_POINT:
                return chr(code_point)
        elif self._next in _ESCAPES:
            self._at += 1
            return _ESCAPES[self._text[self._at - 1]]
        raise self._error(_("Line {line}, column {column} of the grammar: no such escape."), position)

    def _repeat(self, name: str, items: list[Item], weight: int, nesting: int) -> int:
        """Repeat the last item; the new weight."""
        start = self._at
        least, most = self._bounds(is_nested=nesting > 0)
        if not items or not _width(items[-1]):
            raise self._error(_("Line {line}, column {column} of the grammar: there is nothing to repeat."), start)
        if most is not None and most < least:
            raise self._error(
                _("Line {line}, column {column} of the grammar: the bounds are the wrong way round."), start
            )
        weight *= max(1, most or least)
        if max(least, most or 0, weight) > MAX_REPETITIONS:
            sentence = _("Line {line}, column {column} of the grammar: more than {most} repetitions.")
            raise self._error(sentence, start, most=MAX_REPETITIONS)
        self._account(items[-1], least, most)
        if items[-1] == Item(items[-1].symbol):
            items[-1] = Item(items[-1].symbol, least, most)
        else:  # repeated before: that becomes a rule
            inner = self._generated_name(name)
            self.rules[inner] = ((items[-1],),)
            items[-1] = Item(Reference(inner), least, most)
        return weight

    def _bounds(self, *, is_nested: bool) -> tuple[int, int | None]:
        sign = self._next
        self._step(is_nested=is_nested)
        if sign != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        least = most = self._number(is_nested=is_nested)
        bound: int | None = most
        if self._next == ",":
            self._step(is_nested=is_nested)
            bound = None if self._next == "}" else self._number(is_nested=is_nested)
        self._expect("}")
        self._skip(is_nested=is_nested)
        return least, bound

    def _number(self, *, is_nested: bool) -> int:
        digits = self._take(_NUMBER)
        if not digits:
            raise self._error(_("Line {line}, column {column} of the grammar: a number is expected."))
        self._skip(is_nested=is_nested)
        return int(digits)

    # What llama.cpp makes of it

    @property
    def _known_rules(self) -> int:
        return len(self._first_use) + self._generated_rules

    def _generated_name(self, name: str) -> str:
        self._generated_rules += 1
        return f"{name}_{self._generated_rules}"

    def _account(self, item: Item, least: int, most: int | None) -> None:
        """Count what a repetition is written out to: `least` copies, then a rule for each optional one."""
        optional = 1 if most is None else most - least
        self._generated_rules += optional
        self._count_elements(least * _width(item) + optional * (_width(item) + 3))

    def _count_elements(self, number: int) -> None:
        self._elements += number
        if self._elements > MAX_ELEMENTS:
            raise self._error(_("Line {line}, column {column} of the grammar: with its repetitions it is too large."))

    # Characters

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found.group() if found else ""

    def _name(self) -> str:
        start = self._at
        name = self._take(_NAME)
        if not name:
            raise self._error(_("Line {line}, column {column} of the grammar: the name of a rule is expected."))
        self._first_use.setdefault(name, start)
        return name

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise self._error(_("Line {line}, column {column} of the grammar: `{text}` is expected."), text=text)
        self._at += len(text)

    def _step(self, *, is_nested: bool) -> None:
        self._at += 1
        self._skip(is_nested=is_nested)

    def _skip(self, *, is_nested: bool) -> None:
        """Skip blanks and comments, and newlines where the text is nested or begins anew."""
        self._take(_BLANK_LINES if is_nested else _BLANK)

    def _error(self, sentence: str, position: int | None = None, **facts: str | int) -> SchemaError:
        at = self._at if position is None else position
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return SchemaError(sentence.format(line=line, column=column, **facts))


def _width(item: Item) -> int:
    """Elements that llama.cpp keeps for an item where it stands."""
    match item.symbol:
        case Literal(text):
            once = len(text)
        case CharacterClass(ranges):
            once = max(1, 2 * len(ranges))
        case Reference():
            once = 1
    return once * item.least + (item.most != item.least)
