"""What goes with the next question: files, the clipboard's picture, speech; opened behind the keys, in their order."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import on, work
from textual.app import SuspendNotSupported
from textual.message import Message as TextualMessage
from textual.worker import Worker

from hychat.attach.parts import is_speech, opening, picture_in_clipboard, spoken_words
from hychat.attach.text import pasted_text
from hychat.domain.attachment import Listening, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, SpeechModelMissing
from hychat.domain.message import AttachedPart, Part
from hychat.messages import _
from hychat.tui import commands
from hychat.tui.desk import Desk
from hychat.tui.effects import Tone
from hychat.tui.fetching import Fetch, SpeechFetch, State
from hychat.tui.mentions import Mention, in_words, mentioned
from hychat.tui.screens.conversation import ConversationScreen
from hychat.tui.turns import batches
from hychat.tui.widgets.previews import Previews
from hychat.tui.widgets.prompt import Prompt
from hychat.tui.widgets.staged import Staged

if TYPE_CHECKING:
    from hychat.catalogue.pulling import Wanted

_LONGEST_SPEECH_SECONDS: Final = 60.0
_PERCENT: Final = 100

Ask = Callable[[tuple[Part, ...]], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Something to open; what was sent behind it waits."""

    name: str
    steps: Callable[[CancelToken], Iterator[WritingDown | AttachedPart]]
    take: Callable[[list[AttachedPart]], None]
    sent: str | None = None
    """A prompt whose turn it is then, as it was typed; None where only something is attached."""


