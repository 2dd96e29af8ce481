"""The chat as a plain prompt in the terminal's own scrollback, with the session and the commands of the whole screen.

Nothing is framed and nothing spins. Where a screen reader reads along (ACCESSIBLE) nothing is painted over either; on other
terminals an answer is rendered while it comes, as `hychat "question"` renders it.
"""

import base64
import signal
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, assert_never

from hychat.attach.open import open_attachment
from hychat.attach.parts import is_speech, picture_in_clipboard, spoken_words, tokens_told
from hychat.cli import inline_text
from hychat.cli.attached import fetch_speech_model, part_of, tell_writing
from hychat.cli.details import tell_tokens
from hychat.cli.interrupt import aside, cancelled_by_ctrl_c
from hychat.cli.line_input import LineInput
from hychat.cli.options import Consent
from hychat.cli.output import Output
from hychat.cli.reader import INTERRUPTED, Wishes, read_turn
from hychat.domain.attachment import Listening, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import HychatError, SpeechModelMissing
from hychat.domain.event import Channel, TokenEvent, TurnEvent, TurnFailed, TurnFinished
from hychat.domain.message import AttachedPart, Message, Part, TextPart
from hychat.messages import _, choose_language, language
from hychat.tui import commands, effects
from hychat.tui.clipboard import copy_with_tool
from hychat.tui.desk import Desk
from hychat.tui.effects import Effect, StyledEvents, Tone
from hychat.tui.mentions import file_choices, in_words, mentioned

Begin = Callable[[CancelToken], Iterator[TurnEvent]]
"""Starts a turn, with what stops it."""

_LABEL: Final = "hychat:"
_BOLD: Final = "1"
_DIM: Final = "2"
_SIGNAL_CODE: Final = 128
_QUESTIONS_REMEMBERED: Final = 100
_LONGEST_SPEECH_SECONDS: Final = 60.0


