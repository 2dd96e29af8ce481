"""All chats: found by a word, opened where they stood, renamed, written to a file, deleted and taken back."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from hychat.domain.errors import HychatError
from hychat.domain.message import Conversation
from hychat.domain.text import printable
from hychat.history.states import forget_state
from hychat.history.store import HistoryStore
from hychat.messages import _
from hychat.paths import states_folder
from hychat.tui.chat_list import ListedChat, Listing, list_chats
from hychat.tui.desk import Desk
from hychat.tui.exporting import export
from hychat.tui.screens.export import ExportScreen
from hychat.tui.screens.panel import Panel
from hychat.tui.widgets.picklist import PickList

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Deleted:
    """What Ctrl+Z takes back."""

    conversation: Conversation
    was_open: bool
    """Whether it lay on the desk."""


class ChatsScreen(Panel[str]):
    """The history. Its result is None where the desk has the chat it had, else the message to be shown, or "" for the end.

    The history is used in threads only: it may be long, and another process may keep it waiting.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2,ctrl+e", "rename", priority=True),
        Binding("ctrl+x", "delete", priority=True),
        Binding("delete", "delete_from_list", priority=True),
        Binding("ctrl+z", "undo", priority=True),
        Binding("ctrl+s", "export", priority=True),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._chats: dict[str, ListedChat] = {}
        """What is listed, by its id."""
        self._words = ""
        self._is_stale = False
        """Whether the list is to be read anew."""
        self._is_reading = False
        self._wanted = ""
        """The chat that is to be marked once it is listed."""
        self._gone: set[str] = set()
        """Chats that are being deleted, or are: a list that was read before may still have them."""
        self._deleted: list[_Deleted] = []
        self._renamed: ListedChat | None = None
        """The one whose title is being written."""
        self._writing = asyncio.Lock()
        """Held while the history is changed: one change after another, in the order of the keys."""
        self._is_other_chat = False
        """Whether the desk has another chat than before."""

    def on_mount(self) -> None:
        """Add the field for a new title, and fill the list."""
        title = Input(placeholder=_("New title"), id="title", compact=True)
        title.display = False
        self.query_one("#panel", Vertical).mount(title, after="#filter")
        super().on_mount()

    def heading(self) -> str:
        """As `Panel`."""
        return _("Chats")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search titles and messages")

    def keys(self) -> str:
        """As `Panel`."""
        if self._renamed is not None:
            return _("Enter: keep the title · Esc: leave it as it was")
        return _("Enter: open · F2: rename · Ctrl+X: delete · Ctrl+S: export · Esc: back")

    # Telling

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except HychatError as error:
            self.tell_error(error)

    async def _ask(self, job: Callable[[HistoryStore], _T]) -> _T:
        """Have the history do something, in a thread."""
        return await asyncio.to_thread(job, self.desk.runtime.history())

    # The list

    def fill(self, words: str) -> None:
        """As `Panel`; shown as soon as it is found."""
        self.note("")
        self._words = words
        self._read_anew()

    def _read_anew(self) -> None:
        self._is_stale = True
        if not self._is_reading:
            self._is_reading = True
            self._read()

    @work
    async def _read(self) -> None:
        """Search for what is typed by now; what was typed while a search ran, but for the last, is not searched for."""
        try:
            while self._is_stale:
                self._is_stale = False
                with self._errors_told():
                    words, open_id, today = self._words, self.desk.conversation.id, datetime.now().astimezone().date()
                    self._show(await self._ask(lambda history: list_chats(history, words, open_id, today)))  # noqa: B023 - used at once
        finally:
            self._is_reading = False

    def _show(self, listing: Listing) -> None:
        self._chats = {each.chat.id: each for each in listing.chats if each.chat.id not in self._gone}
        self.list.show([each.item for each in self._chats.values()])
        if self._wanted in self._chats:
            self.list.mark(self._wanted)
            self._wanted = ""
        if not listing.chats:
            self.say(_("Nothing was found.") if self._words.strip() else _("There are no chats yet."))
        elif not listing.is_whole:
            self.say(_("These are the newest; another word finds older ones."))

    @property
    def _marked(self) -> ListedChat | None:
        item = self.list.item
        return self._chats.get(item.key) if item else None

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a title is written, its field has the keys; Del is the filter's where something stands behind the caret."""
        if action in {"rename", "delete", "delete_from_list", "undo", "export", "list"} and self._renamed is not None:
            return False
        if action == "delete_from_list":
            words = self.query_one("#filter", Input)
            return words.selection.is_empty and words.cursor_position == len(words.value)
        return super().check_action(action, parameters)

    def action_leave(self) -> None:
        """Leave the title as it was; else as `Panel`."""
        words = self.query_one("#filter", Input)
        if self._renamed is not None:
            self._write_title(None)
        elif words.value:
            words.value = ""
        else:
            self.dismiss("" if self._is_other_chat else None)

    # Opening

    @on(PickList.Chosen)
    @work(exclusive=True, group="open")
    async def _open(self, event: PickList.Chosen) -> None:
        chosen = self._chats.get(event.item.key)
        if chosen is None:
            return
        with self._errors_told():
            conversation = await self._conversation(chosen)
            message = conversation.find(chosen.message) if chosen.message else None
            if message is not None and all(each.id != message.id for each in conversation.branch()):
                conversation = conversation.at(message)
            if conversation is not self.desk.conversation:
                self.desk.open(conversation)
                self._is_other_chat = True
            self.dismiss(chosen.message or ("" if self._is_other_chat else None))

    async def _conversation(self, chosen: ListedChat) -> Conversation:
        """The one on the desk as it lies there, others from the history."""
        if chosen.chat.id == self.desk.conversation.id:
            return self.desk.conversation
        return await self._ask(lambda history: history.load(chosen.chat.id))

    # Renaming

    def action_rename(self) -> None:
        """Write a new title in the place of the filter."""
        if self._marked is not None:
            self.query_one("#title", Input).value = self._marked.chat.title
            self._write_title(self._marked)

    def _write_title(self, chosen: ListedChat | None) -> None:
        """Show the field for the title of a chat, or the filter again."""
        self._renamed = chosen
        title, words = self.query_one("#title", Input), self.query_one("#filter", Input)
        title.display, words.display = chosen is not None, chosen is None
        (words if chosen is None else title).focus()
        self.query_one("#keys", Static).update(self.keys())

    @on(Input.Submitted, "#title")
    @work
    async def _keep_title(self, event: Input.Submitted) -> None:
        chosen, title = self._renamed, " ".join(printable(event.value).split())
        self._write_title(None)
        if chosen is None or not title or title == chosen.chat.title:
            return
        with self._errors_told():
            async with self._writing:
                await self._ask(lambda history: history.rename(chosen.chat.id, title))
            self.say(_("Renamed to “{title}”.").format(title=title))
            self._read_anew()
            if chosen.chat.id == self.desk.conversation.id:
                self.desk.session.conversation = replace(self.desk.conversation, title=title)

    # Deleting

    def action_delete_from_list(self) -> None:
        """As Ctrl+X."""
        self.action_delete()

    @work
    async def action_delete(self) -> None:
        """Delete the marked chat at once; Ctrl+Z takes it back."""
        chosen = self._marked
        if chosen is None:
            return
        self._take_from_list(chosen)
        try:
            async with self._writing:
                deleted = await self._ask(lambda history: _delete(history, chosen.chat.id))
        except HychatError as error:
            self._gone.discard(chosen.chat.id)
            self._read_anew()
            self.tell_error(error)
            return
        was_open = chosen.chat.id == self.desk.conversation.id
        self._deleted.append(_Deleted(deleted, was_open))
        self.say(_("“{title}” is deleted; Ctrl+Z takes it back.").format(title=chosen.item.title))
        if was_open:
            self._lay(None)

    def _take_from_list(self, chosen: ListedChat) -> None:
        """The bar goes to the next one, or to the one before."""
        self._gone.add(chosen.chat.id)
        at = self.list.marked
        self.list.action_step(1)
        if self.list.marked == at:
            self.list.action_step(-1)
        self._chats.pop(chosen.chat.id, None)
        self.list.show([each.item for each in self._chats.values()])

    @work
    async def action_undo(self) -> None:
        """Take back what was deleted last."""
        with self._errors_told():
            async with self._writing:
                if not self._deleted:
                    return
                last = self._deleted[-1]
                await self._ask(lambda history: history.restore(last.conversation))
                self._deleted.pop()
            self._gone.discard(last.conversation.id)
            self._wanted = last.conversation.id
            self.say(_("“{title}” is back.").format(title=last.conversation.title or _("Conversation")))
            if last.was_open:
                self._lay(last.conversation)
            self._read_anew()

    def _lay(self, conversation: Conversation | None) -> None:
        """Have another chat on the desk, or a new one."""
        self._is_other_chat = True
        with self._errors_told():
            self.desk.open(conversation)

    # Exporting

    def action_export(self) -> None:
        """Choose a format, and write the marked chat."""
        chosen = self._marked
        if chosen is not None:
            self.app.push_screen(ExportScreen(chosen.chat.id), lambda suffix: self._export(chosen, suffix))

    def _export(self, chosen: ListedChat, suffix: str | None) -> None:
        if suffix:
            self._write_file(chosen, suffix)

    @work
    async def _write_file(self, chosen: ListedChat, suffix: str) -> None:
        with self._errors_told():
            conversation = await self._conversation(chosen)
            path = await asyncio.to_thread(export, conversation, suffix)
            self.say(_("Written to {path}.").format(path=path))


def _delete(history: HistoryStore, conversation_id: str) -> Conversation:
    """Delete a chat, and give it as it was."""
    conversation = history.load(conversation_id)
    history.delete(conversation_id)
    forget_state(states_folder(), conversation_id)
    return conversation
