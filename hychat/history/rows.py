"""Rows of the tables from and to domain values.

The readers raise KeyError, TypeError or ValueError for a row that this version did not write.
"""

import json
from collections.abc import Sequence
from typing import Any

from hychat.domain import codec
from hychat.domain.choices import Style
from hychat.domain.generation import StopReason
from hychat.domain.message import Conversation, Message, Role
from hychat.history.results import ConversationSummary, SearchHit
from hychat.history.search import fold, snippet

Row = Sequence[Any]


def conversation_to_columns(conversation: Conversation) -> dict[str, str | None]:
    """The columns of a conversation by name, but for `updated`."""
    return {
        "id": conversation.id,
        "title": utf8(conversation.title),
        "model": utf8(conversation.model),
        "system": utf8(conversation.system),
        "created": codec.moment_to_json(conversation.created),
        "tip": conversation.tip,
    }


def conversation_from_rows(row: Row, messages: Sequence[Row]) -> Conversation:
    """From id, title, model, system, created, tip, and the rows of the messages in their order."""
    conversation_id, title, model, system, created, tip = row
    return Conversation(
        id=conversation_id,
        title=title,
        model=model,
        system=system,
        created=codec.moment_from_json(created),
        tip=tip,
        messages=tuple(message_from_row(message) for message in messages),
    )


def message_to_row(conversation_id: str, message: Message) -> Row:
    """Conversation, id, parent, role, created, style, stop, receipt, folded, parts."""
    return (
        conversation_id,
        message.id,
        message.parent,
        message.role,
        codec.moment_to_json(message.created),
        message.style,
        message.stop,
        None if message.receipt is None else _json(codec.receipt_to_json(message.receipt)),
        utf8(fold(message.text)),
        _json(codec.parts_to_json(message.parts)),
    )


def message_from_row(row: Row) -> Message:
    """From id, parent, role, created, style, stop, receipt, parts."""
    message_id, parent, role, created, style, stop, receipt, parts = row
    return Message(
        id=message_id,
        parent=parent,
        role=Role(role),
        created=codec.moment_from_json(created),
        style=codec.name_from_json(Style, style),
        stop=codec.name_from_json(StopReason, stop),
        receipt=None if receipt is None else codec.receipt_from_json(json.loads(receipt)),
        parts=codec.parts_from_json(json.loads(parts)),
    )


def summary_from_row(row: Row) -> ConversationSummary:
    """From id, title, model, created, updated, message_count."""
    conversation_id, title, model, created, updated, message_count = row
    return ConversationSummary(
        id=conversation_id,
        title=title,
        model=model,
        created=codec.moment_from_json(created),
        updated=codec.moment_from_json(updated),
        message_count=message_count,
    )


def message_hit_from_row(row: Row, words: tuple[str, ...]) -> SearchHit:
    """From a summary's columns, then the message's id, role, created, parts."""
    *summary, message_id, role, created, parts = row
    message = Message(role=Role(role), parts=codec.parts_from_json(json.loads(parts)))
    line, spans = snippet(message.text, words)
    moment = codec.moment_from_json(created)
    return SearchHit(summary_from_row(summary), message_id, message.role, moment, line, spans)


def title_hit_from_row(row: Row, words: tuple[str, ...]) -> SearchHit:
    """From a summary's columns."""
    summary = summary_from_row(row)
    line, spans = snippet(summary.title, words)
    return SearchHit(summary, None, None, summary.updated, line, spans)


def utf8(text: str) -> str:
    """The text as UTF-8 can hold it: a lone surrogate, as undecodable input leaves behind, becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(value: codec.JsonObject | list[codec.JsonObject]) -> str:
    return utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
