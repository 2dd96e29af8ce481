"""Numbers between two bounds, digit by digit.

A number is written with `places` decimals and read, point left out, as a whole number; so one rule serves both kinds.
"""

from collections.abc import Mapping
from math import ceil, floor
from typing import Any, Final

LARGEST_INTEGER: Final = 10**16 - 1
"""Sixteen digits."""
LARGEST_BOUNDED_NUMBER: Final = 10**9
"""Where one bound of a number is not given; with four decimals, far from what a double rounds."""
MAX_PLACES: Final = 4
"""Decimals of a number that has bounds."""

BOUNDS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_ANY_NUMBER: Final = '"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?'


def integers(said: Mapping[str, Any]) -> list[str]:
    """Expressions for the whole numbers between a schema's bounds; none if there are none."""
    return _between(*_bounds(said, LARGEST_INTEGER, 0), 0)


def decimals(said: Mapping[str, Any]) -> list[str]:
    """Expressions for the numbers between a schema's bounds, or for any; none if there are none."""
    if not any(bound in said for bound in BOUNDS):
        return [_ANY_NUMBER]
    found = [_between(*_bounds(said, LARGEST_BOUNDED_NUMBER, places), places) for places in range(MAX_PLACES + 1)]
    return [option for options in found for option in options]


def _bounds(said: Mapping[str, Any], largest: int, places: int) -> tuple[int, int]:
    """The lowest and highest number that the bounds allow, in units of the last decimal."""
    from fractions import Fraction

    unit = 10**places
    exact = {bound: Fraction(str(said[bound])) * unit for bound in BOUNDS if bound in said}
    lows = [ceil(exact.get("minimum", -largest * unit)), floor(exact.get("exclusiveMinimum", -largest * unit - 1)) + 1]
    highs = [floor(exact.get("maximum", largest * unit)), ceil(exact.get("exclusiveMaximum", largest * unit + 1)) - 1]
    return max(-largest * unit, *lows), min(largest * unit, *highs)


def _between(low: int, high: int, places: int) -> list[str]:
    """Expressions for the numbers from `low` to `high`, both counted in units of the last decimal."""
    options = []
    if high >= 0:
        options += _magnitudes(max(low, 0), high, places)
    if low < 0:
        options += [f'"-" {magnitude}' for magnitude in _magnitudes(max(-high, 1), -low, places)]
    return options


def _magnitudes(low: int, high: int, places: int) -> list[str]:
    """Numbers of the same length share an expression, and so do all the lengths that are whole."""
    options = []
    while low <= high:
        length = max(len(str(low)), places + 1)
        top = 10**length - 1
        if low == 10 ** (length - 1) and length > places + 1 and top <= high:
            longest = len(str(high + 1)) - 1
            options.append(f"[1-9] [0-9]{{{length - 1 - places},{longest - 1 - places}}}{_decimals(places)}")
            low = 10**longest
        else:
            end = min(top, high)
            options.append(_span(str(low).zfill(length), str(end).zfill(length), places).strip())
            low = end + 1
    return options


def _decimals(places: int) -> str:
    return f' "." [0-9]{{{places}}}' if places else ""


def _span(low: str, high: str, places: int) -> str:
    """Texts of digits between two of the same length; the point goes before the last `places`."""
    if not low:
        return ""
    point = ' "."' if 0 < len(low) == places else ""
    first, last = int(low[0]), int(high[0])
    if first == last:
        return f'{point} "{first}"{_span(low[1:], high[1:], places)}'
    rest = len(low) - 1
    options = []
    if low[1:].strip("0"):
        options.append(f'"{first}"{_span(low[1:], "9" * rest, places)}')
        first += 1
    if high[1:].strip("9"):
        options.append(f'"{last}"{_span("0" * rest, high[1:], places)}')
        last -= 1
    if first <= last:
        options.append(f"[{first}-{last}]{_any_digits(rest, places)}")
    return f"{point} ({' | '.join(options)})"


def _any_digits(count: int, places: int) -> str:
    if count < places:
        return f" [0-9]{{{count}}}" if count else ""
    return (f" [0-9]{{{count - places}}}" if count > places else "") + _decimals(places)
