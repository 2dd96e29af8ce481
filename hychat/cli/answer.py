"""One question, one answer: from what was typed and piped to a turn of chat."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from hychat.attach.parts import is_speech
from hychat.cli.attached import attached
from hychat.cli.details import loading, tell_answer, tell_tokens
from hychat.cli.interrupt import cancelled_by_ctrl_c
from hychat.cli.options import Consent
from hychat.cli.output import Output, Verbosity
from hychat.cli.reader import Wishes, read_turn
from hychat.cli.stdin import can_ask
from hychat.cli.streams import OutputClosed
from hychat.config.load import load
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Truncate
from hychat.domain.errors import ConversationNotFound, HychatError, UsageError
from hychat.domain.event import TurnEvent
from hychat.domain.message import Conversation, FilePart, Part, TextPart
from hychat.engine.spawn import Spawned
from hychat.messages import _
from hychat.paths import config_file
from hychat.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, but for the settings."""

    words: str
    prompt: str | None
    files: tuple[Path, ...]
    """Given with -f and -a, in the order they were typed within each."""
    goes_on: bool
    resume: str | None
    system: str | None
    truncate: Truncate | None
    extract: bool
    as_json: bool
    schema: str | None
    streams: bool
    show_thinking: bool
    stats: bool
    quiet: bool
    verbose: bool
    consent: Consent

    @property
    def verbosity(self) -> Verbosity:
        """How much to tell on stderr."""
        return Verbosity.QUIET if self.quiet else Verbosity.VERBOSE if self.verbose else Verbosity.NORMAL

    @property
    def wishes(self) -> Wishes:
        """How to show the answer."""
        return Wishes(
            as_json=self.as_json,
            extract=self.extract,
            must_parse=self.schema is not None,
            streams=self.streams,
            show_thinking=self.show_thinking,
            stats=self.stats,
        )


def answer(asked: Asked, flags: Mapping[str, object], spawned: Spawned | None) -> int:
    """Ask, show the answer, and keep it; the exit code. `flags` are settings by key, None for one that was not typed."""
    with closing(Runtime(load(config_file(), os.environ).over(flags), spawned=spawned)) as runtime:
        output = Output.of_process(asked.verbosity)
        _refuse_contradictions(asked)
        schema = _schema(asked.schema)
        parts = _parts(asked, output)
        for part in parts:
            if isinstance(part, FilePart) and is_speech(part):
                output.note(_("{name} says: {text}").format(name=part.attachment.name, text=part.attachment.text))
            elif isinstance(part, FilePart) and part.attachment.source:  # whoever pipes knows what
                tell_tokens(part.attachment, output)
        conversation = _conversation(runtime, asked, flags)
        if conversation is None:
            runtime.config = replace(runtime.config, model=_model(runtime.config.model, output, asked.consent))
        session = runtime.session(conversation)
        session.settings = replace(session.settings, json_schema=schema)
        with cancelled_by_ctrl_c() as cancel:
            engine = runtime.engine(session.conversation.model)
            steps = loading(engine, cancel, output) if asked.verbose else ()
            events = _one_after_the_other(steps, session.turn(parts, cancel, truncate=asked.truncate))
            exit_code = _read(events, cancel, output, replace(asked.wishes, adapters=engine.adapters))
        if asked.verbose:
            tell_answer(session.conversation, engine, output)
        return exit_code


def _model(name: str | None, output: Output, consent: Consent) -> str:
    """The model to ask: nearly always one that is named and here."""
    if name is not None and not (consent.says_yes or can_ask(output)):
        return name
    from hychat.cli.first_run import model_at_hand

    return model_at_hand(name, output, consent)


def _one_after_the_other(steps: Iterable[TurnEvent], events: Iterable[TurnEvent]) -> Iterator[TurnEvent]:
    """Both; unlike a chain, it is over when one of them fails."""
    yield from steps
    yield from events


def _read(events: Iterator[TurnEvent], cancel: CancelToken, output: Output, wishes: Wishes) -> int:
    """Show a turn; the exit code. Where it can be shown no longer it is stopped, and kept as far as it came."""
    try:
        return read_turn(events, output, wishes)
    except (OutputClosed, HychatError):
        cancel.set()
        for _event in events:
            pass
        raise


def _refuse_contradictions(asked: Asked) -> None:
    """Raises UsageError where two things were asked for that cannot both be had."""
    contradictions = [
        (asked.words and asked.prompt is not None, _("Give the question once: as an argument, or with --prompt.")),
        (asked.goes_on and asked.resume is not None, _("Choose one of --continue and --resume.")),
        (asked.extract and (asked.as_json or asked.schema), _("--extract takes code from text, not from JSON.")),
        (asked.quiet and asked.verbose, _("Choose one of --quiet and --verbose.")),
    ]
    for is_contradiction, message in contradictions:
        if is_contradiction:
            raise UsageError(message)


def _schema(argument: str | None) -> str | None:
    if argument is None:
        return None
    from hychat.engine.grammar import load_schema

    return load_schema(argument)


def _parts(asked: Asked, output: Output) -> tuple[Part, ...]:
    """What is asked: files, piped data, then the words. Piped data without any words is the question itself.

    Raises:
        UsageError: There is nothing to ask.
        HychatError: As `attached`.
    """
    words = asked.words or asked.prompt or ""
    data, piped = attached(asked.files, output, asked.consent)
    if words.strip():
        return (*data, *([piped] if piped else []), TextPart(words))
    if piped:
        return (*data, TextPart(piped.attachment.text))
    if data:
        return tuple(data)
    raise UsageError(
        _("There is nothing to ask."),
        hint=_('Give a question: hychat "why is the sky blue?", or pipe text in. See: hychat --help'),
    )


def _conversation(runtime: Runtime, asked: Asked, flags: Mapping[str, object]) -> Conversation | None:
    """The chat to go on with, with the model and system text that were typed; None for a new one.

    Raises:
        ConversationNotFound: There is none to go on with, or none of that id.
    """
    if not asked.goes_on and asked.resume is None:
        return None
    history = runtime.history()
    conversation = history.latest() if asked.resume is None else history.load(asked.resume)
    if conversation is None:
        raise ConversationNotFound(_("There is no chat to go on with yet."))
    return replace(
        conversation,
        model=str(flags.get("model") or conversation.model),
        system=conversation.system if asked.system is None else asked.system,
    )
