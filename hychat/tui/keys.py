"""Keys by the names that people know."""

from typing import Final

_NAMES: Final = {"ctrl": "Ctrl", "shift": "Shift", "alt": "Alt", "enter": "Enter", "escape": "Esc", "tab": "Tab"}


def key_name(key: str) -> str:
    """`ctrl+n` as `Ctrl+N`."""
    return "+".join(_NAMES.get(part, part.upper() if len(part) <= 3 else part.title()) for part in key.split("+")) if key else ""  # noqa: E501, PLR2004
