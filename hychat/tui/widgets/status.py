"""The line under the prompt: what answers, and how. Each part opens its switch."""

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static


class StatusPart(Static):
    """One figure or setting; a click gives its command."""

    DEFAULT_CSS = """
    StatusPart {
        width: auto;
        height: 1;
        color: $muted;
        padding-right: 3;
        &.-command:hover { color: $foreground; }
        &.-set { color: $accent; }
        &.-empty { display: none; }
    }
    """

    @dataclass
    class Chosen(Message):
        """The user clicked a part."""

        command: str

    def __init__(self, name: str, command: str) -> None:
        super().__init__("", id=f"status-{name}", markup=False)
        self._command = command
        self.add_class("-empty")
        self.set_class(bool(command), "-command")

    def show(self, text: str, *, is_set: bool = False, tooltip: str = "") -> None:
        """Have this text; `is_set` where the user chose it."""
        self.set_class(not text, "-empty")
        self.set_class(is_set, "-set")
        if text != self.content:
            self.update(text)
        self.tooltip = tooltip or None

    def on_click(self, event: events.Click) -> None:
        """Open the switch."""
        event.stop()
        if self._command:
            self.post_message(self.Chosen(self._command))


class StatusLine(Horizontal):
    """Model, device, style, temperature, thinking, context, speed."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
    }
    """

    PARTS = (
        ("model", "model"),
        ("device", "model"),
        ("style", "style"),
        ("temperature", "temperature"),
        ("think", "think"),
        ("context", "context"),
        ("speed", "stats"),
    )
    """Each part with the command that a click on it gives."""

    def compose(self) -> ComposeResult:
        """The parts, in order of their weight: what does not fit is cut at the right."""
        for name, command in self.PARTS:
            yield StatusPart(name, command)

    def show(self, name: str, text: str, *, is_set: bool = False, tooltip: str = "") -> None:
        """Tell one part."""
        self.query_one(f"#status-{name}", StatusPart).show(text, is_set=is_set, tooltip=tooltip)