class AttachingScreen(ConversationScreen):
    """A conversation with what is attached to its next question. Nobody waits for a thread at the end."""

    def __init__(self, desk: Desk, first: Sequence[Part] = ()) -> None:
        """As `ConversationScreen`."""
        super().__init__(desk, first)
        self._jobs: deque[_Job] = deque()
        self._working: Worker[None] | None = None
        self._listening: CancelToken | None = None
        """Ends what the microphone takes up."""
        self._hearing: Worker[None] | None = None
        self._again: dict[str, _Job] = {}
        """What waits for a speech model to be fetched, by its name."""

    # One after the other

    def _add_job(self, job: _Job) -> None:
        self._jobs.append(job)
        self._tell_opening()
        if len(self._jobs) == 1:
            self._working = self._work_off()

    @work(group="attach")
    async def _work_off(self) -> None:
        while self._jobs:
            job = self._jobs[0]
            try:
                parts = await self._opened(job)
            except HychatError as error:
                self._jobs.popleft()
                self._fail(job, error)
            else:
                self._jobs.popleft()
                job.take(parts)
            self._tell_opening()

    async def _opened(self, job: _Job) -> list[AttachedPart]:
        cancel = CancelToken()
        parts: list[AttachedPart] = []
        try:
            async for batch in batches(job.steps(cancel)):
                parts += [step for step in batch if isinstance(step, AttachedPart)]
                if (step := batch[-1]) and isinstance(step, WritingDown):
                    self._tell_opening(_writing(step))
        finally:
            cancel.set()
        return parts

    def _fail(self, job: _Job, error: HychatError) -> None:
        if job.sent is not None:
            self.prompt.put_back(job.sent)
        if isinstance(error, SpeechModelMissing):
            self._again[error.name] = job
            self._give_back_sent()
            self._offer_speech_model(error)
        else:
            self.tell_error(error)

    def _tell_opening(self, step: str = "") -> None:
        name = self._jobs[0].name if self._jobs else ""
        held = [job.sent for job in self._jobs if job.sent is not None]
        self.staged.tell_opening(step or (_("opening {name} …").format(name=name) if name else ""), held)

    def _give_back_sent(self) -> None:
        """Put what was sent behind something back into the prompt, as where that turned out to be speech."""
        for job in reversed([job for job in self._jobs if job.sent is not None]):
            self._jobs.remove(job)
            self.prompt.put_back(job.sent or "")

    @property
    def is_opening(self) -> bool:
        """Whether something is."""
        return bool(self._jobs)

    def stop_opening(self) -> None:
        """Leave what is being opened and what was to come after it; prompts are there to be sent again."""
        if self._working is not None:
            self._working.cancel()
        self._give_back_sent()
        self._jobs.clear()
        self._tell_opening()

    async def finish(self) -> None:
        """As `ConversationScreen`; what is being opened is left."""
        self.stop_opening()
        if self._listening is not None:
            self._listening.set()
        if self._hearing is not None:
            self._hearing.cancel()
        await super().finish()

    # Sending

    def send(self, words: str, typed: str, ask: Ask) -> None:
        """Ask this with what is attached and with the files that the words name, once all of it is open.

        `typed` is what goes back into the prompt where that is not possible.

        Raises:
            InputUnreadable: A file that the words name is not there.
        """
        named = mentioned(words, self.staged.files)
        if named or self._jobs:
            names = ", ".join(mention.path.name for mention in named)
            self._add_job(
                _Job(
                    names,
                    lambda cancel: _all_opened([mention.path for mention in named], cancel),
                    lambda parts: self._ask_with(dict(zip(named, parts, strict=True)), words, typed, ask),
                    sent=typed,
                )
            )
        else:
            ask(self.staged.parts((), words))

    def _ask_with(self, named: dict[Mention, AttachedPart], words: str, typed: str, ask: Ask) -> None:
        """Speech among the files becomes words, to be read before they are sent."""
        spoken = {mention: part.attachment.text for mention, part in named.items() if is_speech(part)}
        if spoken:
            self.prompt.put_back(typed.removesuffix(words) + in_words(words, spoken))
        else:
            ask(self.staged.parts(named.values(), words))

    # Files

    def attach_files(self, paths: Sequence[Path]) -> None:
        """Have these go with the next question."""
        for path in paths:
            self._add_job(_Job(path.name, partial(opening, path), self._take_parts))

    def _take_parts(self, parts: Sequence[AttachedPart]) -> None:
        """Speech becomes words in the prompt, to be read before they are sent."""
        self.staged.attach(*(part for part in parts if not is_speech(part)))
        if spoken := [part.attachment.text for part in parts if is_speech(part)]:
            self._give_back_sent()
            self._take_words(" ".join(spoken))

    def _take_words(self, words: str) -> None:
        self.prompt.set_text(" ".join(filter(None, (self.prompt.text, words))))
        self.prompt.focus()

    @on(Prompt.PastedFiles)
    def _attach_dropped(self, event: Prompt.PastedFiles) -> None:
        """Behind a command that wants a file, this is the file."""
        if commands.wants_path(self.prompt.text):
            self.prompt.set_text("")
        self.attach_files(event.paths)

    @on(Prompt.PastedMuch)
    def _attach_paste(self, event: Prompt.PastedMuch) -> None:
        part = pasted_text(event.text, len(self.staged.files) + 1)
        if self._jobs:
            self._add_job(_Job(part.attachment.name, lambda _cancel: iter((part,)), self._take_parts))
        else:
            self.staged.attach(part)

    @on(Prompt.Emptied)
    def _drop_last(self) -> None:
        self.staged.drop_last()

    # The clipboard

    def attach_clipboard(self, *, is_asked_for: bool) -> None:
        """Have its picture go with the next question; a key that was meant to paste text does so where there is none."""
        self._add_job(
            _Job(
                _("the clipboard"),
                lambda _cancel: _clipboard(is_asked_for=is_asked_for),
                lambda parts: self._take_clipboard(parts, is_asked_for=is_asked_for),
            )
        )

    def _take_clipboard(self, parts: Sequence[AttachedPart], *, is_asked_for: bool) -> None:
        if parts:
            self.staged.attach(*parts)
        elif is_asked_for:
            self.tell(_("There is no picture in the clipboard."))
        else:
            self.prompt.action_paste()

    @on(Prompt.WantsPicture)
    def _paste_picture(self) -> None:
        self.attach_clipboard(is_asked_for=False)

    # Previews

    @on(Staged.Changed)
    async def _show_previews(self) -> None:
        pictures = self.staged.pictures
        if pictures:
            self._bring_previews()
        await self.query_one(Previews).show(pictures)

    def _bring_previews(self) -> None:
        """The library asks the terminal what it can when it is imported; Textual must not read the answer."""
        if "textual_image.widget" not in sys.modules:
            try:
                with self.app.suspend():
                    import_module("textual_image.widget")
            except SuspendNotSupported:  # in a browser, and in tests
                import_module("textual_image.widget")

    # The microphone

    def speak(self) -> None:
        """Begin to listen, or end it."""
        if self._listening is None:
            self._listening = CancelToken()
            self._hearing = self._listen(self._listening)
        else:
            self.stop_listening()

    @property
    def is_listening(self) -> bool:
        """Whether the microphone takes something up, or its words are being written down."""
        return self._listening is not None

    def stop_listening(self) -> None:
        """End what is said; a second time, leave its words."""
        if self._listening is None:
            return
        if self._listening.is_set and self._hearing is not None:
            self._hearing.cancel()
        self._listening.set()

    @work(group="voice")
    async def _listen(self, ends: CancelToken) -> None:
        cancel = CancelToken()
        try:
            async for batch in batches(spoken_words(_LONGEST_SPEECH_SECONDS, ends, cancel)):
                for step in batch:
                    self._take_step(step)
        except SpeechModelMissing as missing:
            self._offer_speech_model(missing)
        except HychatError as error:
            self.tell_error(error)
        finally:
            cancel.set()
            ends.set()
            self._listening = None
            self._tell_opening()

    def _take_step(self, step: Listening | WritingDown | str) -> None:
        match step:
            case Listening():
                self.tell(_("Listening, for a minute at most. /voice or Esc ends it."))
            case WritingDown():
                self._tell_opening(_writing(step))
            case "":
                self.tell(_("Nothing was said."))
            case words:
                self._take_words(words)

    # The model that writes speech down

    @dataclass
    class Agreed(TextualMessage):
        """The user wants this download."""

        fetch: Fetch

    @work(exclusive=True, group="speech model")
    async def _offer_speech_model(self, missing: SpeechModelMissing) -> None:
        """Ask whether to fetch it, as models are asked for."""
        from hychat.catalogue.hub import hub_endpoint, is_offline
        from hychat.tui.screens.licence import LicenceScreen

        if is_offline():
            offline = _("hychat is offline (--offline or HF_HUB_OFFLINE), so nothing can be fetched.")
            self.tell(f"{missing.message}\n{offline}", Tone.ERROR)
            return
        self.tell(_("Asking the hub about {name}").format(name=missing.repository))
        try:
            endpoint = hub_endpoint()
            async for batch in batches(_speech_model(missing, endpoint)):
                if await self.app.push_screen_wait(LicenceScreen(batch[0], endpoint)):
                    self.post_message(self.Agreed(SpeechFetch(batch[0], endpoint)))
                else:
                    self._again.pop(missing.name, None)
        except HychatError as error:
            self.tell_error(error)

    def end_speech_fetch(self, fetch: Fetch) -> None:
        """Go on with what waited for this model."""
        job = self._again.pop(fetch.name, None)
        if fetch.state is not State.DONE:
            return
        if job is None:
            self.tell(_("{title} is here.").format(title=fetch.title))
        elif job.sent is None:
            self._add_job(job)


def _writing(step: WritingDown) -> str:
    share = min(1.0, step.done_seconds / step.total_seconds)
    return _("writing {name} down … {percent:.0f} %").format(name=step.name, percent=_PERCENT * share)


def _all_opened(paths: Sequence[Path], cancel: CancelToken) -> Iterator[WritingDown | AttachedPart]:
    for path in paths:
        yield from opening(path, cancel)


def _clipboard(*, is_asked_for: bool) -> Iterator[AttachedPart]:
    """Its picture, where it has one; what is wrong with it is told only to who asked."""
    try:
        part = picture_in_clipboard()
    except HychatError:
        if is_asked_for:
            raise
        return
    if part is not None:
        yield part


def _speech_model(missing: SpeechModelMissing, endpoint: str) -> "Iterator[Wanted]":
    """What there is to fetch; for a thread."""
    from hychat.catalogue.speech import wanted_speech_model

    yield wanted_speech_model(missing.name, missing.repository, endpoint)
