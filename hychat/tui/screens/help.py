"""Keys and commands, made from the commands themselves."""

from collections.abc import Sequence

from textual import on

from hychat.messages import _
from hychat.tui.commands import COMMANDS, Command, Group, group_title
from hychat.tui.keys import key_name
from hychat.tui.screens.panel import Panel
from hychat.tui.widgets.picklist import Item, PickList


class HelpScreen(Panel[Command]):
    """All commands; the chosen one is given."""

    def heading(self) -> str:
        """As `Panel`."""
        return _("Keys and commands")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search")

    def keys(self) -> str:
        """As `Panel`."""
        return _("Enter: do it · Esc: back to the chat")

    def items(self, words: str) -> Sequence[Item]:
        """As `Panel`."""
        wanted = words.lower().split()
        found: list[Item] = []
        for group in Group:
            items = [_item(command) for command in COMMANDS.values() if command.group is group]
            rows = [item for item in items if all(word in _searched(item) for word in wanted)]
            if rows:
                found += [*([Item(f"-{group.value}", "", is_heading=True)] if found else []),
                          Item(group.value, group_title(group), is_heading=True), *rows]  # fmt: skip
        if not wanted:
            found += _more_keys()
        return found

    @on(PickList.Chosen)
    def _give(self, event: PickList.Chosen) -> None:
        self.dismiss(COMMANDS.get(event.item.key))


def _item(command: Command) -> Item:
    word = f"/{command.name} {command.argument}".rstrip()
    return Item(command.name, command.label(), facts=f"{word}  {key_name(command.key)}".rstrip())


def _searched(item: Item) -> str:
    return f"{item.title} {item.facts}".lower()


def _more_keys() -> list[Item]:
    """Keys that are no commands."""
    keys = (
        ("Enter", _("Send")),
        ("Shift+Enter, Alt+Enter, Ctrl+J", _("Begin a new line")),
        ("Up, Down", _("Walk through what was sent before")),
        ("Alt+Up, Alt+Down", _("Change an earlier question")),
        ("Tab", _("Complete a command or a file's name")),
        ("Esc", _("Stop the answer; what was written stays")),
        ("Ctrl+C", _("Copy what is selected, else clear the prompt, else stop, else leave")),
        ("Ctrl+G", _("Write in your own editor")),
        ("Ctrl+T", _("Show the last thought, or fold it")),
        ("PageUp, PageDown", _("Scroll")),
        ("Ctrl+End", _("Go to the end, and follow it")),
    )
    head = (Item("-keys", "", is_heading=True), Item("keys", _("Keys of the chat"), is_heading=True))
    return [*head, *(Item(f"key {key}", label, facts=key, is_muted=False) for key, label in keys)]
