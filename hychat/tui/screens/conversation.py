"""A conversation on the screen: the transcript, what its model is doing, and the answers while they are written."""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import Static

from hychat.attach.parts import is_speech
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import HychatError, ModelNotFound
from hychat.domain.event import LoadProgress, TurnEvent
from hychat.domain.message import AttachedPart, Message, Part, Role, TextPart
from hychat.messages import _
from hychat.safety.telling import level_name
from hychat.tui.column import Entry
from hychat.tui.comparison import Comparison
from hychat.tui.desk import Desk
from hychat.tui.effects import Tone
from hychat.tui.entries import Answer, Note, Question, Welcome, error_text, style_name
from hychat.tui.narrator import CompareNarrator, Narrator, place_of, places_of
from hychat.tui.turns import batches
from hychat.tui.widgets.completion import Completion
from hychat.tui.widgets.previews import Previews
from hychat.tui.widgets.prompt import Prompt
from hychat.tui.widgets.staged import Staged
from hychat.tui.widgets.status import StatusLine
from hychat.tui.widgets.transcript import Transcript

Begin = Callable[[CancelToken, CancelToken], Iterator[TurnEvent]]
"""Starts a turn: with what stops it, and what ends its thought."""

_QUESTIONS_REMEMBERED: Final = 100


