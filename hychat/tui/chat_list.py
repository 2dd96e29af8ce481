"""The chats of the history as rows of a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from rich.cells import cell_len

from hychat.domain.text import printable
from hychat.history.results import ConversationSummary, SearchHit
from hychat.history.store import HistoryStore
from hychat.messages import _, ngettext
from hychat.tui.widgets.picklist import Item

MOST_HITS: Final = 2_000
"""Messages and titles that one search looks at; of several in a chat, the newest is shown."""


@dataclass(frozen=True, slots=True)
class ListedChat:
    """A chat, and how it is shown."""

    chat: ConversationSummary
    message: str | None
    """Id of the message in which the words were found; None where the chat itself is meant."""
    item: Item


@dataclass(frozen=True, slots=True)
class Listing:
    """All chats, or those in which some words were found, newest first."""

    chats: tuple[ListedChat, ...]
    is_whole: bool
    """Whether there are no more than these."""


def list_chats(history: HistoryStore, words: str, open_id: str, today: date) -> Listing:
    """What the history has for the words; all for none.

    Raises:
        HistoryError: The history cannot be read.
    """
    is_search = bool(words.strip())
    hits = history.search(words, MOST_HITS) if is_search else [_whole(chat) for chat in history.recent()]
    newest: dict[str, SearchHit] = {}
    for hit in hits:
        newest.setdefault(hit.conversation.id, hit)
    facts = [_facts(hit.conversation, open_id, today) for hit in newest.values()]
    widths = [max(map(cell_len, column)) for column in zip(*facts, strict=True)]
    chats = (
        ListedChat(hit.conversation, hit.message_id, _item(hit, _in_columns(of_hit, widths)))
        for hit, of_hit in zip(newest.values(), facts, strict=True)
    )
    return Listing(tuple(chats), is_whole=not is_search or len(hits) < MOST_HITS)


def _whole(chat: ConversationSummary) -> SearchHit:
    return SearchHit(chat, None, None, chat.updated, "", ())


def _item(hit: SearchHit, facts: str) -> Item:
    chat = hit.conversation
    detail, found = _cleaned(hit) if hit.message_id else ("", ())
    return Item(chat.id, chat.title or _("Conversation"), facts=facts, detail=detail, found=found)


def _cleaned(hit: SearchHit) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The snippet without what a terminal would obey, and where the matches stand then."""
    places = tuple(
        (len(printable(hit.snippet[:first])), len(printable(hit.snippet[:last]))) for first, last in hit.spans
    )
    return printable(hit.snippet), places


def _facts(chat: ConversationSummary, open_id: str, today: date) -> tuple[str, str, str]:
    count = ngettext("{count} message", "{count} messages", chat.message_count).format(count=chat.message_count)
    moment = _("open now") if chat.id == open_id else when(chat.updated, today)
    return chat.model.rpartition("/")[2], count, moment


def _in_columns(facts: Sequence[str], widths: Sequence[int]) -> str:
    """One under another, at the right edge: the first needs no room before it."""
    first, *rest = facts
    padded = (" " * (width - cell_len(fact)) + fact for fact, width in zip(rest, widths[1:], strict=True))
    return " · ".join([*([first] if first else []), *padded])


def when(moment: datetime, today: date) -> str:
    """The time of today's, the day of others, by the clock of this machine."""
    local = moment.astimezone()
    match (today - local.date()).days:
        case 0:
            return _("today {time}").format(time=f"{local:%H:%M}")
        case 1:
            return _("yesterday")
        case _:
            return f"{local:%Y-%m-%d}"
