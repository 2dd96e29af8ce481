"""Large numbers in a few letters, for people."""

from typing import Final

_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_POWERS: Final = ((10**9, "B"), (10**6, "M"), (10**3, "K"))


def size(count: int) -> str:
    """Bytes: `355 MB`, `18.2 GB`."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}" if unit == 10**9 else f"{count / unit:.0f} {name}"
    return f"{count} B"


def amount(count: int) -> str:
    """Weights of a model, or whatever else is counted: `80.4 B`, `134.5 M`."""
    for power, letter in _POWERS:
        if count >= power:
            return f"{count / power:.1f} {letter}"
    return str(count)
