"""The chat: what the user types, clicks and presses, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message as TextualMessage

from hychat.domain.errors import HychatError
from hychat.domain.message import AttachedPart, Message, Part, Role
from hychat.messages import _
from hychat.tui import commands, effects
from hychat.tui.commands import COMMANDS, Command
from hychat.tui.desk import Desk
from hychat.tui.effects import Effect
from hychat.tui.entries import Answer, Question
from hychat.tui.fetching import Fetch, SpeechFetch, State
from hychat.tui.mentions import file_choices
from hychat.tui.screens.attaching import AttachingScreen
from hychat.tui.widgets.completion import Completion
from hychat.tui.widgets.prompt import Prompt
from hychat.tui.widgets.status import StatusLine
from hychat.tui.widgets.transcript import Transcript

_QUIT_SECONDS: Final = 1.5
"""How long a second Ctrl+C is waited for."""


class ChatScreen(AttachingScreen):
    """One conversation, in the user's hands."""

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
        super().__init__(desk, first)
        self._changed: Message | None = None
        """The earlier question that is being changed."""
        self._set_aside: tuple[AttachedPart, ...] = ()
        """What was attached before it."""
        self._is_quitting = False

    # Sending

    @on(Prompt.Sent)
    def _take_prompt(self, event: Prompt.Sent) -> None:
        """A command is done; anything else is asked, now or when the answer before it is written."""
        if not event.text.strip() and not self.staged.has_files and not self.is_opening:
            return
        try:
            typed = commands.read(event.text)
            if isinstance(typed, str):
                self.send(typed, event.text, self._ask_here)
        except HychatError as error:
            if not self._take_completion():
                self.prompt.put_back(event.text)
                self.tell_error(error)
            return
        self.prompt.remember(event.text)
        if isinstance(typed, commands.Typed):
            self.give(typed.command, typed.argument)

    def _ask_here(self, parts: tuple[Part, ...]) -> None:
        """Ask at the end of the chat, or in the place of the question that is being changed."""
        if self._changed is not None and not self.desk.is_busy:
            self.desk.stand_at(self.desk.conversation.before(self._changed))
            self.show_chat()
        self._stop_changing()
        self.ask(parts)

    def _compare_new(self, words: str) -> None:
        typed = f"/compare {words}"

        def ask(parts: tuple[Part, ...]) -> None:
            if self.desk.is_busy:  # another question was sent while a file was opened
                self.staged.attach(*(part for part in parts if isinstance(part, AttachedPart)))
                self.prompt.put_back(typed)
                self._say_busy()
            else:
                self.compare(parts)

        try:
            self.send(words, typed, ask)
        except HychatError:
            self.prompt.put_back(typed)
            raise

    # Changing an earlier question

    def change(self, question: Message) -> None:
        """Put an earlier question into the prompt, with what was attached to it; nothing is lost before it is sent."""
        if self._changed is None:
            self._set_aside = self.staged.files
        self._changed = question
        self.staged.tell_changing(is_changing=True)
        self.staged.set_files([part for part in question.parts if isinstance(part, AttachedPart)])
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
        self.staged.drop_files()
        self._stop_changing()
        self.transcript.follow()

    def _stop_changing(self) -> None:
        """What was attached before it comes back."""
        self._changed = None
        self.staged.tell_changing(is_changing=False)
        if self._set_aside:
            self.staged.attach(*self._set_aside)
            self._set_aside = ()

    # Commands

    def action_give(self, name: str) -> None:
        """A key gives a command."""
        self.give(COMMANDS[name])

    @on(StatusLine.Chosen)
    def _take_click(self, event: StatusLine.Chosen) -> None:
        self.give(COMMANDS[event.command])

    def give(self, command: Command, argument: str = "") -> None:
        """Do a command."""
        if command.needs_idle and self.desk.is_busy:
            self._say_busy()
            return
        try:
            for effect in command.run(self.desk, argument):
                self._do(effect)
        except HychatError as error:
            self.tell_error(error)

    def _say_busy(self) -> None:
        self.notify(_("Stop the answer first (Esc), or wait for its end."), markup=False)

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
            case effects.CompareNew(words):
                self._compare_new(words)
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
                self.attach_files([path])
            case effects.AttachClipboard():
                self.attach_clipboard(is_asked_for=True)
            case effects.Voice():
                self.speak()
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
        self.refresh_status()
        self._begin()

    # A model on its way

    def show_fetch(self, fetch: Fetch) -> None:
        """As `FetchViewer`."""
        text = _("fetching {percent}").format(percent=fetch.percent) if fetch.is_running else ""
        self.query_one(StatusLine).show("fetch", text)
        if isinstance(fetch, SpeechFetch) and not fetch.is_running:
            self.end_speech_fetch(fetch)

    def end_fetch(self, fetch: Fetch) -> None:
        """As `FetchViewer`; a chat that has no model takes this one."""
        if fetch.error is not None:
            self.tell_error(fetch.error)
        elif isinstance(fetch, SpeechFetch):
            return
        elif fetch.state is State.DONE and not self.desk.has_model:
            self.give(COMMANDS["model"], fetch.name)
        elif fetch.state is State.DONE:
            text = _("{title} is here. To talk to it: /model {name}")
            self.tell(text.format(title=fetch.title, name=fetch.name))

    # Keys

    def action_stop(self) -> None:
        """Close what is open, else stop the answer; what was written stays."""
        if self.query_one(Completion).display:
            self.query_one(Completion).close()
        elif self.is_listening:
            self.stop_listening()
        elif self.is_opening:
            self.stop_opening()
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
        self.transcript.to_start()

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
