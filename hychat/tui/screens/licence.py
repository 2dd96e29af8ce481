"""What fetching a model means, and the yes to its licence."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from hychat.catalogue.cache import hub_cache_folder
from hychat.catalogue.hub import host_of
from hychat.catalogue.licence import must_be_agreed_to, terms_of
from hychat.catalogue.pulling import Wanted
from hychat.messages import _
from hychat.tui.model_list import size_of
from hychat.tui.screens.panel import Panel
from hychat.tui.widgets.picklist import Item, PickList
from hychat.tui.widgets.prose import Prose

_YES = "yes"
_NO = "no"


class LicenceScreen(Panel[bool]):
    """Tells what comes, from where, how much, and under which terms. Its result is whether the user wants it so."""

    DEFAULT_CSS = """
    LicenceScreen {
        & #terms { height: 1fr; margin: 1 0; padding: 0 2; scrollbar-size-vertical: 1; }
        & #source { color: $muted; margin-bottom: 1; }
        & #licence { text-style: bold; }
        & PickList { height: 2; }
    }
    """
    AUTO_FOCUS = "PickList"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "read(-1)", priority=True),
        Binding("pagedown", "read(1)", priority=True),
    ]

    def __init__(self, model: Wanted, endpoint: str) -> None:
        super().__init__()
        self._model = model
        self._endpoint = endpoint

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        with Vertical(id="panel"):
            yield Static(self.heading(), id="heading", markup=False)
            with VerticalScroll(id="terms", can_focus=False):
                yield Prose(self._source(), id="source")
                title, _break, terms = self._licence().partition("\n")
                yield Prose(title, id="licence")
                yield Prose(terms.replace("\n", "\n\n"))
            yield PickList(id="list")
            yield Static(self.keys(), id="keys", markup=False)

    def on_mount(self) -> None:
        """Have the bar before the harmless answer where a yes means an agreement."""
        super().on_mount()
        self.list.mark(_NO if must_be_agreed_to(self._model.licence) else _YES)

    def heading(self) -> str:
        """As `Panel`."""
        return _("Fetch {title}").format(title=self._model.spec.title if self._model.spec else self._model.name)

    def keys(self) -> str:
        """As `Panel`."""
        return _("Up, Down, Enter: answer · PageUp, PageDown: read · Esc: back")

    def items(self, words: str) -> Sequence[Item]:  # noqa: ARG002 - a panel's
        """As `Panel`."""
        yes = _("I agree to this licence: fetch it") if must_be_agreed_to(self._model.licence) else _("Fetch it")
        return (Item(_YES, yes), Item(_NO, _("Do not fetch it")))

    def _source(self) -> str:
        sizes = [file.bytes for file in self._model.files]
        known = sum(size or 0 for size in sizes)
        facts = _("{size} from {repository} on {host}, into {folder}")
        source = facts.format(
            size=size_of(None if None in sizes else known),
            repository=self._model.files[0].repository,
            host=host_of(self._endpoint),
            folder=hub_cache_folder(),
        )
        if self._model.was_chosen:
            chosen = _("Of several files, hychat takes {file}.").format(file=self._model.files[0].file)
            return f"{source}\n{chosen}"
        return source

    def _licence(self) -> str:
        if self._model.licence is None:
            return _("hychat does not know its licence: read it on the model's page before you use it.")
        return terms_of(self._model.licence)

    @on(PickList.Chosen)
    def _answer(self, event: PickList.Chosen) -> None:
        self.dismiss(event.item.key == _YES)

    def action_read(self, pages: int) -> None:
        """Scroll the terms."""
        terms = self.query_one("#terms", VerticalScroll)
        terms.scroll_relative(y=pages * max(1, terms.size.height - 1), animate=False)

    def action_leave(self) -> None:
        """Do not fetch it."""
        self.dismiss(result=False)