class Repl:
    """Reads a line, does it, and reads the next."""

    def __init__(self, desk: Desk, output: Output, *, shows_thinking: bool = False) -> None:
        self._desk = desk
        self._output = output
        self._wishes = Wishes(show_thinking=shows_thinking)
        self._line = LineInput(self._completions, has_colour=output.stdout.has_colour)
        self._files: list[AttachedPart] = []
        self._changed: Message | None = None
        """The earlier question that is being changed."""
        self._cancel: CancelToken | None = None
        """Stops the answer that is being written."""
        self._loading = CancelToken()
        self._exit_code: int | None = None
        """Set where the chat is over."""

    def run(self, first: Sequence[Part] = ()) -> int:
        """Ask `first`, then whatever is typed; the exit code."""
        with self._ended_by_signals(), suppress(SystemExit):
            self._greet()
            self._begin_with(first)
            while self._exit_code is None:
                line = self._read()
                if line is None:
                    break
                self._take(line)
        self._loading.set()
        return self._exit_code or 0

    # Beginning and end

    def _begin_with(self, first: Sequence[Part]) -> None:
        """Ask it, where there are words to ask and none of them was only spoken; else have it go with the next question."""
        spoken = [part.attachment.text for part in first if isinstance(part, AttachedPart) and is_speech(part)]
        words = _words(first)
        if words and not spoken:
            self._output.marked(_you(), f" {words}", sgr=_BOLD)
            self._ask(tuple(first))
            return
        for part in first:
            if isinstance(part, AttachedPart) and not is_speech(part):
                self._attach_part(part)
        if draft := " ".join(filter(None, (*spoken, words))):
            self._edit(draft)

    def _greet(self) -> None:
        try:
            self._begin_loading()
            self._say(_("{model} answers.").format(model=self._desk.model_name))
            if self._desk.config.save:
                self._line.remember(self._desk.runtime.history().recent_questions(_QUESTIONS_REMEMBERED))
        except HychatError as error:  # another model may be chosen
            self._output.error(error)
        self._say(_("/help lists the commands, Ctrl+D leaves."))
        self._end_paragraph()
        if self._desk.branch:
            self._show_chat()

    def _begin_loading(self) -> None:
        """Load the model while the user types; what goes wrong is told by the first question.

        Raises:
            ModelNotFound: It is not on this machine.
        """
        model = self._desk.session.open(self._loading)

        def load() -> None:
            with suppress(HychatError):
                for _progress in model:
                    pass

        threading.Thread(target=load, name="load", daemon=True).start()

    @contextmanager
    def _ended_by_signals(self) -> Iterator[None]:
        """End in order, with the terminal's modes put back, when the system asks for it or the terminal is closed."""
        wanted = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._end) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """While an answer is written, stop it, so that it is kept as far as it came."""
        self._exit_code = _SIGNAL_CODE + number
        if self._cancel is None:
            raise SystemExit(self._exit_code)
        self._cancel.set()

    # Reading

    def _read(self) -> str | None:
        """What was typed; None where the user leaves."""
        is_warned = False
        while True:
            try:
                return self._line.read(_you())
            except EOFError:
                self._end_paragraph()
                return None
            except KeyboardInterrupt:
                self._end_paragraph()
                if not self._line.was_empty or self._drop():
                    is_warned = False
                elif is_warned:
                    return None
                else:
                    is_warned = True
                    self._say(_("Press Ctrl+C again to leave."))

    def _drop(self) -> bool:
        """Leave out the files and the change that were to come with the next question; whether there were any."""
        had_some = bool(self._files) or self._changed is not None
        self._files, self._changed = [], None
        if had_some:
            self._say(_("The next question is a new one, without files."))
        return had_some

    def _take(self, line: str) -> None:
        """A command is done; anything else is asked."""
        if not line.strip() and not self._files:
            return
        self._line.remember([line])
        try:
            typed = commands.read(line)
            if isinstance(typed, commands.Typed):
                for effect in typed.command.run(self._desk, typed.argument):
                    self._do(effect)
            elif (parts := self._parts(typed)) is not None:
                self._ask(parts)
        except HychatError as error:
            self._output.error(error)
        except KeyboardInterrupt:  # of a download, or of a question whether to fetch
            self._end_paragraph()

    def _parts(self, words: str) -> tuple[Part, ...] | None:
        """What was attached, the files that the words name, the words; None where speech among them is to be read first."""
        named = {mention: self._opened(mention.path) for mention in mentioned(words, self._files)}
        spoken = {mention: part.attachment.text for mention, part in named.items() if is_speech(part)}
        if spoken:
            self._edit(in_words(words, spoken))
            return None
        for part in named.values():
            tell_tokens(part.attachment, self._output)
        return (*self._files, *named.values(), *([TextPart(words)] if words.strip() else []))

    def _opened(self, path: Path) -> AttachedPart:
        return part_of(open_attachment(path), self._output, Consent())

    def _completions(self, line: str) -> list[str]:
        return [choice for choice, _about in commands.completions(line, self._desk) or file_choices(line)]

    # Answering

    def _ask(self, parts: tuple[Part, ...]) -> None:
        """Ask; where nothing comes of it, words and files are there to be sent again."""
        desk = self._desk
        self._files, changed, self._changed = [], self._changed, None
        if changed is not None:
            desk.stand_at(desk.conversation.before(changed))
        with self._taken_back(parts, _words(parts)):
            self._turn(lambda cancel: desk.session.turn(parts, cancel))

    @contextmanager
    def _taken_back(self, parts: Sequence[Part], line: str) -> Iterator[None]:
        """Where nothing comes of it, have words and files again."""
        before = self._desk.conversation.messages
        yield
        if self._desk.conversation.messages == before:
            self._files = [part for part in parts if isinstance(part, AttachedPart)]
            self._line.draft(line)

    def _turn(self, begin: Begin) -> None:
        with self._stoppable() as cancel:
            self._show(begin(cancel), _LABEL, cancel)

    def _compare(self, parts: tuple[Part, ...]) -> None:
        """One answer after another, each under its style; all are written at once, and the first is seen while it is."""
        with self._stoppable() as cancel:
            events = self._desk.session.compare(parts, tuple(Style), cancel)
            told = Parted(events)
            for nth, style in enumerate(Style):
                if nth:
                    self._end_paragraph()
                if not self._show(told.of(style), f"{style}:", cancel):
                    break
            for _event in events:  # what is not shown is kept all the same
                pass

    def _compare_new(self, words: str) -> None:
        if (parts := self._parts(words)) is not None:
            self._files = []
            with self._taken_back(parts, f"/compare {words}"):
                self._compare(parts)

    @contextmanager
    def _stoppable(self) -> Iterator[CancelToken]:
        """One Ctrl+C stops what is written; the second leaves hychat."""
        self._desk.is_busy = True
        try:
            with cancelled_by_ctrl_c() as cancel:
                self._cancel = cancel
                yield cancel
        except HychatError as error:  # the model is not here
            self._output.error(error)
        except KeyboardInterrupt:
            self._exit_code = INTERRUPTED
        finally:
            self._cancel = None
            self._desk.is_busy = False
        self._end_paragraph()

    def _show(self, events: Iterator[TurnEvent], label: str, cancel: CancelToken) -> bool:
        """Show an answer; whether it came whole. One that cannot be shown is stopped, and kept as far as it came."""
        try:
            is_stopped = read_turn(self._labelled(events, label), self._output, self._wishes) == INTERRUPTED
        except HychatError as error:
            self._output.error(error)
            cancel.set()
            for _event in events:
                pass
            return False
        if is_stopped:
            self._say(_("Stopped."))
        return not is_stopped

    def _labelled(self, events: Iterator[TurnEvent], label: str) -> Iterator[TurnEvent]:
        """The events, with a line before the first text of them that says who speaks, and one for a thought."""
        is_labelled = False
        for event in events:
            if isinstance(event, TokenEvent) and not is_labelled:
                is_labelled = True
                self._output.marked(label, "", sgr=_BOLD)
                if event.channel is Channel.THOUGHT and not self._wishes.show_thinking:
                    self._output.marked(_("(thinking)"), "", sgr=_DIM)
            yield event

    # Effects

    def _do(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one line an effect
        desk = self._desk
        match effect:
            case effects.Say(text, tone):
                self._say(text, tone)
            case effects.Ask(parts):
                self._ask(parts)
            case effects.Again():
                self._turn(lambda cancel: desk.session.again(cancel))  # noqa: PLW0108 - the model is looked for when it runs
            case effects.GoOn():
                self._turn(lambda cancel: desk.session.go_on(cancel))  # noqa: PLW0108 - as above
            case effects.Compare(parts):
                self._compare(parts)
            case effects.CompareNew(words):
                self._compare_new(words)
            case effects.Compact():
                self._compact()
            case effects.AnswerNow():
                self._say(_("No thought can be ended here; /think off lets the model answer at once."))
            case effects.Change(question):
                self._change(question)
            case effects.Draft(text):
                self._edit(text)
            case effects.Attach(path):
                self._attach_part(self._opened(path))
            case effects.AttachClipboard():
                self._attach_clipboard()
            case effects.Voice():
                self._speak()
            case effects.Copy(text):
                self._copy(text)
            case effects.Go(place):
                self._output.text(inline_text.about(place, desk, self._output.stdout.size().columns))
            case effects.ShowChat():
                self._show_chat()
            case effects.Refresh():
                self._say(inline_text.choices(desk))
            case effects.SwitchModel(name):
                self._switch_model(name)
            case effects.SwitchTheme():
                self._say(inline_text.about_themes())
            case effects.SwitchLanguage(tag):
                choose_language(tag or ("zh" if language() == "en" else "en"))
                self._say(_("hychat speaks English now."))
            case effects.Leave():
                self._exit_code = 0
            case _:
                assert_never(effect)

    def _change(self, question: Message) -> None:
        """Have it in the line again, and what was attached to it."""
        self._changed, self._files = question, []
        for part in question.parts:
            if isinstance(part, AttachedPart):
                self._attach_part(part)
        self._edit(question.text)

    def _say(self, text: str, tone: Tone = Tone.INFO) -> None:
        if tone is Tone.INFO:
            self._output.text(text)
        else:
            self._output.warn(text)

    def _end_paragraph(self) -> None:
        with suppress(OSError):  # told where words are written
            self._output.stdout.write("\n")

    def _show_chat(self) -> None:
        """Which chat it is, and its last words; the rest is one command away."""
        self._say(inline_text.where_it_stands(self._desk))
        question, answer = inline_text.last_words(self._desk)
        if question:
            self._output.marked(_you(), f" {question}", sgr=_BOLD)
        if answer:
            self._output.marked(_LABEL, "", sgr=_BOLD)
            self._output.answer(answer)
            self._output.end()
        if question or answer:
            self._end_paragraph()

    def _compact(self) -> None:
        before = self._desk.conversation.id
        self._turn(self._desk.compact)
        if self._desk.conversation.id != before:
            self._say(_("The chat goes on from this summary; the whole one stays in the history."))

    def _edit(self, text: str) -> None:
        """Put a text into the line; without readline, show it to be typed anew."""
        if not self._line.draft(text):
            self._say(text)

    def _attach_clipboard(self) -> None:
        part = picture_in_clipboard()
        if part is None:
            self._say(_("There is no picture in the clipboard."))
        else:
            self._attach_part(part)

    def _speak(self) -> None:
        """Ctrl+C ends what is said; another one, what is made of it."""
        while True:
            try:
                self._edit(self._heard())
            except SpeechModelMissing as missing:
                fetch_speech_model(missing, self._output, Consent())
            else:
                return

    def _heard(self) -> str:
        cancel = CancelToken()
        with cancelled_by_ctrl_c() as ends:
            for step in aside(spoken_words(_LONGEST_SPEECH_SECONDS, ends, cancel), cancel):
                match step:
                    case Listening():
                        self._say(_("Listening, for a minute at most. Ctrl+C ends it."))
                    case WritingDown():
                        tell_writing(step, self._output)
                    case words:
                        self._output.end()
                        return words
        raise AssertionError("speech ends with its words")

    def _attach_part(self, part: AttachedPart) -> None:
        if is_speech(part) and self._changed is None:
            self._edit(part.attachment.text)
            return
        self._files.append(part)
        if tokens := tokens_told(part.attachment):
            self._say(
                _("{name} goes with the next question: {tokens}.").format(name=part.attachment.name, tokens=tokens)
            )
        else:
            self._say(_("{name} goes with the next question.").format(name=part.attachment.name))

    def _copy(self, text: str) -> None:
        """By a tool of the system, and by OSC 52, which a terminal obeys or not, and never answers."""
        is_copied = copy_with_tool(text)
        if self._output.stdout.has_styles:
            self._output.stdout.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a")
        if is_copied:
            self._say(_("Copied."))
        elif self._output.stdout.has_styles:
            self._say(_("Copied, where the terminal allows it."))
        else:
            self._say(_("There is no way to the clipboard here; /export writes the chat to a file."))

    def _switch_model(self, name: str) -> None:
        """Talk to another model, fetched first where the user says yes to that."""
        from hychat.cli.first_run import model_at_hand

        self._desk.switch_model(model_at_hand(name, self._output, Consent()))
        self._say(_("From here on {model} answers.").format(model=self._desk.model_name))
        self._begin_loading()


class Parted:
    """The events of several answers that are written at once, to be read one answer after another."""

    def __init__(self, events: StyledEvents) -> None:
        self._events = events
        self._waiting: defaultdict[Style, deque[TurnEvent]] = defaultdict(deque)

    def of(self, style: Style) -> Iterator[TurnEvent]:
        """One answer's, to its end; those of the others that come meanwhile are kept for them."""
        waiting = self._waiting[style]
        while True:
            while waiting:
                event = waiting.popleft()
                yield event
                if isinstance(event, TurnFinished | TurnFailed):
                    return
            told, event = next(self._events)
            self._waiting[told].append(event)


def _words(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def _you() -> str:
    return _("You:")
