"""What all screens beside the chat have in common: a title, a filter, a list, and a line that tells the keys."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input, Static

from hychat.domain.errors import HychatError
from hychat.tui.widgets.picklist import Item, PickList

_Result = TypeVar("_Result")


class Panel(Screen[_Result]):
    """A list over the whole screen. What is typed goes to the filter; Up, Down and Enter go to the list; Esc leaves."""

    CSS_PATH = "../styles/panel.tcss"
    AUTO_FOCUS = "#filter"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", priority=True),
        Binding("up", "list('step(-1)')", priority=True),
        Binding("down", "list('step(1)')", priority=True),
        Binding("pageup", "list('page(-1)')", priority=True),
        Binding("pagedown", "list('page(1)')", priority=True),
    ]

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        with Vertical(id="panel"):
            yield Static(self.heading(), id="heading", markup=False)
            yield Input(placeholder=self.filter_hint(), id="filter", compact=True)
            yield PickList(id="list")
            yield Static(id="note", markup=False)
            yield Static(self.keys(), id="keys", markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        self.fill("")

    # What a panel says of itself

    def heading(self) -> str:
        """What stands at the top."""
        raise NotImplementedError

    def filter_hint(self) -> str:
        """What stands in the empty filter."""
        raise NotImplementedError

    def keys(self) -> str:
        """The keys, in one line."""
        raise NotImplementedError

    def items(self, words: str) -> Sequence[Item]:
        """What the list holds for the words in the filter."""
        raise NotImplementedError

    # What it does

    @property
    def list(self) -> PickList:
        """The list."""
        return self.query_one(PickList)

    def fill(self, words: str) -> None:
        """Show what fits the words."""
        self.list.show(self.items(words))

    def note(self, text: str) -> None:
        """A line under the list; empty takes it away."""
        line = self.query_one("#note", Static)
        line.update(text)
        line.display = bool(text)

    def say(self, text: str) -> None:
        """A line under the list that is no error."""
        self.query_one("#note", Static).add_class("-quiet")
        self.note(text)

    def tell_error(self, error: HychatError) -> None:
        """What went wrong and what to do, under the list."""
        self.query_one("#note", Static).remove_class("-quiet")
        self.note("\n".join(text for text in (error.message, error.hint) if text))

    @on(Input.Changed, "#filter")
    def _filter(self, event: Input.Changed) -> None:
        self.fill(event.value)

    @on(Input.Submitted, "#filter")
    def _choose_marked(self) -> None:
        self.list.action_choose()

    async def action_list(self, action: str) -> None:
        """Hand a key to the list."""
        await self.list.run_action(action)

    def action_leave(self) -> None:
        """Empty the filter, or go back to the chat."""
        words = self.query_one("#filter", Input)
        if words.value:
            words.value = ""
        else:
            self.dismiss(None)
