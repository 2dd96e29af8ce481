"""The chat: the transcript, the prompt, and what happens between them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, assert_never

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import Static

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import HychatError
from hychat.domain.event import LoadProgress, TurnEvent
from hychat.domain.message import FilePart, Message, Part, Role
from hychat.messages import _
from hychat.tui import commands, effects
from hychat.tui.column import Entry
from hychat.tui.commands import COMMANDS, Command
from hychat.tui.desk import Desk
from hychat.tui.effects import Effect, Tone
from hychat.tui.entries import Answer, Comparison, Note, Question, style_name
from hychat.tui.mentions import file_choices, mentioned
from hychat.tui.narrator import CompareNarrator, Narrator, place_of, places_of
from hychat.tui.turns import batches
from hychat.tui.widgets.completion import Completion
from hychat.tui.widgets.prompt import Prompt
from hychat.tui.widgets.staged import Staged
from hychat.tui.widgets.status import StatusLine, StatusPart
from hychat.tui.widgets.transcript import Transcript

Begin = Callable[[CancelToken, CancelToken], Iterator[TurnEvent]]
"""Starts a turn: with what stops it, and what ends its thought."""

_QUESTIONS_REMEMBERED: Final = 100
_QUIT_SECONDS: Final = 1.5
"""How long a second Ctrl+C is waited for."""


class ChatScreen(Screen[None]):
    """One conversation."""

    CSS_PATH = "../styles/chat.tcss"
    AUTO_FOCUS = "#prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", priority=False),
        Binding("ctrl+c", "interrupt", priority=True, system=True),
        Binding("ctrl+d", "leave_if_empty", priority=True),
        Binding("ctrl+g", "edit_outside"),
        Binding("pageup", "scroll_page(-1)", priority=True),
        Binding("pagedown", "scroll_page(1)", priority=True),
        Binding("ctrl+home", "scroll_to_start", priority=True),
        Binding("ctrl+end", "scroll_to_end", priority=True),
        Binding("alt+up", "change_earlier(-1)", priority=True),
        Binding("alt+down", "change_earlier(1)", priority=True),
        Binding("ctrl+t", "toggle_thought"),
        Binding("tab", "complete", priority=True),
        *(
            Binding(command.key, f"give('{command.name}')", priority=True)
            for command in COMMANDS.values()
            if command.key
        ),
    ]

    def __init__(self, desk: Desk, first: Sequence[Part] = ()) -> None:
        """`first` is sent at once."""
        super().__init__()
        self.desk = desk
        self._first = tuple(first)
        self._cancel: CancelToken | None = None
        self._hurry: CancelToken | None = None
        self._welcome = Note("")
        self._changed: Message | None = None
        """The earlier question that is being changed."""
        self._is_quitting = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Transcript()
        with Vertical(id="desk"):
            yield Staged()
            yield Completion()
            with Horizontal(id="writing"):
                yield Static("▎", id="caret-bar")
                yield Prompt(sends_with_enter=self.desk.config.send_key == "enter")
            yield StatusLine()

    def on_mount(self) -> None:
        """Show what is there, and load the model behind it."""
        self.show_chat()
        self.call_after_refresh(self._begin)

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
    async def _begin(self) -> None:
        """Open the chat and load its model; the user may write meanwhile."""
        try:
            async for batch in batches(self.desk.load(CancelToken())):
                self._show_loading(batch[-1])
        except HychatError as error:
            self.tell_error(error)
        self.refresh_status()
        self._remember_questions()
        if self._first:
            parts, self._first = self._first, ()
            self.ask(parts)

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
        self._welcome = Note(_("Ask something. What is said here stays on this machine."))
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
        line.show("device", desk.device, tooltip=desk.devices)
        style = desk.style
        line.show("style", style_name(style) if style else _("no style"), is_set=style is not None)
        line.show("temperature", _("temp {value:g}").format(value=desk.temperature), is_set=desk.has_own_temperature)
        line.show("think", _("thinks") if desk.thinks else "")
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
        self.tell("\n".join(text for text in (error.message, error.hint) if text), Tone.ERROR)

    def _add(self, *entries: Entry) -> None:
        shown = self.transcript.column.entries
        if shown == [self._welcome]:
            shown = []
        self.transcript.show([*shown, *entries])
        self.transcript.follow()

    # Sending

    @on(Prompt.Sent)
    def _take_prompt(self, event: Prompt.Sent) -> None:
        """A command is done; anything else is asked, now or when the answer before it is written."""
        if not event.text.strip() and not self.staged.has_files:
            return
        try:
            typed = commands.read(event.text)
            files = [] if isinstance(typed, commands.Typed) else [_file_part(path) for path in mentioned(typed)]
        except HychatError as error:
            if not self._take_completion():
                self.tell_error(error)
            return
        self.prompt.remember(event.text)
        self.prompt.set_text("")
        if isinstance(typed, commands.Typed):
            self.give(typed.command, typed.argument)
            return
        if self._changed is not None and not self.desk.is_busy:
            self.desk.stand_at(self.desk.conversation.before(self._changed))
            self.show_chat()
        self._stop_changing()
        self.ask(self.staged.parts(files, typed))

    def ask(self, parts: tuple[Part, ...]) -> None:
        """Ask now, or as soon as the answer before it is written."""
        if self.desk.is_busy:
            self.staged.wait(parts)
            return
        self._run_turn(
            lambda cancel, hurry: self.desk.session.turn(parts, cancel, hurry=hurry), Message(Role.USER, parts)
        )

    @on(Prompt.PastedMuch)
    def _attach_paste(self, event: Prompt.PastedMuch) -> None:
        self.staged.attach_paste(event.text)

    # Changing an earlier question

    def change(self, question: Message) -> None:
        """Put an earlier question into the prompt; nothing is lost before it is sent."""
        self._changed = question
        self.staged.tell_changing(is_changing=True)
        self.prompt.set_text(question.text)
        self._show_message(question.id)

    def action_change_earlier(self, step: int) -> None:
        """Go to the question before the one that is being changed, or after."""
        questions = [message for message in self.desk.branch if message.role is Role.USER]
        ids = [question.id for question in questions]
        now = ids.index(self._changed.id) if self._changed and self._changed.id in ids else len(ids)
        if 0 <= now + step < len(ids):
            self.change(questions[now + step])
        elif self._changed is not None and step > 0:
            self._leave_changing()

    def _leave_changing(self) -> None:
        self.prompt.set_text("")
        self._stop_changing()
        self.transcript.follow()

    def _stop_changing(self) -> None:
        self._changed = None
        self.staged.tell_changing(is_changing=False)

    # Answering

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
        comparison = Comparison(tuple(Style))
        self._add(Question(Message(Role.USER, parts)), comparison)
        self._cancel = CancelToken()
        self.desk.is_busy = True
        events = self.desk.session.compare(parts, tuple(Style), self._cancel)
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
        finally:
            if self.desk.conversation.id != before.id:  # it was compacted
                self.show_chat()
                self.tell(self.desk.conversation.system)
            elif asked and self.desk.conversation.messages == before.messages:
                self._take_back(asked)  # nothing came of it: no word is lost
            self._end_turn()

    def _end_turn(self) -> None:
        self.desk.is_busy = False
        self._settle_question()
        was_stopped = self._cancel is not None and self._cancel.is_set
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
        if entry is not None and question is not None and entry.message.parts == question.parts:
            entry.settle(question, place_of(question, conversation))
            self.transcript.changed(entry)

    def _take_back(self, asked: Sequence[Part] = ()) -> None:
        """Put what was not asked back into the prompt."""
        words = self.staged.take_back(asked)
        if words:
            self.prompt.set_text(f"{words}\n{self.prompt.text}".strip())

    # Commands

    def action_give(self, name: str) -> None:
        """A key gives a command."""
        self.give(COMMANDS[name])

    @on(StatusPart.Chosen)
    def _take_click(self, event: StatusPart.Chosen) -> None:
        self.give(COMMANDS[event.command])

    def give(self, command: Command, argument: str = "") -> None:
        """Do a command."""
        if command.needs_idle and self.desk.is_busy:
            self.notify(_("Stop the answer first (Esc), or wait for its end."), markup=False)
            return
        try:
            for effect in command.run(self.desk, argument):
                self._do(effect)
        except HychatError as error:
            self.tell_error(error)

    def _do(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one line an effect
        match effect:
            case effects.Say(text, tone):
                self.tell(text, tone)
            case effects.Ask(parts):
                self.ask(parts)
            case effects.Again():
                self._answer_again()
            case effects.GoOn():
                self._go_on()
            case effects.Compare(parts):
                self.compare(parts)
            case effects.Compact():
                self._run_turn(lambda cancel, _hurry: self.desk.compact(cancel))
            case effects.AnswerNow():
                if self._hurry is not None:
                    self._hurry.set()
            case effects.Change(question):
                self.change(question)
            case effects.Draft(text):
                self.prompt.set_text(text)
            case effects.Attach(path):
                self.staged.attach(_file_part(path))
            case effects.Copy(text):
                self.app.copy_to_clipboard(text)
                self.notify(_("Copied."), markup=False)
            case effects.ShowChat():
                self.show_chat()
            case effects.Refresh():
                self.refresh_status()
            case effects.SwitchModel(name):
                self._switch_model(name)
            case effects.Go() | effects.SwitchTheme() | effects.SwitchLanguage() | effects.Leave():
                self.post_message(self.Wanted(effect))
            case _:
                assert_never(effect)

    @dataclass
    class Wanted(TextualMessage):
        """Something that is not the chat's to do."""

        effect: Effect

    def _answer_again(self) -> None:
        shown = self.transcript.column.entries
        while shown and not isinstance(shown[-1], Question):
            shown.pop()
        self.transcript.show(shown)
        self._run_turn(lambda cancel, hurry: self.desk.session.again(cancel, hurry=hurry))

    def _go_on(self) -> None:
        shown = self.transcript.column.entries
        answer = next((entry for entry in reversed(shown) if isinstance(entry, Answer)), None)
        if answer is None or answer.message is None:
            return
        answer.go_on()
        self._run_turn(lambda cancel, hurry: self.desk.session.go_on(cancel, hurry=hurry), answer=answer)

    def _switch_model(self, name: str) -> None:
        self.desk.switch_model(name)
        self.tell(_("From here on {model} answers.").format(model=name))
        self._begin()

    # Keys

    def action_stop(self) -> None:
        """Close what is open, else stop the answer; what was written stays."""
        if self.query_one(Completion).display:
            self.query_one(Completion).close()
        elif self._cancel is not None:
            self._cancel.set()
        elif self._changed is not None:
            self._leave_changing()
        elif self.staged.drop_files():
            return
        elif not self.transcript.is_following:
            self.transcript.follow()

    def action_interrupt(self) -> None:
        """Copy what is selected, else clear the prompt, else stop, else leave at the second time."""
        selected = self.get_selected_text()
        if selected:
            self.app.copy_to_clipboard(selected)
            self.clear_selection()
            self.notify(_("Copied."), markup=False)
        elif self.prompt.selected_text:
            self.app.copy_to_clipboard(self.prompt.selected_text)
        elif self.prompt.text:
            self.prompt.remember(self.prompt.text)
            self.prompt.set_text("")
        elif self._cancel is not None:
            self._cancel.set()
        elif self._is_quitting:
            self.post_message(self.Wanted(effects.Leave()))
        else:
            self._is_quitting = True
            self.notify(_("Press Ctrl+C again to leave."), timeout=_QUIT_SECONDS, markup=False)
            self.set_timer(_QUIT_SECONDS, self._forget_quitting)

    def _forget_quitting(self) -> None:
        self._is_quitting = False

    def action_leave_if_empty(self) -> None:
        """Ctrl+D ends the input, as everywhere in a terminal."""
        if not self.prompt.text:
            self.post_message(self.Wanted(effects.Leave()))
        else:
            self.prompt.action_delete_right()

    def action_scroll_page(self, pages: int) -> None:
        """Read on, or back."""
        self.transcript.scroll_relative(y=pages * max(1, self.transcript.size.height - 2), animate=False)

    def action_scroll_to_start(self) -> None:
        """To the first message."""
        self.transcript.scroll_to(y=0, animate=False)

    def action_scroll_to_end(self) -> None:
        """To the last one."""
        self.transcript.follow()

    def action_toggle_thought(self) -> None:
        """Show the last thought, or fold it."""
        for entry in reversed(self.transcript.column.entries):
            if isinstance(entry, Answer) and entry.has_thought:
                self._toggle(entry)
                return

    def _toggle(self, answer: Answer) -> None:
        answer.toggle_thought()
        self.transcript.changed(answer)

    @work(exclusive=True, group="editor")
    async def action_edit_outside(self) -> None:
        """Write the prompt in the user's own editor."""
        from hychat.tui.editor import edited

        with self.app.suspend():
            try:
                text = edited(self.prompt.text)
            except HychatError as error:
                text = self.prompt.text
                self.app.call_later(self.tell_error, error)
        self.prompt.set_text(text)

    # Completion

    @on(Prompt.Edited)
    def _offer(self, event: Prompt.Edited) -> None:
        choices = commands.completions(event.text, self.desk) or file_choices(event.text)
        self.query_one(Completion).offer(choices)
        self.prompt.has_choices = bool(choices)

    @on(Prompt.Stepped)
    def _step_choices(self, event: Prompt.Stepped) -> None:
        self.query_one(Completion).step(event.rows)

    def action_complete(self) -> None:
        """Take the completion that is marked."""
        self._take_completion()

    def _take_completion(self) -> bool:
        """Whether there was one; behind a folder more of the path is typed."""
        chosen = self.query_one(Completion).chosen
        if chosen is not None:
            self.prompt.set_text(chosen if chosen.endswith("/") else f"{chosen} ")
        return chosen is not None

    # The transcript's own switches

    @on(Transcript.Clicked)
    def _take_text_click(self, event: Transcript.Clicked) -> None:
        match event.action, event.entry:
            case (("thought",), Answer() as answer):
                self._toggle(answer)
            case (("walk", message, step), _):
                self._walk(message, int(step))
            case (("code", nth), Answer() as answer):
                self._do(effects.Copy(answer.code(int(nth))))
            case (("continue",), _):
                self.give(COMMANDS["continue"])
            case (("take", message), _):
                self._stand_at(self.desk.conversation.find(message))
            case _:
                pass

    def _walk(self, message_id: str, step: int) -> None:
        """Show another version of a message, and what followed it."""
        message = self.desk.conversation.find(message_id)
        if message is not None:
            versions = self.desk.conversation.siblings(message)
            self._stand_at(versions[(versions.index(message) + step) % len(versions)])

    def _stand_at(self, message: Message | None) -> None:
        if message is not None and not self.desk.is_busy:
            self.desk.stand_at(self.desk.conversation.at(message))
            self.show_chat()


def _file_part(path: Path) -> FilePart:
    from hychat.attach.text import read_file

    return read_file(path)


def entry_of(message: Message, place: tuple[int, int]) -> Entry:
    """How a message is shown."""
    return Question(message, place) if message.role is Role.USER else Answer(message, place)


def _meter(used: int, total: int) -> str:
    return _("context {percent:.0f}%").format(percent=100 * used / total)
