"""Where the user writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import TextArea

_NEWLINE_KEYS: Final = frozenset({"shift+enter", "alt+enter", "ctrl+j"})
_LARGE_PASTE_CHARACTERS: Final = 4000
"""From here on a paste becomes data beside the words: it would bury them, and wrapping it takes time at every key."""


class Prompt(TextArea):
    """Several lines, as tall as its text up to a bound; Enter sends, and Up and Down walk through what was sent before."""

    DEFAULT_CSS = """
    Prompt {
        height: auto;
        max-height: 10;
        min-height: 1;
        border: none;
        padding: 0;
        background: transparent;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background: transparent; }
        & .text-area--cursor-line { background: transparent; }
        & .text-area--placeholder { color: $muted; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = []

    @dataclass
    class Sent(Message):
        """The user sent what was typed."""

        text: str

    @dataclass
    class Edited(Message):
        """The text is another one."""

        text: str

    @dataclass
    class PastedMuch(Message):
        """A text was pasted that is too large for a prompt."""

        text: str

    @dataclass
    class PastedFiles(Message):
        """What was pasted are paths of files: they were dropped on the terminal."""

        paths: list[Path]

    @dataclass
    class WantsPicture(Message):
        """Ctrl+V was pressed: there may be a picture in the clipboard, which no terminal pastes."""

    @dataclass
    class Emptied(Message):
        """Backspace was pressed where there is nothing before the caret."""

    @dataclass
    class Stepped(Message):
        """Up or Down was pressed while there are completions to choose from."""

        rows: int

    def __init__(self, *, sends_with_enter: bool = True) -> None:
        super().__init__(soft_wrap=True, show_line_numbers=False, compact=True, tab_behavior="focus", id="prompt")
        self.cursor_blink = False  # a timer that redraws for nothing
        self.sends_with_enter = sends_with_enter
        self.has_choices = False
        """Whether Up and Down go through completions."""
        self.sent: list[str] = []
        """What was sent before, oldest first."""
        self._walked: int | None = None
        """How far back Up has walked; None while the user writes."""
        self._draft = ""

    def set_text(self, text: str) -> None:
        """Have this text, the caret at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        """Do what a key means at once: Textual's bindings wait until it has bubbled up, and a letter typed since comes first."""
        if self._takes(event.key):
            event.stop()
            event.prevent_default()
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)
            return
        await super()._on_key(event)

    def _takes(self, key: str) -> bool:
        """Do what a key means here; False where it means nothing special."""
        if key in _NEWLINE_KEYS and not (key == "ctrl+j" and not self.sends_with_enter):
            self.insert("\n")
        elif key == ("enter" if self.sends_with_enter else "ctrl+j"):
            self._send()
        elif key == "ctrl+v":
            self.post_message(self.WantsPicture())
        elif key == "backspace" and not self.text:
            self.post_message(self.Emptied())
        elif key in {"up", "down"} and self.has_choices:
            self.post_message(self.Stepped(-1 if key == "up" else 1))
        elif key == "up" and self.cursor_at_first_line and self._can_walk:
            self._walk(-1)
        elif key == "down" and self.cursor_at_last_line and self._walked is not None:
            self._walk(1)
        else:
            return False
        return True

    def _send(self) -> None:
        """Backslash at the end asks for another line, as in a shell."""
        if self.text.endswith("\\") and self.cursor_at_end_of_text:
            self.action_delete_left()
            self.insert("\n")
            return
        text = self.text
        self.set_text("")  # at once: what is typed next belongs to the next prompt
        self.post_message(self.Sent(text))

    def put_back(self, text: str, *, is_selected: bool = False) -> None:
        """Have a text again that was sent, before what was typed since.

        With `is_selected`, what is typed next stands in its place, as a command does that an error speaks of.
        """
        typed_since = self.text
        self.set_text("\n".join(filter(None, (text, typed_since))))
        if is_selected and not typed_since:
            self.select_all()

    def remember(self, text: str) -> None:
        """Take what was sent into the list that Up walks through."""
        if text.strip() and self.sent[-1:] != [text]:
            self.sent.append(text)
        self._walked = None

    def remember_all(self, texts: Sequence[str]) -> None:
        """What was sent in an earlier run, oldest first."""
        self.sent[:0] = texts

    @property
    def _can_walk(self) -> bool:
        return bool(self.sent) and self._walked != 0

    def _walk(self, step: int) -> None:
        if self._walked is None:
            self._draft, self._walked = self.text, len(self.sent)
        self._walked += step
        if self._walked >= len(self.sent):
            self._walked = None
            self.set_text(self._draft)
        else:
            walked = self._walked
            self.set_text(self.sent[walked])
            self._walked = walked

    async def _on_paste(self, event: events.Paste) -> None:
        from hychat.attach.open import dropped_paths  # once somebody pastes

        event.stop()
        event.prevent_default()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        if len(text) > _LARGE_PASTE_CHARACTERS:
            self.post_message(self.PastedMuch(text))
        elif paths := dropped_paths(text):
            self.post_message(self.PastedFiles(paths))
        else:
            await super()._on_paste(events.Paste(text))

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Tell the screen, which offers completions."""
        event.stop()
        self.post_message(self.Edited(self.text))
