"""Which conversation a typed id means."""

import sqlite3
from typing import Final

from hychat.domain.errors import ConversationNotFound
from hychat.messages import _

PREFIX_CHARACTERS: Final = 4
"""The shortest beginning of an id that stands for it."""
MOST_NAMED: Final = 5
"""Conversations named in a hint."""

_CANDIDATES: Final = """
    SELECT id, title FROM conversations WHERE id = :typed OR (length(:typed) >= :least AND instr(id, :typed) = 1)
    ORDER BY updated DESC, row DESC
"""
_NAMES: Final = "SELECT id, title FROM conversations ORDER BY updated DESC, row DESC"


def resolve(connection: sqlite3.Connection, typed: str) -> str:
    """The id that was typed whole, or the only one that begins so.

    Raises:
        ConversationNotFound: There is none, or there are several; the hint names them, or the nearest.
    """
    titles = dict(connection.execute(_CANDIDATES, {"typed": typed, "least": PREFIX_CHARACTERS}).fetchall())
    if typed in titles:
        return typed
    if len(titles) == 1:
        return str(next(iter(titles)))
    if titles:
        raise ConversationNotFound(
            _("Several conversations have an id that begins with {prefix}.").format(prefix=typed),
            hint=_("Type more of one of these: {conversations}.").format(conversations=_listed(titles)),
        )
    raise ConversationNotFound(
        _("No conversation has the id {id}.").format(id=typed),
        hint=_not_found_hint(typed, dict(connection.execute(_NAMES).fetchall())),
    )


def _not_found_hint(typed: str, titles: dict[str, str]) -> str:
    if not titles:
        return _("No conversation is saved yet.")
    if len(typed) < PREFIX_CHARACTERS:
        return _("Type at least {count} characters of the id; `hychat history list` shows them.").format(
            count=PREFIX_CHARACTERS
        )
    import difflib

    id_by_beginning = {conversation_id[: len(typed)]: conversation_id for conversation_id in reversed(titles)}
    nearest = [id_by_beginning[near] for near in difflib.get_close_matches(typed, id_by_beginning, n=MOST_NAMED)]
    if not nearest:
        return _("`hychat history list` shows all of them.")
    return _("Nearest: {conversations}; `hychat history list` shows all of them.").format(
        conversations=_listed({near: titles[near] for near in nearest})
    )


def _listed(titles: dict[str, str]) -> str:
    names = (f"{conversation_id} ({title})" if title else conversation_id for conversation_id, title in titles.items())
    return ", ".join([*names][:MOST_NAMED])
