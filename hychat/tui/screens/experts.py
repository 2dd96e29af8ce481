"""Which experts a mixture chooses, while it answers."""

import asyncio
from functools import partial
from typing import ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from hychat.domain.errors import HychatError
from hychat.engine.experts import COLOURS, SHADES, ExpertUse, heat_map, in_words
from hychat.engine.protocol import Engine
from hychat.messages import _

_PAUSE_SECONDS: Final = 0.5


class ExpertsScreen(Screen[None]):
    """A heat map over the whole screen, drawn anew as long as it is open.

    Counting costs speed, so it ends when the screen is left; where there was nothing to see yet it goes on, for the next look.
    """

    CSS_PATH = "../styles/panel.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", priority=True)]

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._has_counts = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        with Vertical(id="panel"):
            yield Static(_("Experts"), id="heading", markup=False)
            with VerticalScroll():
                yield Static(
                    _("Nothing was counted yet: go back and ask something, then look again."), id="map", markup=False
                )
            yield Static(
                _("The more an expert is chosen, the hotter its cell · Esc: back to the chat"), id="keys", markup=False
            )

    def on_mount(self) -> None:
        """Look now, and again and again."""
        self.set_interval(_PAUSE_SECONDS, self.look)
        self.call_later(self.look)

    async def look(self) -> None:
        """Ask the engine for its counts, and draw them."""
        try:
            use = await asyncio.to_thread(self._engine.watch_experts, is_on=True)
        except HychatError as error:
            self.query_one("#map", Static).update(error.message)
            return
        if use.layers and self.is_attached:
            self._has_counts = True
            self.query_one("#map", Static).update(_drawn(use, self.size.width - 4))

    def action_leave(self) -> None:
        """Back to the chat."""
        if self._has_counts:
            self.run_worker(partial(self._engine.watch_experts, is_on=False), thread=True, exit_on_error=False)
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
