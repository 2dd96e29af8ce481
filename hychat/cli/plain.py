"""Text on its way to a terminal: made harmless, and streamed as it is."""

from collections.abc import Callable
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


class PlainWriter:
    """Streams text as it is, and ends it in exactly one newline."""

    def __init__(self, write: Callable[[str], None], *, sgr: str = "") -> None:
        """Write through `write`, every piece in the look `sgr` (SGR parameters such as `2;3`)."""
        self._write = write
        self._before, self._after = (f"\x1b[{sgr}m", "\x1b[0m") if sgr else ("", "")
        self._held_newlines = ""
        self._is_mid_line = False

    def feed(self, text: str) -> None:
        """Write the next piece; newlines at its end wait until more text follows."""
        text = self._held_newlines + printable(text)
        shown = text.rstrip("\n")
        self._held_newlines = text[len(shown) :]
        if shown:
            self._write(f"{self._before}{shown}{self._after}")
            self._is_mid_line = True

    def pause(self) -> None:
        """End the line, so that other text can be written to the same terminal."""
        if self._is_mid_line:
            self._write("\n")
            self._is_mid_line = False
            self._held_newlines = self._held_newlines[1:]

    def finish(self) -> None:
        """End the text."""
        self.pause()
        self._held_newlines = ""

    def abort(self) -> None:
        """End the line, whatever was interrupted."""
        self.finish()