class ConversationScreen(Screen[None]):
    """Shows the conversation on the desk, and runs its turns; what the user wants is read by `ChatScreen`."""

    AUTO_FOCUS = "#prompt"

    def __init__(self, desk: Desk, first: Sequence[Part] = ()) -> None:
        """`first` is sent at once, where it has words; else it goes with the next question."""
        super().__init__()
        self.desk = desk
        self._first = tuple(first)
        self._cancel: CancelToken | None = None
        self._hurry: CancelToken | None = None
        self._welcome = Welcome()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Transcript()
        with Vertical(id="desk"):
            yield Previews()
            yield Staged()
            yield Completion()
            with Horizontal(id="writing"):
                yield Static("▎", id="caret-bar")
                yield Prompt(sends_with_enter=self.desk.config.send_key == "enter")
            yield StatusLine()

    def on_mount(self) -> None:
        """Show what is there, and load the model behind it."""
        self.show_chat()
        if not _can_be_asked(self._first):
            parts, self._first = self._first, ()
            self._take_back(tuple(map(_read_first, parts)))
        self.call_after_refresh(self._begin, is_start=True)

    # Parts

    @property
    def transcript(self) -> Transcript:
        """The conversation."""
        return self.query_one(Transcript)

    @property
    def prompt(self) -> Prompt:
        """Where the user writes."""
        return self.query_one(Prompt)

    @property
    def staged(self) -> Staged:
        """What waits, and what goes with the next prompt."""
        return self.query_one(Staged)

    # Beginning

    @work(exclusive=True, group="model")
    async def _begin(self, *, is_start: bool = False) -> None:
        """Open the chat and load its model; the user may write meanwhile."""
        self._remember_questions()
        threading.Thread(target=_bring_markdown, daemon=True).start()
        try:
            async for batch in batches(self.desk.load(CancelToken())):
                self._show_loading(batch[-1])
        except ModelNotFound as error:
            self._miss_model(error)
        except HychatError as error:
            self.tell_error(error)
        self.refresh_status()
        gc.freeze()  # what is here now stays: the collector would stop the keys for 60 ms each time it went through it
        if is_start and self.desk.has_starter_only:
            self._offer_more_than_the_starter()
        if self._first:
            parts, self._first = self._first, ()
            self.ask(parts)

    @dataclass
    class ModelMissing(TextualMessage):
        """There is no model to answer, or one that is only good for a beginning."""

        why: str

    def _miss_model(self, error: ModelNotFound) -> None:
        """Say what to do, and open the models; not while the user writes."""
        self.tell_error(error)
        self.tell(_("F2 shows the models: fetch one, or choose one that is here."))
        if self._first:
            parts, self._first = self._first, ()
            self._take_back(parts)
        elif not self.prompt.text:
            self.post_message(self.ModelMissing(error.message))

    def _offer_more_than_the_starter(self) -> None:
        why = _("No Hunyuan model is here yet, so the small starter answers.")
        self.tell("\n".join((why, _("F2 shows the models."))))
        if not (self._first or self.prompt.text):
            self.post_message(self.ModelMissing(why))

    @work(thread=True, exclusive=True, group="questions")
    def _remember_questions(self) -> None:
        """Let Up go back to what was asked in earlier runs; that there is a history that works is told elsewhere."""
        if self.desk.config.save and not self.prompt.sent:
            with suppress(HychatError):
                questions = self.desk.runtime.history().recent_questions(_QUESTIONS_REMEMBERED)
                self.app.call_from_thread(self.prompt.remember_all, questions)

    def _show_loading(self, progress: LoadProgress) -> None:
        text = _("loading {percent:.0f} %").format(percent=100 * progress.fraction)
        self.query_one(StatusLine).show("device", text)

    # Showing

    def show_chat(self) -> None:
        """Show the conversation on the desk from its end."""
        conversation = self.desk.conversation
        places = places_of(conversation)
        entries: list[Entry] = [entry_of(message, places[message.id]) for message in conversation.branch()]
        self.transcript.show(entries or [self._welcome])
        self.transcript.follow()
        self.prompt.placeholder = _("Ask anything · F1 help")
        self.refresh_status()

    def take_chat(self, message_id: str | None) -> None:
        """Show another chat, which lies on the desk now, at that message or, without one, at its end; None changes nothing."""
        if message_id is None:
            return
        self.show_chat()
        self._show_message(message_id)

    def _show_message(self, message_id: str) -> None:
        for entry in self.transcript.column.entries:
            if isinstance(entry, Question | Answer) and entry.message and entry.message.id == message_id:
                self.transcript.go_to(entry)

    def refresh_status(self) -> None:
        """Tell the settings, the model and the figures anew."""
        line, desk = self.query_one(StatusLine), self.desk
        line.show("model", desk.model_name)
        line.show("device", desk.device)
        style = desk.style
        line.show("style", style_name(style) if style else _("no style"), is_set=style is not None)
        line.show("temperature", _("temp {value:g}").format(value=desk.temperature), is_set=desk.has_own_temperature)
        line.show("think", _("thinks") if desk.thinks else "")
        line.show("safety", _("safety {level}").format(level=level_name(desk.safety)))
        used, total = desk.context
        line.show("context", _meter(used, total) if total else "")
        line.show("speed", _("{speed:.0f} tokens/s").format(speed=desk.speed) if desk.speed else "")

    def speak_anew(self) -> None:
        """Say everything in the language that is spoken now."""
        if self.desk.is_busy:
            self.refresh_status()
        else:
            self.show_chat()
        self.staged.tell()

    def tell(self, text: str, tone: Tone = Tone.INFO) -> None:
        """A line of hychat's own in the transcript."""
        self._add(Note(text, tone))

    def tell_error(self, error: HychatError) -> None:
        """What went wrong and what to do, in the transcript."""
        self.tell(error_text(error), Tone.ERROR)

    def _add(self, *entries: Entry) -> None:
        shown = self.transcript.column.entries
        if shown == [self._welcome]:
            shown = []
        self.transcript.show([*shown, *entries])
        self.transcript.follow()

    # Answering

    def ask(self, parts: tuple[Part, ...]) -> None:
        """Ask now, or as soon as the answer before it is written."""
        if self.desk.is_busy:
            self.staged.wait(parts)
            return
        try:
            session = self.desk.session
        except HychatError as error:
            self._take_back(parts)  # no word is lost
            self.tell_error(error)
            if isinstance(error, ModelNotFound):
                self.post_message(self.ModelMissing(error.message))
            return
        self._run_turn(lambda cancel, hurry: session.turn(parts, cancel, hurry=hurry), Message(Role.USER, parts))

    def _run_turn(self, begin: Begin, question: Message | None = None, answer: Answer | None = None) -> None:
        """Show the question, and write the answer below it, or at the end of one that is there."""
        if answer is None:
            answer = Answer()
            self._add(*([Question(question)] if question else []), answer)
        self._cancel, self._hurry = CancelToken(), CancelToken()
        self.desk.is_busy = True
        self._read_turn(begin(self._cancel, self._hurry), Narrator(answer), question.parts if question else ())

    def compare(self, parts: tuple[Part, ...]) -> None:
        """Ask once, and show the answers in every style side by side."""
        session = self.desk.session
        comparison = Comparison(tuple(Style))
        self._add(Question(Message(Role.USER, parts)), comparison)
        self._cancel = CancelToken()
        self.desk.is_busy = True
        events = session.compare(parts, tuple(Style), self._cancel)
        self._read_turn(events, CompareNarrator(comparison), parts)

    @work(group="turn")
    async def _read_turn(
        self, events: Iterator[Any], narrator: Narrator | CompareNarrator, asked: Sequence[Part]
    ) -> None:
        before = self.desk.conversation
        try:
            async for batch in batches(events):
                notes = narrator.take(batch, self.desk.conversation)
                self.transcript.changed(narrator.entry)
                for note in notes:
                    self._add(note)
        except HychatError as error:
            self.tell_error(error)
        if self.desk.conversation.id != before.id:  # it was compacted
            self.show_chat()
            self.tell(self.desk.conversation.system)
        elif asked and self.desk.conversation.messages == before.messages:
            self._take_back(asked, is_selected=not self._was_stopped)  # nothing came of it: no word is lost
        self._end_turn()

    async def finish(self) -> None:
        """Stop the answer that is being written, and wait until it is kept."""
        if self._cancel is not None:
            self._cancel.set()
        await self.workers.wait_for_complete([worker for worker in self.workers if worker.group == "turn"])

    @property
    def _was_stopped(self) -> bool:
        return self._cancel is not None and self._cancel.is_set

    def _end_turn(self) -> None:
        self.desk.is_busy = False
        self._settle_question()
        was_stopped = self._was_stopped
        self._cancel = self._hurry = None
        self.refresh_status()
        if was_stopped:
            self._take_back()
        elif (parts := self.staged.next()) is not None:
            self.ask(parts)

    def _settle_question(self) -> None:
        """Let the question that was just asked know which message it became."""
        conversation = self.desk.conversation
        entry = next((each for each in reversed(self.transcript.column.entries) if isinstance(each, Question)), None)
        question = next((each for each in reversed(conversation.branch()) if each.role is Role.USER), None)
        if entry is not None and question is not None and entry.message.text == question.text:
            entry.settle(question, place_of(question, conversation))
            self.transcript.changed(entry)

    def _take_back(self, asked: Sequence[Part] = (), *, is_selected: bool = False) -> None:
        """Put what was not asked back into the prompt; where it was refused, to be replaced by what is typed next."""
        words = self.staged.take_back(asked)
        if words:
            self.prompt.put_back(words, is_selected=is_selected)


def _can_be_asked(parts: Sequence[Part]) -> bool:
    """Whether there are words, and no speech among them that nobody has read yet."""
    has_words = any(isinstance(part, TextPart) for part in parts)
    return has_words and not any(isinstance(part, AttachedPart) and is_speech(part) for part in parts)


def _read_first(part: Part) -> Part:
    """Speech as words, to be read before they are sent."""
    return TextPart(f"{part.attachment.text} ") if isinstance(part, AttachedPart) and is_speech(part) else part


def entry_of(message: Message, place: tuple[int, int]) -> Entry:
    """How a message is shown."""
    return Question(message, place) if message.role is Role.USER else Answer(message, place)


def _meter(used: int, total: int) -> str:
    return _("context {percent:.0f}%").format(percent=100 * used / total)


def _bring_markdown() -> None:
    """Import what the first answer needs while the model loads: the 50 ms would be taken from the decode."""
    for name in ("blocks", "layout"):
        import_module(f"hychat.tui.markdown.{name}")
