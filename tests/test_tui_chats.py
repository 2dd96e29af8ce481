"""The conversations screen: search, open, rename, delete and take back, export."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from hychat.config.schema import Config
from hychat.domain.message import Conversation, Message, Role, TextPart, now
from hychat.history.database import connect
from hychat.history.store import HistoryStore, _save
from hychat.messages import choose_language
from hychat.paths import history_file
from hychat.tui.app import HychatApp
from hychat.tui.chat_list import Listing, list_chats, when
from hychat.tui.entries import Answer, Question
from hychat.tui.exporting import export
from hychat.tui.screens import chats
from hychat.tui.screens.chat import ChatScreen
from hychat.tui.screens.chats import ChatsScreen
from tests.tui import ask, chat_of, rows, running, shown, until

TODAY = date(2026, 3, 4)


def chat(title: str, *texts: str, days_ago: int = 0, model: str = "echo") -> Conversation:
    """A chat in the history: users' and models' words in turn."""
    begun = now() - timedelta(days=days_ago)
    conversation = Conversation(title=title, model=model, created=begun)
    with_history = HistoryStore(str(history_file()))
    for turn, text in enumerate(texts):
        parent = conversation.messages[-1].id if conversation.messages else None
        role = (Role.USER, Role.ASSISTANT)[turn % 2]
        moment = begun + timedelta(milliseconds=turn)
        message = Message(role, (TextPart(text),), parent=parent, created=moment)
        with_history.save_message(conversation, message)
        conversation = conversation.with_message(message)
    with_history.close()
    return conversation


def saved() -> list[str]:
    """Titles in the history, newest first."""
    history = HistoryStore(str(history_file()))
    titles = [summary.title for summary in history.recent()]
    history.close()
    return titles


def three_chats() -> tuple[Conversation, ...]:
    """Of today, of yesterday, and older."""
    return (
        chat("Cooking rice", "Cooking rice", "Rinse it first, then add water."),
        chat("What is tea?", "What is tea?", "Leaves in hot water.", days_ago=1),
        chat("茶的种类", "茶的种类", "绿茶、红茶、白茶。", days_ago=40),
    )


@asynccontextmanager
async def panel(
    size: tuple[int, int] = (80, 24), config: Config | None = None
) -> AsyncIterator[tuple[HychatApp, Pilot[int], ChatsScreen]]:
    """The conversations screen, once it has read the history."""
    async with running(config=config, size=size) as (app, pilot):
        await pilot.press("ctrl+r")
        yield app, pilot, await chats_of(app, pilot)


async def chats_of(app: HychatApp, pilot: Pilot[int]) -> ChatsScreen:
    await until(pilot, lambda: isinstance(app.screen, ChatsScreen))
    assert isinstance(app.screen, ChatsScreen)
    screen = app.screen
    await until(pilot, lambda: not screen._is_reading and screen.list.size.height > 0)
    return screen


def titles(screen: ChatsScreen) -> list[str]:
    return [item.title for item in screen.list.items]


async def listed(pilot: Pilot[int], screen: ChatsScreen, *wanted: str) -> None:
    await until(pilot, lambda: titles(screen) == [*wanted] and not screen._is_reading)


async def search(pilot: Pilot[int], screen: ChatsScreen, words: str) -> None:
    screen.query_one("#filter", Input).value = words
    await until(pilot, lambda: screen._words == words and not screen._is_reading)


async def noted(pilot: Pilot[int], app: HychatApp, text: str) -> None:
    await until(pilot, lambda: text in " ".join(shown(app).split()))


def texts(app: HychatApp) -> list[str]:
    """Questions and answers in the transcript."""
    entries = chat_of(app).transcript.column.entries
    return [entry.message.text for entry in entries if isinstance(entry, Question | Answer) and entry.message]


# The list


async def test_chats_are_listed_newest_first_with_their_facts() -> None:
    three_chats()
    async with panel() as (app, _pilot, _screen):
        assert [row.split() for row in rows(app)[5:8]] == [
            ["▎", "Cooking", "rice", "echo", "·", "2", "messages", "·", "today", ANY_TIME],
            ["What", "is", "tea?", "echo", "·", "2", "messages", "·", "yesterday"],
            ["茶的种类", "echo", "·", "2", "messages", "·", f"{(now() - timedelta(days=40)).astimezone():%Y-%m-%d}"],
        ]


class AnyTime(str):
    """Equal to every time of day."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and len(other) == len("14:05")

    __hash__ = str.__hash__


