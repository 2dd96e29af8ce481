"""JSON strings of bounded length, with a pattern or free, and choices among fixed texts."""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar.characters import PLAIN, character_class, literal, of_text, without
from hychat.engine.grammar.gbnf import MAX_REPETITIONS
from hychat.engine.grammar.pattern import expression, longest, read_pattern, shortest
from hychat.engine.grammar.writer import NOTHING, GrammarWriter
from hychat.messages import _

DEFAULT_LENGTH: Final = 512
"""Most characters of a string without `maxLength`: small models do not always find the closing quote.

llama.cpp is as fast on `x{0,512}` as on `x*`, and fifty times slower on `(x{0,32}){0,16}`.
"""
MAX_KEY_LENGTH: Final = 64
"""Most characters of a key that the schema does not name."""

_DATE: Final = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
FORMATS: Final = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}
"""Formats that are held to, as patterns (RFC 3339, RFC 9562; no leap day, no leap second); others are annotations."""

_HEXADECIMAL: Final = "[0-9A-Fa-f]"
_CHARACTER: Final = (
    rf'{character_class(PLAIN)} | "\\" (["\\/bfnrt]'
    rf' | "u" ([0-9A-CEFa-cef] {_HEXADECIMAL} | [Dd] [0-7]) {_HEXADECIMAL}{{2}})'  # no halves of surrogate pairs
)


def free_string(least: int, most: int | None, writer: GrammarWriter) -> str:
    """A string of any characters."""
    bound = min(max(least, DEFAULT_LENGTH) if most is None else most, MAX_REPETITIONS)
    character = writer.rule("character", _CHARACTER)
    return writer.rule("string", f'"\\"" {character}{{{least},{bound}}} "\\""')


def pattern_string(pattern: str, least: int, most: int | None, writer: GrammarWriter, path: str) -> str:
    """A string that matches a regular expression and has the length asked for.

    Raises:
        SchemaError: The pattern is not supported, or allows a length that the schema forbids.
    """
    part = read_pattern(pattern, path)
    allowed = longest(part, 0) + DEFAULT_LENGTH if most is None else most
    room = next((room for room in range(DEFAULT_LENGTH, -1, -1) if longest(part, room) <= allowed), None)
    if room is None or shortest(part) < least:
        sentence = _("{path}: `pattern` allows lengths that `minLength` or `maxLength` forbids.")
        raise SchemaError(sentence.format(path=path), hint=_("Write the length into the pattern: `^[a-z]{2,8}$`."))
    return writer.rule("string", f'"\\"" {expression(part, room, writer)} "\\""')


def fixed_text(texts: Iterable[str], writer: GrammarWriter) -> str:
    """One of several texts; those that begin alike share their beginning, for llama.cpp tries each alternative."""
    options = []
    for _first, group in groupby(sorted(set(texts)), key=lambda text: text[:1]):
        alike = list(group)
        beginning = _common_beginning(alike[0], alike[-1])  # of all between, since they are sorted
        rest = [text[len(beginning) :] for text in alike]
        options.append(literal(beginning) if rest == [""] else f"{literal(beginning)} {fixed_text(rest, writer)}")
    return writer.either("text", options)


def _common_beginning(one: str, other: str) -> str:
    differing = (position for position, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(differing, min(len(one), len(other)))]


def other_key(known: Iterable[str], writer: GrammarWriter) -> str:
    """A key in quotes that is none of the known ones, in plain characters, so that no escape can spell one of them."""
    return f'"\\"" {_other_text({name for name in known if _is_plain(name)} | {""}, writer)} "\\""'


def _other_text(known: set[str], writer: GrammarWriter) -> str:
    """A text that is none of these."""
    ends = {name[0] for name in known if name}
    plain = writer.rule("plain", character_class(PLAIN))
    options = [f"{character_class(without(PLAIN, of_text(''.join(ends))))} {plain}{{0,{MAX_KEY_LENGTH - 1}}}"]
    for first in sorted(ends):
        rest = {name[1:] for name in known if name[:1] == first}
        options.append(f"{literal(first)} {_other_text(rest, writer)}")
    if "" not in known:
        options.append(NOTHING)
    return writer.either("key", options)


def _is_plain(text: str) -> bool:
    return not without(of_text(text), PLAIN)
