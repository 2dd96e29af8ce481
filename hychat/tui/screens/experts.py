"""Which experts a mixture chooses, while it answers."""

import asyncio
from collections.abc import Callable
from typing import ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static

from hychat.domain.errors import HychatError
from hychat.domain.message import Part, TextPart
from hychat.engine.experts import COLOURS, SHADES, ExpertUse, heat_map, in_words
from hychat.engine.protocol import Engine
from hychat.messages import _

_PAUSE_SECONDS: Final = 0.5


class ExpertsScreen(Screen[None]):
    """A heat map over the whole screen, drawn anew as long as it is open, and a line to ask the chat behind it.

    Counting begins when it is first opened, and goes on: whoever looks again sees what was asked meanwhile, too.
    """

    CSS_PATH = "../styles/panel.tcss"
    AUTO_FOCUS = "#question"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", priority=True),
        Binding("up", "move(-1)", priority=True),
        Binding("down", "move(1)", priority=True),
        Binding("pageup", "move(-10)", priority=True),
        Binding("pagedown", "move(10)", priority=True),
    ]

    def __init__(self, engine: Engine, ask: Callable[[tuple[Part, ...]], None]) -> None:
        """`ask` gives the chat a question."""
        super().__init__()
        self._engine = engine
        self._ask = ask

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        with Vertical(id="panel"):
            yield Static(_("Experts"), id="heading", markup=False)
            yield Input(placeholder=_("Ask something, and watch who answers"), id="question", compact=True)
            with VerticalScroll():
                yield Static(
                    _("From now on it is counted which experts the model chooses, here and in the chat."),
                    id="map",
                    markup=False,
                )
            yield Static(
                _("The more an expert is chosen, the hotter its cell · Enter: ask · Esc: back to the chat"),
                id="keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Look now, and again and again."""
        self.set_interval(_PAUSE_SECONDS, self.look)
        self.call_later(self.look)

    async def look(self) -> None:
        """Ask the engine for its counts, and draw them."""
        try:
            use = await asyncio.to_thread(self._engine.watch_experts)
        except HychatError as error:
            self.query_one("#map", Static).update(error.message)
            return
        if use.layers and self.is_attached:
            self.query_one("#map", Static).update(_drawn(use, self.size.width - 4))

    @on(Input.Submitted, "#question")
    def _send(self, event: Input.Submitted) -> None:
        """The chat answers now, or once the answer before it is written."""
        if event.value.strip():
            self._ask((TextPart(event.value),))
            event.input.value = ""

    def action_move(self, rows: int) -> None:
        """Look further up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def action_leave(self) -> None:
        """Back to the chat."""
        self.dismiss(None)


def _drawn(use: ExpertUse, columns: int) -> Text:
    map_ = Text()
    styles = [Style(color=f"color({colour})") for colour in COLOURS]
    for row in heat_map(use, columns):
        map_.append(row.margin)
        for level in row.levels:
            map_.append(SHADES[max(1, level)], styles[level])
        map_.append("\n")
    return map_.append("\n".join(["", *in_words(use)]))
