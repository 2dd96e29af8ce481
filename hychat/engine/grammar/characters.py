"""Sets of characters, as sorted ranges of code points, and how GBNF writes them."""

from collections.abc import Iterable
from typing import Final

Range = tuple[int, int]
"""First and last code point."""
Ranges = tuple[Range, ...]

LAST_CODE_POINT: Final = 0x10FFFF
ALL: Final[Ranges] = ((0, LAST_CODE_POINT),)
PRINTABLE_ASCII: Final[Ranges] = ((0x20, 0x7E),)
SHORT_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
"""What JSON writes for a character that cannot stand in a string as it is."""


def of_text(text: str) -> Ranges:
    """The set of the text's characters."""
    return tuple((ord(character), ord(character)) for character in sorted(set(text)))


def without(ranges: Iterable[Range], removed: Iterable[Range]) -> Ranges:
    """The first set less the second."""
    left = list(ranges)
    for first, last in removed:
        pieces = [piece for low, high in left for piece in ((low, min(high, first - 1)), (max(low, last + 1), high))]
        left = [piece for piece in pieces if piece[0] <= piece[1]]
    return tuple(left)


def common(ranges: Iterable[Range], others: Iterable[Range]) -> Ranges:
    """What both sets hold."""
    return without(ALL, (*without(ALL, ranges), *without(ALL, others)))


PLAIN: Final = without(
    ALL,
    (
        (0x00, 0x1F),  # control characters, which JSON forbids
        (0x7F, 0x9F),  # control characters, which a terminal must not be shown
        (0xD800, 0xDFFF),  # halves of surrogate pairs
        *of_text('"\\'),
    ),
)
"""Characters that stand for themselves in a JSON string."""


def literal(text: str) -> str:
    """The text as GBNF quotes it."""
    return '"' + "".join(_QUOTED.get(character) or _visible(character) for character in text) + '"'


def character_class(ranges: Iterable[Range]) -> str:
    """One character of the set, in GBNF."""
    return "[" + "".join(_range(first, last) for first, last in ranges) + "]"


_QUOTED: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _visible(character: str) -> str:
    return character if character.isprintable() else _escape(ord(character))


def _escape(code_point: int) -> str:
    digits = f"{code_point:X}"
    return "\\x" + digits.zfill(2) if len(digits) <= len("FF") else "\\U" + digits.zfill(8)


def _range(first: int, last: int) -> str:
    ends = [chr(end) if chr(end).isascii() and chr(end).isalnum() else _escape(end) for end in (first, last)]
    return ends[0] if first == last else "-".join(ends)
