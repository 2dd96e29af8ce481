"""What the plain prompt tells where the whole screen opens another one: lists and lines, nothing to be painted."""

from collections.abc import Iterator
from typing import Final

from hychat.domain.errors import UsageError
from hychat.domain.message import Role
from hychat.messages import _, ngettext
from hychat.safety.telling import level_name
from hychat.tui.commands import COMMANDS, Command, Group, group_title
from hychat.tui.desk import Desk
from hychat.tui.effects import Place

_CHATS_SHOWN: Final = 20


def about(place: Place, desk: Desk, columns: int) -> str:
    """What a screen of the TUI would show, on a terminal of so many columns.

    Raises:
        HychatError: It cannot be read.
    """
    match place:
        case Place.HELP:
            return "\n".join(_help())
        case Place.CHATS:
            return _chats(desk)
        case Place.MODELS:
            return _models(columns)
        case Place.SETTINGS:
            return _(
                "All settings: hychat config show. To change one for good: hychat config set KEY VALUE. "
                "For this chat: /set KEY VALUE."
            )
        case Place.THEMES:
            return about_themes()
        case Place.EXPERTS:
            return _experts(desk, columns)


def _experts(desk: Desk, columns: int) -> str:
    """The map of what was counted since it was first asked for."""
    from hychat.engine.experts import heat_map, in_words

    use = desk.engine.watch_experts()
    if not use.layers:
        return _("From now on it is counted which experts the model chooses; ask something, then /experts again.")
    return "\n".join([*(row.shaded() for row in heat_map(use, columns)), *in_words(use)])


def about_themes() -> str:
    """Why there are none here."""
    return _("The terminal's own colours are used here; themes are for the whole screen.")


def choices(desk: Desk) -> str:
    """What the next answer is made with."""
    return _("Model: {model}. Style: {style}. Temperature: {temperature:g}. Safety: {level}.").format(
        model=desk.model_name,
        style=desk.style or _("no style"),
        temperature=desk.temperature,
        level=level_name(desk.safety),
    )


def where_it_stands(desk: Desk) -> str:
    """Which chat lies on the desk."""
    count = len(desk.branch)
    if not count:
        return _("The chat begins anew.")
    return ngettext("{title} ({id}), {count} message.", "{title} ({id}), {count} messages.", count).format(
        title=desk.conversation.title or _("Conversation"), id=desk.conversation.id, count=count
    )


def last_words(desk: Desk) -> tuple[str, str]:
    """The last question and its answer; empty where there is none."""
    said = {Role.USER: "", Role.ASSISTANT: ""}
    for role in said:
        try:
            said[role] = desk.last(role).text
        except UsageError:
            continue
    return said[Role.USER], said[Role.ASSISTANT]


def _help() -> Iterator[str]:
    for group in Group:
        yield f"{group_title(group)}:"
        yield from (_line(command) for command in COMMANDS.values() if command.group is group)
    yield _("A backslash at the end of a line begins a new line. Tab completes a command, or a file's name behind @.")
    yield _("Ctrl+C stops the answer, and what was written stays. Ctrl+D leaves hychat.")


def _line(command: Command) -> str:
    words = f"/{command.name} {command.argument}".rstrip()
    return f"  {words}  {command.label()}"


def _chats(desk: Desk) -> str:
    from hychat.cli.history import summary_line  # brings Typer

    chats = desk.runtime.history().recent(_CHATS_SHOWN)
    if not chats:
        return _("There are no chats yet.")
    return "\n".join(
        [*map(summary_line, chats), _("To open one: /resume ID. To search all: hychat history search WORD.")]
    )


def _models(columns: int) -> str:
    from hychat.cli.models import listing

    return "\n".join([listing(columns), _("To talk to another one: /model NAME.")])
