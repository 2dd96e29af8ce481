"""All models: one that is here is talked to, one that is not is fetched behind the chat."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from hychat.catalogue import records
from hychat.catalogue.find import DEFAULT, locate
from hychat.catalogue.hub import check_online, hub_endpoint, is_offline
from hychat.catalogue.licence import must_be_agreed_to
from hychat.catalogue.listing import ListedModel, list_models
from hychat.catalogue.pulling import Wanted, wanted
from hychat.catalogue.reference import is_reference
from hychat.catalogue.removing import files_to_remove, remove_model
from hychat.config.save import set_value
from hychat.domain.errors import HubUnreachable, HychatError, ModelNotFound
from hychat.domain.model import Licence
from hychat.messages import _
from hychat.paths import config_file
from hychat.tui.desk import Desk
from hychat.tui.fetching import Fetch, Fetching, SpeechFetch, State
from hychat.tui.model_list import Situation, installable, model_items, size_of
from hychat.tui.screens.licence import LicenceScreen
from hychat.tui.screens.panel import Panel
from hychat.tui.turns import batches
from hychat.tui.widgets.fetch_bar import FetchBar
from hychat.tui.widgets.picklist import Item, PickList


class ModelsScreen(Panel[str]):
    """The models. Its result is the one to talk to, or None where nothing changes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+x", "remove", priority=True)]

    @dataclass
    class Agreed(Message):
        """The user wants this download."""

        fetch: Fetch

    def __init__(self, desk: Desk, fetching: Fetching, missing: str = "") -> None:
        """`missing` says that there is no model to answer, or only a small one: the user begins here."""
        super().__init__()
        self._desk = desk
        self._fetching = fetching
        self._missing = missing
        self._models: tuple[ListedModel, ...] = ()
        self._marked_name = ""
        """The marked row's."""
        self._removing = ""
        """The model that another Ctrl+X deletes."""
        self._is_unreachable = is_offline()

    # What a panel says of itself

    def on_mount(self) -> None:
        """Read the list, and show the download that runs."""
        self.query_one("#panel").mount(FetchBar(), before="#note")
        super().on_mount()
        self.say(self._missing)
        self._read(self._first_marked)
        if self._fetching.now is not None:
            self.call_after_refresh(self.show_fetch, self._fetching.now)

    def heading(self) -> str:
        """As `Panel`."""
        return _("Models")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search, or hf:owner/repository, or the path of a GGUF")

    def keys(self) -> str:
        """As `Panel`; for the marked row."""
        if self._is_fetched(self._marked_name):
            return _("Ctrl+X: stop the download · Esc: back to the chat, it goes on")
        model = self._marked
        if model is not None and model.is_installed:
            return _("Enter: talk to it · Ctrl+X: delete · Esc: back to the chat")
        return _("Enter: fetch it · Esc: back to the chat")

    def items(self, words: str) -> Sequence[Item]:
        """As `Panel`."""
        fetch = self._fetching.now
        return model_items(
            self._models,
            words,
            Situation(
                self._present,
                fetch.name if fetch else "",
                fetch.percent if fetch else "",
                is_first=bool(self._missing),
                is_offline=self._is_unreachable,
            ),
        )

    @property
    def _present(self) -> str:
        """The model that answers."""
        return self._desk.conversation.model if self._desk.has_model else ""

    @property
    def _marked(self) -> ListedModel | None:
        return next((model for model in self._models if model.name == self._marked_name), None)

    def _is_fetched(self, name: str) -> bool:
        """Whether it is on its way."""
        return self._fetching.now is not None and self._fetching.now.name == name

    @property
    def _first_marked(self) -> str:
        """The model that answers, or should; to begin with, the default."""
        model = self._desk.config.model if self._missing else self._desk.conversation.model
        return model or DEFAULT

    # The list

    @work(exclusive=True, group="list")
    async def _read(self, marked: str = "") -> None:
        """Look again for what there is."""
        try:
            self._models = tuple(await asyncio.to_thread(lambda: tuple(list_models())))
        except HychatError as error:
            self.tell_error(error)
        self._fill_again()
        if marked:
            self.list.mark(marked)

    def _fill_again(self) -> None:
        self.fill(self.query_one("#filter", Input).value)
        self._tell_keys()

    @on(PickList.Marked)
    def _tell_keys(self) -> None:
        """Tell the keys of the row; what was asked about another one is not meant for it."""
        self._marked_name = self.list.item.key if self.list.item else ""
        self.query_one("#keys", Static).update(self.keys())
        if self._removing not in {"", self._marked_name}:
            self._removing = ""
            self.say("")

    # Choosing

    @on(PickList.Chosen)
    def _choose(self, event: PickList.Chosen) -> None:
        name, model = event.item.key, self._marked
        if self._is_fetched(name):
            return
        try:
            if model is not None and (how := installable(model)):
                self.say(how)
            elif (here := _installed(name, model)) is not None:
                self._take(here)
            else:
                self._offer(name)
        except HychatError as error:
            self.tell_error(error)

    def _take(self, name: str) -> None:
        """Go back to the chat, and talk to this model; begun with one, that is the one from now on."""
        if self._missing and self._desk.config.model is None and name != DEFAULT:
            set_value(config_file(), "model", name)
        self.dismiss(None if name == self._present else name)

    # Fetching

    @work(exclusive=True, group="offer")
    async def _offer(self, name: str) -> None:
        """Find out what the name stands for, and ask whether the user wants it."""
        if self._fetching.now is not None:
            self.say(_("One download at a time: wait for {title}, or stop it.").format(title=self._fetching.now.title))
            return
        self.say(_("Asking the hub about {name}").format(name=name) if is_reference(name) else "")
        try:
            endpoint = hub_endpoint()
            async for batch in batches(_looked_up(name, endpoint)):
                self.say("")
                await self._ask_for(batch[0], endpoint)
        except HychatError as error:
            self._tell_trouble(error)

    async def _ask_for(self, found: Wanted, endpoint: str) -> None:
        if await self.app.push_screen_wait(LicenceScreen(found, endpoint)):
            await self._agree(found.licence)
            self.post_message(self.Agreed(Fetch(found, endpoint)))

    async def _agree(self, licence: Licence | None) -> None:
        """Remember the yes."""
        if licence is None or not must_be_agreed_to(licence):
            return
        try:
            await asyncio.to_thread(records.accept, licence.id)
        except OSError as error:
            message = _("That you agreed cannot be remembered ({reason}); you will be asked again.")
            self.notify(message.format(reason=error.strerror or error), severity="warning", markup=False)

    def show_fetch(self, fetch: Fetch) -> None:
        """As `FetchViewer`."""
        headline = fetch.headline() if fetch.is_running else ""
        self.query_one(FetchBar).show(headline, fetch.figures(), fetch.fraction)
        self._fill_again()

    def end_fetch(self, fetch: Fetch) -> None:
        """As `FetchViewer`; who begins here goes on to the chat with it."""
        match fetch.state:
            case State.DONE if isinstance(fetch, SpeechFetch):
                self.say(_("{title} is here.").format(title=fetch.title))
            case State.DONE if self._missing and self.is_current:
                self._take(fetch.name)
            case State.DONE:
                self.say(_("{title} is here. Enter: talk to it.").format(title=fetch.title))
                self._read(fetch.name)
            case State.FAILED if fetch.error is not None:
                self._tell_trouble(fetch.error)
            case _:
                self.say(_("Stopped. What has come is kept; Enter goes on from there."))

    def _tell_trouble(self, error: HychatError) -> None:
        """What went wrong; without the hub there is still the starter."""
        self.tell_error(error)
        if isinstance(error, HubUnreachable):
            self._is_unreachable = True
            self._fill_again()

    # Deleting

    def action_remove(self) -> None:
        """Stop the download of the marked model; else delete it, at the second time."""
        model = self._marked
        if self._is_fetched(self._marked_name):
            self._fetching.stop()
        elif model is not None and model.is_installed:
            self._remove(model)

    @work(exclusive=True, group="remove")
    async def _remove(self, model: ListedModel) -> None:
        try:
            if model.name == self._present:
                self.say(_("{title} answers now; talk to another one first.").format(title=model.title))
            elif model.name != self._removing:
                await asyncio.to_thread(lambda: files_to_remove(locate(model.name)))
                self._removing = model.name
                question = _("Delete {title} ({size}) from this machine? Ctrl+X again deletes it.")
                self.say(question.format(title=model.title, size=size_of(model.bytes)))
            else:
                self._removing = ""
                freed = await asyncio.to_thread(lambda: remove_model(locate(model.name)))
                self.say(_("Deleted {name}: {size} are free again.").format(name=model.title, size=size_of(freed)))
                self._read()
        except HychatError as error:
            self.tell_error(error)
        except OSError as error:
            message = _("{title} cannot be deleted: {reason}.")
            self.say(message.format(title=model.title, reason=error.strerror or error))


def _installed(name: str, model: ListedModel | None) -> str | None:
    """The name to talk to a model by, where it is here; a path is made absolute.

    Raises:
        ModelNotFound: There is no such file.
        UsageError: A name of the hub has another form.
    """
    if model is not None:
        return name if model.is_installed else None
    if not is_reference(name):
        return locate(name).path
    try:
        locate(name)
    except ModelNotFound:
        return None
    return name


def _looked_up(name: str, endpoint: str) -> Iterator[Wanted]:
    """What there is to fetch; for a thread."""
    check_online()
    yield wanted(name, endpoint)
