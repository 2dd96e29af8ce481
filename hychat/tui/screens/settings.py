"""Every key of the config file with what it is for; a change is saved at once, and the file's comments stay."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from hychat.config.help import help_of
from hychat.config.load import Said, load, what_is_said
from hychat.config.save import set_value, unset
from hychat.config.schema import KEYS, Choice, Key, Truth
from hychat.domain.errors import HychatError
from hychat.messages import _
from hychat.paths import config_file
from hychat.tui.desk import Desk
from hychat.tui.screens.panel import Panel
from hychat.tui.widgets.picklist import Item, PickList


class SettingsScreen(Panel[bool]):
    """Shows and changes the settings. Its result is whether one was changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "change(-1)", priority=True),
        Binding("right", "change(1)", priority=True),
        Binding("ctrl+x", "forget", priority=True),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._said: dict[str, Said] = {}
        self._edited: Key | None = None
        """The key whose value is being written."""
        self._has_changed = False

    def heading(self) -> str:
        """As `Panel`."""
        return _("Settings")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search")

    def keys(self) -> str:
        """As `Panel`."""
        return _("Enter: change · Left, Right: other choice · Ctrl+X: back to the default · Esc: back to the chat")

    def on_mount(self) -> None:
        """Add the field for a value."""
        field = Input(id="value", compact=True)
        field.display = False
        self.query_one("#panel", Vertical).mount(field, after="#filter")
        super().on_mount()

    def fill(self, words: str) -> None:
        """As `Panel`; a file that cannot be read is told under the list."""
        try:
            self._said = what_is_said(config_file(), os.environ)
        except HychatError as error:
            self._tell(error)
        super().fill(words)

    def items(self, words: str) -> Sequence[Item]:
        """As `Panel`."""
        wanted = words.lower().split()
        found = [_item(key, self._said.get(key.name)) for key in KEYS.values()]
        return [item for item in found if all(word in f"{item.title} {item.detail}".lower() for word in wanted)]

    # Changing

    @property
    def _key(self) -> Key | None:
        item = self.list.item
        return KEYS[item.key] if item else None

    def action_change(self, step: int) -> None:
        """Take the next of a few choices, or the one before."""
        key = self._key
        choices = _choices(key) if key else ()
        if key is None or not choices:
            return
        said = self._said.get(key.name)
        now = _text(said.value if said else key.default)
        self._save(key, choices[(choices.index(now) + step) % len(choices)] if now in choices else choices[0])

    @on(PickList.Chosen)
    def _begin(self) -> None:
        """Take the next choice, or write a value."""
        key = self._key
        if key is None:
            return
        if _choices(key):
            self.action_change(1)
            return
        said = self._said.get(key.name)
        self._edited = key
        field = self.query_one("#value", Input)
        field.value, field.placeholder = _text(said.value) if said else "", key.name
        self._show_field(is_shown=True)

    def _show_field(self, *, is_shown: bool) -> None:
        words, field = self.query_one("#filter", Input), self.query_one("#value", Input)
        words.display, field.display = not is_shown, is_shown
        (field if is_shown else words).focus()

    @on(Input.Submitted, "#value")
    def _take_value(self, event: Input.Submitted) -> None:
        key = self._edited
        if key is not None and self._save(key, event.value):
            self._edited = None
            self._show_field(is_shown=False)

    def action_forget(self) -> None:
        """Back to the default."""
        if self._key is not None and self._edited is None:
            self._save(self._key, "")

    def _save(self, key: Key, text: str) -> bool:
        """Write a value into the file, nothing for an empty one; whether that was possible."""
        try:
            if text.strip():
                set_value(config_file(), key.name, text)
            else:
                unset(config_file(), key.name)
            self._desk.take_config(load(config_file(), os.environ), key.name)
        except HychatError as error:
            self._tell(error)
            return False
        self._has_changed = True
        self.note("")
        self.fill(self.query_one("#filter", Input).value)
        said = self._said.get(key.name)
        if said is not None and said.origin != "file":
            self.note(_("Saved, but {variable} says otherwise as long as it is set.").format(variable=said.origin))
        return True

    def _tell(self, error: HychatError) -> None:
        self.note("\n".join(text for text in (error.message, error.hint) if text))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a value or a word is written, Left and Right move the caret."""
        if action == "change" and (self._edited is not None or self.query_one("#filter", Input).value):
            return False
        if action == "list" and self._edited is not None:
            return False
        return super().check_action(action, parameters)

    def action_leave(self) -> None:
        """Leave the value as it was; else as `Panel`."""
        words = self.query_one("#filter", Input)
        if self._edited is not None:
            self._edited = None
            self._show_field(is_shown=False)
        elif words.value:
            words.value = ""
        else:
            self.dismiss(self._has_changed)


def _choices(key: Key) -> tuple[str, ...]:
    """What the key may be, where that is one of a few words."""
    if isinstance(key.kind, Choice):
        return (*([""] if key.default is None else []), *key.kind.values)
    if isinstance(key.kind, Truth):
        return ("", "true", "false") if key.default is None else ("true", "false")
    return ()


def _item(key: Key, said: Said | None) -> Item:
    value = _text(said.value if said else key.default) or _("not set")
    origin = f" ({said.origin})" if said and said.origin != "file" else ""
    return Item(key.name, key.name, facts=f"{' '.join(value.split())[:40]}{origin}", detail=help_of(key.name))


def _text(value: Any) -> str:
    """As the config file would have it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
