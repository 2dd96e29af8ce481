"""Keys by the names that people know."""

from typing import Final

_NAMES: Final = {"ctrl": "Ctrl", "shift": "Shift", "alt": "Alt", "enter": "Enter", "escape": "Esc", "tab": "Tab"}


def key_name(key: str) -> str:
    """`ctrl+n` as `Ctrl+N`."""
    return "+".join(_NAMES.get(part, part.upper()) for part in key.split("+")) if key else ""
