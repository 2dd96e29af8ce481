"""`hychat history`: the chats on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import typed
from hychat.cli.commands import Command, Group
from hychat.cli.output import Output
from hychat.domain.text import printable, readable
from hychat.messages import _, ngettext
from hychat.paths import history_file, states_folder

if TYPE_CHECKING:
    from hychat.history.results import ConversationSummary, SearchHit
    from hychat.history.store import HistoryStore

app = typer.Typer(
    name="history",
    cls=Group,
    help=_("List, search, show and export chats."),
    rich_markup_mode=None,
    add_completion=False,
)


class ExportFormat(StrEnum):
    """What a chat can be written as."""

    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


_argument = partial(typer.Argument, parser=readable)
_Id = Annotated[
    str, _argument(metavar=_("ID"), help=_("A chat's id, or its beginning."), autocompletion=typed.chat_ids)
]
_Ids = Annotated[
    list[str], _argument(metavar=_("ID"), help=_("Ids of chats, or their beginnings."), autocompletion=typed.chat_ids)
]
_Words = Annotated[list[str], _argument(metavar=_("WORD"), help=_("Words that must all occur."))]
_Title = Annotated[list[str], _argument(metavar=_("TITLE"), help=_("The new title."))]
_Limit = Annotated[int, typer.Option("-l", "--limit", help=_("How many at most."), metavar=_("NUMBER"), min=1)]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]
_Format = Annotated[
    ExportFormat,
    typer.Option(
        "--format", help=_("Markdown, an HTML page, or JSON with every branch and figure."), case_sensitive=False
    ),
]


@app.command("list", cls=Command, help=_("List chats, newest first."))
def list_(*, limit: _Limit = 20, as_json: _Json = False) -> None:
    """A line for each chat."""
    output = Output.of_process()
    with _history() as history:
        chats = history.recent(limit)
    if as_json:
        output.json([_summary_as_json(chat) for chat in chats])
    elif chats:
        output.text("\n".join(summary_line(chat) for chat in chats))
    else:
        output.note(_("There are no chats yet."))


@app.command(cls=Command, help=_("Find chats by words in questions, answers and titles."))
def search(words: _Words, *, limit: _Limit = 20, as_json: _Json = False) -> None:
    """A line for each message found; exit code 1 where nothing was."""
    output = Output.of_process()
    with _history() as history:
        hits = history.search(" ".join(words), limit)
    if as_json:
        output.json([_hit_as_json(hit) for hit in hits])
    elif hits:
        output.text("\n".join(_hit_line(hit) for hit in hits))
    if not hits:
        output.note(_("Nothing was found."))
        raise typer.Exit(1)


@app.command(cls=Command, help=_("Show a chat."))
def show(chat: _Id, *, as_json: _Json = False) -> None:
    """As Markdown, rendered on a terminal."""
    _write(chat, ExportFormat.JSON if as_json else ExportFormat.MARKDOWN, is_rendered=True)


@app.command(cls=Command, help=_("Write a chat to stdout, for a file."))
def export(chat: _Id, *, format_: _Format = ExportFormat.MARKDOWN) -> None:
    """As it is, never rendered."""
    _write(chat, format_, is_rendered=False)


@app.command(cls=Command, help=_("Give a chat another title."))
def rename(chat: _Id, title: _Title) -> None:
    """Says what it is now."""
    with _history() as history:
        summary = history.rename(chat, printable(" ".join(" ".join(title).split())))
    Output.of_process().note(_("{id} is now: {title}").format(id=summary.id, title=summary.title))


@app.command(cls=Command, help=_("Delete chats for good."))
def rm(chats: _Ids) -> None:
    """Says what was deleted; an id that is not known stops it."""
    from hychat.history.states import forget_state

    output = Output.of_process()
    with _history() as history:
        for chat in chats:
            summary = history.delete(chat)
            forget_state(states_folder(), summary.id)
            output.note(_("Deleted {id}: {title}").format(id=summary.id, title=summary.title))


def _write(chat: str, format_: ExportFormat, *, is_rendered: bool) -> None:
    from hychat.session.export import to_html, to_json, to_markdown

    output = Output.of_process()
    with _history() as history:
        conversation = history.load(chat)
    match format_:
        case ExportFormat.JSON:
            output.text(to_json(conversation))
        case ExportFormat.HTML:
            output.text(to_html(conversation))
        case ExportFormat.MARKDOWN if is_rendered:
            output.answer(to_markdown(conversation))
            output.end()
        case ExportFormat.MARKDOWN:
            output.text(to_markdown(conversation))


@contextmanager
def _history() -> "Iterator[HistoryStore]":
    from hychat.history.store import HistoryStore

    history = HistoryStore(os.fspath(history_file()))
    try:
        yield history
    finally:
        history.close()


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _messages(count: int) -> str:
    return ngettext("{count} message", "{count} messages", count).format(count=count)


def summary_line(chat: "ConversationSummary") -> str:
    """A chat on one line, its id first."""
    return f"{chat.id}  {_local(chat.updated)}  {chat.title}  ({chat.model}, {_messages(chat.message_count)})"


def _summary_as_json(chat: "ConversationSummary") -> dict[str, object]:
    return {
        "id": chat.id,
        "title": chat.title,
        "model": chat.model,
        "created": chat.created.isoformat(),
        "updated": chat.updated.isoformat(),
        "messages": chat.message_count,
    }


def _hit_line(hit: "SearchHit") -> str:
    return f"{hit.conversation.id}  {_local(hit.moment)}  {hit.snippet}"


def _hit_as_json(hit: "SearchHit") -> dict[str, object]:
    return {
        "conversation": _summary_as_json(hit.conversation),
        "message": hit.message_id,
        "role": hit.role,
        "moment": hit.moment.isoformat(),
        "snippet": hit.snippet,
        "spans": [list(span) for span in hit.spans],
    }
