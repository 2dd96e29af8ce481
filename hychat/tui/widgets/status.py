"""The line under the prompt: what answers, and how. Each part opens its switch."""

from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

_COMMANDS: Final = {
    "model": "model",
    "device": "model",
    "fetch": "model",
    "style": "style",
    "temperature": "temperature",
    "think": "think",
    "safety": "safety",
    "context": "context",
    "speed": "stats",
}
"""The parts from left to right, in order of their weight, each with the command that a click on it gives."""
_COMMAND: Final = "command"
_GAP: Final = "   "


class StatusLine(Widget):
    """Model, device, download, style, temperature, thinking, safety, context, speed; what does not fit is cut at the right.

    One widget, not one a part: each would cost a millisecond of the start.
    """

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        color: $muted;
        & .status--set { color: $accent; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"status--set"}

    @dataclass
    class Chosen(Message):
        """The user clicked a part."""

        command: str

    def __init__(self) -> None:
        super().__init__(id="status")
        self._parts: dict[str, tuple[str, bool]] = {}

    def show(self, name: str, text: str, *, is_set: bool = False) -> None:
        """Have this text in a part, none where it is empty; `is_set` where the user chose it."""
        if self._parts.get(name) != (text, is_set):
            self._parts[name] = (text, is_set)
            self.refresh()

    def render(self) -> Text:
        """The parts in one line."""
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        set_style = self.get_component_rich_style("status--set", partial=True)
        for name, command in _COMMANDS.items():
            text, is_set = self._parts.get(name, ("", False))
            if text:
                line.append(_GAP if line else "")
                start = len(line)
                line.append(text, set_style if is_set else None)
                line.apply_meta({_COMMAND: command}, start, len(line))
        return line

    def on_click(self, event: events.Click) -> None:
        """Open the switch."""
        command = event.style.meta.get(_COMMAND)
        if command:
            event.stop()
            self.post_message(self.Chosen(command))
