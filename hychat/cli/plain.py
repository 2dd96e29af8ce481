"""Text on its way to a terminal, streamed as it is."""

from collections.abc import Callable

from hychat.domain.text import printable


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
