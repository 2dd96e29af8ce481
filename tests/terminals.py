"""A terminal for tests: what a user sees, scrollback included."""

import os

import pyte


class FakeTerminal:
    """Takes what a program writes, and knows the rows that are then to be seen."""

    def __init__(self, columns: int = 40, lines: int = 8) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._stream = pyte.Stream(self._screen)
        self.written = ""

    def write(self, text: str) -> None:
        """Obey a piece of output, its newlines as the terminal driver sends them."""
        self.written += text
        self._stream.feed(text.replace("\r\n", "\n").replace("\n", "\r\n"))

    def size(self) -> os.terminal_size:
        return os.terminal_size((self._screen.columns, self._screen.lines))

    def resize(self, columns: int) -> None:
        """Change the width; rows are cut or filled up, not folded."""
        self._screen.resize(columns=columns)

    def rows(self) -> list[str]:
        """All rows down to the cursor's, without spaces at their ends."""
        width = range(self._screen.columns)
        scrolled_off = ["".join(row[column].data for column in width) for row in self._screen.history.top]
        shown = self._screen.display[: self._screen.cursor.y + 1]
        return [row.rstrip() for row in (*scrolled_off, *shown)]

    def display(self) -> list[str]:
        """All rows of the screen."""
        return [row.rstrip() for row in self._screen.display]

    def visible_rows(self) -> list[str]:
        """The rows on the screen down to the cursor's."""
        return self.rows()[len(self._screen.history.top) :]

    @property
    def cursor_column(self) -> int:
        return int(self._screen.cursor.x)

    @property
    def is_sane(self) -> bool:
        """Whether the cursor is shown and lines wrap."""
        return not self._screen.cursor.hidden and pyte.modes.DECAWM in self._screen.mode
