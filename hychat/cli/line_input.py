"""Lines that the user types at a plain prompt, edited by readline where Python has it.

A paste of several rows stays one text where readline takes bracketed pastes (GNU's does); elsewhere, and for what is typed,
a backslash at the end of a row begins another one.
"""

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Final

CONTINUED: Final = "... "
"""Stands before every row but the first."""


class LineInput:
    """Reads what the user types, with a history in memory and completion by Tab."""

    def __init__(self, complete: Callable[[str], Sequence[str]], *, has_colour: bool) -> None:
        """`complete` tells what a line may become."""
        self._complete = complete
        self._has_colour = has_colour
        self._draft = ""
        self._rows: list[str] = []
        self._readline = _readline()
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # a byte that is no text ends no chat
        if self._readline is not None:
            self._prepare(self._readline)

    def _prepare(self, readline: ModuleType) -> None:
        readline.set_auto_history(False)
        readline.set_completer_delims("\n")  # whole lines are completed
        readline.set_completer(self._nth_completion)
        readline.set_startup_hook(self._insert_draft)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.parse_and_bind("set enable-bracketed-paste on")

    def read(self, label: str) -> str:
        """What the user types behind a label, rows parted by newlines.

        Raises:
            EOFError: Ctrl+D on an empty row, or the terminal is gone.
            KeyboardInterrupt: Ctrl+C; `was_empty` tells whether there was something to throw away.
        """
        self._rows = []
        prompt = f"{self._shown(label)} "
        while _is_continued(row := input(prompt)):
            self._rows.append(row[:-1])
            prompt = CONTINUED
        return "\n".join([*self._rows, row])

    @property
    def was_empty(self) -> bool:
        """Whether nothing was typed when Ctrl+C came."""
        typed = self._readline.get_line_buffer() if self._readline else ""
        return not self._rows and not typed

    def draft(self, text: str) -> bool:
        """Have this stand in the next line, to be edited; whether that is possible."""
        self._draft = text if self._readline else ""
        return bool(self._draft)

    def remember(self, texts: Iterable[str]) -> None:
        """Let Up go back to these, the last one first."""
        if self._readline is not None:
            for text in texts:
                self._readline.add_history(text)

    def _shown(self, label: str) -> str:
        """Bold where there are colours; readline is told which characters take no room."""
        if not (self._has_colour and self._readline):
            return label
        return f"\x01\x1b[1m\x02{label}\x01\x1b[0m\x02"

    def _insert_draft(self) -> None:
        draft, self._draft = self._draft, ""
        if draft and self._readline is not None:
            self._readline.insert_text(draft)

    def _nth_completion(self, text: str, nth: int) -> str | None:
        choices = self._complete(text)
        return choices[nth] if nth < len(choices) else None


def _readline() -> ModuleType | None:
    with suppress(ImportError):  # some builds of Python have none
        import readline

        return readline
    return None


def _is_continued(row: str) -> bool:
    r"""Whether another row follows; two backslashes, as in LaTeX, end a row as they are."""
    return (len(row) - len(row.rstrip("\\"))) % 2 == 1