ANY_TIME = AnyTime()


@pytest.mark.parametrize(
    ("days", "told"), [(0, "today 12:00"), (1, "yesterday"), (2, "2026-03-02"), (-1, "2026-03-05")]
)
def test_days_are_told_as_people_do(days: int, told: str) -> None:
    noon = datetime(2026, 3, 4, 12).astimezone()
    assert when((noon - timedelta(days=days)).astimezone(UTC), TODAY) == told


async def test_the_open_chat_is_marked_as_such() -> None:
    async with running() as (app, pilot):
        await ask(pilot, "hello there")
        await until(pilot, lambda: not app.desk.is_busy and len(app.desk.branch) == 2)
        await pilot.press("ctrl+r")
        await chats_of(app, pilot)
        assert rows(app)[5].endswith("open now")


@pytest.mark.parametrize("command", ["/chats", "/resume", "/history"])
async def test_a_command_opens_the_list(command: str) -> None:
    async with running() as (app, pilot):
        await ask(pilot, command)
        await chats_of(app, pilot)


async def test_an_empty_history_is_told() -> None:
    async with panel() as (app, _pilot, _screen):
        assert "There are no chats yet." in shown(app)


async def test_a_broken_history_is_told() -> None:
    history_file().parent.mkdir(parents=True)
    history_file().write_bytes(b"no database at all, but long enough to be read as one" * 30)
    async with panel() as (app, _pilot, _screen):
        assert "is damaged" in " ".join(shown(app).split())


async def test_a_history_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    three_chats()
    monkeypatch.setattr("hychat.history.database.BUSY_SECONDS", 0.01)
    async with panel() as (app, pilot, screen):
        other = connect(str(history_file()))
        other.execute("BEGIN IMMEDIATE")
        await pilot.press("ctrl+x")
        await noted(pilot, app, "in use by another process")
        other.close()
        await listed(pilot, screen, "Cooking rice", "What is tea?", "茶的种类")


# Searching


async def test_words_are_found_in_messages_and_shown_below_the_title() -> None:
    three_chats()
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "hot water")
        assert titles(screen) == ["What is tea?"]
        assert rows(app)[6].strip(" ▎") == "Leaves in hot water."


async def test_words_are_found_in_titles() -> None:
    conversation = chat("What is tea?", "Hello", "Hi")
    async with panel() as (_app, pilot, screen):
        await search(pilot, screen, "TEA")
        assert [(item.key, item.detail) for item in screen.list.items] == [(conversation.id, "")]


async def test_two_chinese_characters_are_enough() -> None:
    three_chats()
    async with panel() as (_app, pilot, screen):
        await search(pilot, screen, "白茶")
        assert titles(screen) == ["茶的种类"]


async def test_of_several_found_messages_the_newest_is_shown() -> None:
    chat("Talk", "first tea", "no", "second tea", "no")
    async with panel() as (_app, pilot, screen):
        await search(pilot, screen, "tea")
        assert [item.detail for item in screen.list.items] == ["second tea"]


async def test_a_list_that_is_not_whole_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    three_chats()
    monkeypatch.setattr("hychat.tui.chat_list.MOST_HITS", 1)
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "in")
        assert titles(screen) == ["Cooking rice"]
        assert "These are the newest; another word finds older ones." in shown(app)


async def test_a_match_far_in_a_narrow_row_is_kept_in_view() -> None:
    chat("长文", "茶" * 38 + "乌龙" + "茶" * 60, "好")
    async with panel(size=(60, 18)) as (app, pilot, screen):
        await search(pilot, screen, "乌龙")
        assert "乌龙" in rows(app)[6]


async def test_the_match_is_painted_in_another_colour() -> None:
    chat("Talk", "some tea please", "no")
    async with panel() as (_app, pilot, screen):
        await search(pilot, screen, "tea")
        segments = {segment.text.strip(): segment.style for segment in screen.list.render_line(1)}
        assert segments["tea"] == screen.list.get_component_rich_style("picklist--found")


async def test_nothing_found_is_told_until_something_else_is_typed() -> None:
    three_chats()
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "zebra")
        assert "Nothing was found." in shown(app)
        await search(pilot, screen, "tea")
        assert "Nothing was found." not in shown(app)


