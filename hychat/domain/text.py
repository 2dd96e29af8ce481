"""Text that others wrote, made harmless for a terminal."""

import os
import re
from typing import Final

_KEPT_CONTROLS: Final = {ord("\n"), ord("\t")}
_CONTROLS: Final = {*range(0x20), *range(0x7F, 0xA0)} - _KEPT_CONTROLS
"""C0, DEL and C1 (U+009B alone starts an escape sequence)."""
_BIDI_CONTROLS: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Embeddings, overrides and isolates, which show text in another order than it has (CVE-2021-42574)."""
_SURROGATES: Final = range(0xD800, 0xE000)
_REPLACEMENTS: Final[dict[int, str | None]] = {
    **dict.fromkeys((*_CONTROLS, *_BIDI_CONTROLS)),
    **dict.fromkeys(_SURROGATES, "\N{REPLACEMENT CHARACTER}"),
}


def printable(text: str) -> str:
    r"""The text without what a terminal would obey; newlines and tabs stay.

    Escape sequences lose their ESC, which leaves them inert. `\r` is dropped wherever it stands, so `\r\n` becomes
    `\n`. Every character is judged alone: a stream may be treated piece by piece, cut anywhere.
    """
    return text.translate(_REPLACEMENTS)


def readable(argument: str) -> str:
    """An argument or a file's name as text, bytes that are none replaced; whatever the locale, UTF-8 is understood."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python keeps such bytes as surrogates
        return os.fsencode(argument).decode("utf-8", "replace")
    return argument


_MOST_NESTED: Final = 2000
_YAML_LEAD: Final = re.compile(r"[ \t?:-]+")
"""What stands before the content of a line: indentation, and the signs of lists and mappings that begin there."""


def may_be_deep(yaml: str) -> bool:
    """Whether a YAML text may nest so deeply that libyaml's parser takes the process down, which it does from 16,000 on.

    A list or mapping is opened by a bracket, or is indented further than the one around it, but for a list in a mapping.
    """
    n_brackets = yaml.count("[") + yaml.count("{")
    furthest = max(map(len, _YAML_LEAD.findall(yaml)), default=0)
    return n_brackets + 2 * furthest > _MOST_NESTED