async def test_escape_leaves_the_search_then_the_list() -> None:
    three_chats()
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "tea")
        await pilot.press("escape")
        await listed(pilot, screen, "Cooking rice", "What is tea?", "茶的种类")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))


async def test_typing_does_not_wait_for_a_search_in_ten_thousand_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    history = HistoryStore(str(history_file()))
    with history._transaction("IMMEDIATE") as connection:
        for number in range(10_000):
            message = Message(Role.USER, (TextPart(f"words {number}"),))
            _save(connection, Conversation(f"Chat {number}", "echo"), (message,), newest=message.created)
    history.close()
    async with panel() as (_app, pilot, screen):
        assert len(titles(screen)) == 10_000
        may_search = threading.Event()

        def held(history: HistoryStore, words: str, open_id: str, today: date) -> Listing:
            may_search.wait(20)
            return list_chats(history, words, open_id, today)

        monkeypatch.setattr(chats, "list_chats", held)
        await pilot.press("9", "9", "9", "9")
        assert screen.query_one("#filter", Input).value == "9999"
        may_search.set()
        await listed(pilot, screen, "Chat 9999")


# Opening


async def test_a_chat_is_opened_at_its_end() -> None:
    three_chats()
    async with panel() as (app, pilot, _screen):
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert texts(app) == ["What is tea?", "Leaves in hot water."]
        assert chat_of(app).transcript.is_following


async def test_a_chat_is_opened_where_it_stood() -> None:
    conversation = chat("Talk", "first", "one", "second", "two")
    with_history = HistoryStore(str(history_file()))
    with_history.save_position(conversation.standing_at(conversation.messages[1]))
    with_history.close()
    async with panel() as (app, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert texts(app) == ["first", "one"]


async def test_a_found_message_is_brought_to_the_top() -> None:
    chat("Long", *(f"line {number}" if number != 40 else "a needle" for number in range(120)))
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "needle")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert "a needle" in rows(app)[0]


async def test_a_message_found_on_another_branch_is_shown() -> None:
    conversation = chat("Talk", "first", "a needle")
    history = HistoryStore(str(history_file()))
    again = replace(conversation.messages[1], id="other", parts=(TextPart("hay"),), created=now())
    history.save_message(conversation, again)
    history.close()
    async with panel() as (app, pilot, screen):
        await search(pilot, screen, "needle")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert texts(app) == ["first", "a needle"]


async def test_an_opened_chat_goes_on() -> None:
    conversation = chat("Talk", "first", "one")
    async with panel() as (app, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await ask(pilot, "second")
        await until(pilot, lambda: not app.desk.is_busy and len(app.desk.branch) == 4)
        assert app.desk.conversation.id == conversation.id
        assert saved() == ["Talk"]


async def test_leaving_the_list_keeps_what_the_chat_shows() -> None:
    three_chats()
    async with panel() as (app, pilot, _screen):
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert texts(app) == []


async def test_a_chat_that_another_process_deleted_is_told() -> None:
    conversation, *_others = three_chats()
    async with panel() as (app, pilot, _screen):
        history = HistoryStore(str(history_file()))
        history.delete(conversation.id)
        history.close()
        await pilot.press("enter")
        await noted(pilot, app, f"No conversation has the id {conversation.id}.")


# Renaming


@pytest.mark.parametrize("key", ["f2", "ctrl+e"])
async def test_a_chat_is_renamed_in_the_place_of_the_filter(key: str) -> None:
    three_chats()
    async with panel() as (_app, pilot, screen):
        await pilot.press("down", key)
        title = screen.query_one("#title", Input)
        assert (title.value, title.has_focus, screen.query_one("#filter").display) == ("What is tea?", True, False)
        title.value = "  All about\ttea "
        await pilot.press("enter")
        await listed(pilot, screen, "Cooking rice", "All about tea", "茶的种类")
        assert screen.query_one("#filter").has_focus
        assert "All about tea" in saved()


async def test_escape_leaves_the_title_as_it_was() -> None:
    three_chats()
    async with panel() as (_app, pilot, screen):
        await pilot.press("f2", "x", "escape")
        assert screen.query_one("#filter").has_focus
        assert saved()[0] == "Cooking rice"


async def test_keys_of_the_list_belong_to_the_title_while_it_is_written() -> None:
    three_chats()
    async with panel() as (_app, pilot, screen):
        await pilot.press("f2", "home", "delete", "ctrl+x", "ctrl+z", "down")
        assert screen.query_one("#title", Input).value == "ooking rice"
        assert len(saved()) == 3


async def test_the_open_chat_has_its_new_title_at_once() -> None:
    chat("Talk", "first", "one")
    async with panel() as (app, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await pilot.press("ctrl+r")
        screen = await chats_of(app, pilot)
        await pilot.press("f2")
        screen.query_one("#title", Input).value = "Walk"
        await pilot.press("enter")
        await until(pilot, lambda: app.desk.conversation.title == "Walk")


# Deleting


@pytest.mark.parametrize("key", ["ctrl+x", "delete"])
async def test_a_chat_is_deleted_at_once(key: str) -> None:
    three_chats()
    async with panel() as (app, pilot, screen):
        await pilot.press("down", key)
        assert titles(screen) == ["Cooking rice", "茶的种类"]
        await noted(pilot, app, "“What is tea?” is deleted; Ctrl+Z takes it back.")
        assert saved() == ["Cooking rice", "茶的种类"]
        assert screen.list.item == screen.list.items[1]


async def test_deletions_are_taken_back_one_by_one() -> None:
    first, *_others = three_chats()
    async with panel() as (app, pilot, screen):
        await pilot.press("ctrl+x", "ctrl+x", "ctrl+z")
        await listed(pilot, screen, "What is tea?", "茶的种类")
        await pilot.press("ctrl+z")
        await listed(pilot, screen, "Cooking rice", "What is tea?", "茶的种类")
        await noted(pilot, app, "“Cooking rice” is back.")
        assert screen.list.item == screen.list.items[0]
    history = HistoryStore(str(history_file()))
    assert history.load(first.id).messages == first.messages
    history.close()


async def test_delete_behind_the_caret_is_the_filters() -> None:
    three_chats()
    async with panel() as (_app, pilot, screen):
        await search(pilot, screen, "xtea")
        await pilot.press("home", "delete")
        await listed(pilot, screen, "What is tea?")
        assert len(saved()) == 3


async def test_deleting_the_open_chat_leaves_a_new_one() -> None:
    chat("Talk", "first", "one")
    async with panel() as (app, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await pilot.press("ctrl+r")
        await chats_of(app, pilot)
        await pilot.press("ctrl+x")
        await noted(pilot, app, "is deleted")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert texts(app) == []
        assert app.desk.conversation.messages == ()


async def test_the_open_chat_comes_back_to_the_desk() -> None:
    conversation = chat("Talk", "first", "one")
    async with panel() as (app, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await pilot.press("ctrl+r")
        screen = await chats_of(app, pilot)
        await pilot.press("ctrl+x", "ctrl+z")
        await listed(pilot, screen, "Talk")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert (app.desk.conversation.id, texts(app)) == (conversation.id, ["first", "one"])


# Exporting


@pytest.mark.parametrize(
    ("keys", "suffix", "start"), [([], ".md", "# Cooking"), (["down"], ".html", "<!doctype"), (["j"], ".json", "{")]
)
async def test_a_chat_is_written_to_the_current_folder(
    keys: list[str], suffix: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_others = three_chats()
    monkeypatch.chdir(tmp_path)
    async with panel(size=(120, 40)) as (app, pilot, _screen):
        await pilot.press("ctrl+s", *keys, "enter")
        await noted(pilot, app, "Written to")
        file = tmp_path / f"hychat-{first.id}{suffix}"
        assert file.name in "".join(shown(app).split())
        assert file.read_text().startswith(start)


def test_no_file_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    conversation = Conversation(title="x", id="c1")
    written = [export(conversation, ".md").name for _time in range(3)]
    assert written == ["hychat-c1.md", "hychat-c1-2.md", "hychat-c1-3.md"]


async def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_chats()
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    async with panel() as (app, pilot, _screen):
        await pilot.press("ctrl+s", "enter")
        await noted(pilot, app, "cannot be written")


# Looks


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40)])
@pytest.mark.parametrize("tag", ["en", "zh"])
async def test_everything_has_its_place(size: tuple[int, int], tag: str) -> None:
    choose_language(tag)
    three_chats()
    async with panel(size=size) as (app, pilot, screen):
        await search(pilot, screen, "茶")
        assert titles(screen) == ["茶的种类"]
        text = shown(app)
        assert "Ctrl+S" in text
        assert "Esc" in text
        assert [row for row in rows(app) if row[:2].strip(" ▎")] == []
