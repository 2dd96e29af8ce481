"""`hychat "question"`: one answer, then exit. Also what reads a pipe."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from hychat import __version__
from hychat.cli.output import Output, Verbosity
from hychat.cli.reader import Wishes, read_turn
from hychat.cli.stdin import read_file, read_stdin
from hychat.config.load import load
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversationNotFound, UsageError
from hychat.domain.generation import Style
from hychat.domain.message import Conversation, Part, TextPart
from hychat.messages import _
from hychat.paths import config_file
from hychat.runtime import Runtime
from hychat.session.fit import Truncate


def _print_version(value: bool) -> None:
    if value:
        Output.of_process().text(f"hychat {__version__}")
        raise typer.Exit


def _models(incomplete: str) -> list[str]:
    from hychat.catalogue.find import known_models

    return [spec.name for spec in known_models() if spec.name.startswith(incomplete)]


_Question = Annotated[list[str] | None, typer.Argument(help=_("What to ask. Data from a pipe is put before it."))]
_Prompt = Annotated[str | None, typer.Option("-p", "--prompt", help=_("The question, as an option."))]
_Model = Annotated[
    str | None, typer.Option("-m", "--model", help=_("A model's name, or a GGUF file."), autocompletion=_models)
]
_System = Annotated[str | None, typer.Option("-s", "--system", help=_("What the model is told before the chat."))]
_StyleOf = Annotated[Style | None, typer.Option("--style", help=_("The manner of the answer."), case_sensitive=False)]
_Temperature = Annotated[
    str | None, typer.Option("-t", "--temperature", help=_("From 0.1 (the likeliest words) to 1.0."), metavar="NUMBER")
]
_Files = Annotated[list[Path] | None, typer.Option("-f", "--file", help=_("Add a text file; may be repeated."))]
_Continue = Annotated[bool, typer.Option("-c", "--continue", help=_("Go on with the last chat."))]
_Resume = Annotated[str | None, typer.Option("--resume", help=_("Go on with the chat of this id."), metavar="ID")]
_Extract = Annotated[bool, typer.Option("-x", "--extract", help=_("Print the answer's first code block only."))]
_Json = Annotated[bool, typer.Option("--json", help=_("Print answer, thought, settings and figures as JSON."))]
_Schema = Annotated[
    str | None, typer.Option("--schema", help=_("Answer in JSON that follows this JSON schema: a file, or the schema."))
]
_NoStream = Annotated[bool, typer.Option("--no-stream", help=_("Print the answer when it is whole."))]
_MaxTokens = Annotated[str | None, typer.Option("--max-tokens", help=_("The longest answer."), metavar="NUMBER")]
_Seed = Annotated[str | None, typer.Option("--seed", help=_("Draw the same words again."), metavar="NUMBER")]
_Think = Annotated[bool | None, typer.Option("--think/--no-think", help=_("Let the model think first, if it can."))]
_ShowThinking = Annotated[bool, typer.Option("--show-thinking", help=_("Show what it thinks."))]
_TruncateEnd = Annotated[
    Truncate | None, typer.Option("--truncate", help=_("Cut this end of data that is too long."), case_sensitive=False)
]
_NoSave = Annotated[bool, typer.Option("-n", "--no-save", help=_("Do not keep this chat."))]
_Stats = Annotated[bool, typer.Option("--stats", help=_("Tell token counts and speed on stderr."))]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help=_("Tell nothing but errors."))]
_Verbose = Annotated[bool, typer.Option("-v", "--verbose", help=_("Tell more."))]
_NoColour = Annotated[bool, typer.Option("--no-color", help=_("No colours."))]
_Language = Annotated[str | None, typer.Option("--lang", help=_("The language hychat speaks: en or zh."))]
_Version = Annotated[
    bool | None,
    typer.Option("--version", help=_("Print the version."), callback=_print_version, is_eager=True),
]


def ask(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    question: _Question = None,
    prompt: _Prompt = None,
    model: _Model = None,
    system: _System = None,
    style: _StyleOf = None,
    temperature: _Temperature = None,
    file: _Files = None,
    goes_on: _Continue = False,
    resume: _Resume = None,
    truncate: _TruncateEnd = None,
    extract: _Extract = False,
    as_json: _Json = False,
    schema: _Schema = None,
    no_stream: _NoStream = False,
    max_tokens: _MaxTokens = None,
    seed: _Seed = None,
    think: _Think = None,
    show_thinking: _ShowThinking = False,
    no_save: _NoSave = False,
    stats: _Stats = False,
    quiet: _Quiet = False,
    verbose: _Verbose = False,
    no_color: _NoColour = False,
    lang: _Language = None,
    version: _Version = None,  # noqa: ARG001 - its callback does the work
) -> int:
    """Ask a question; the exit code."""
    flags = {
        "model": model,
        "system": system,
        "style": style,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "think": think,
        "language": lang,
        "save": False if no_save else None,
        "color": "never" if no_color else None,
    }
    config = load(config_file(), os.environ).over(flags)
    verbosity = Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL
    output = Output.of_process(verbosity, no_colour=config.color == "never")
    wishes = Wishes(
        as_json=as_json,
        extract=extract,
        must_parse=schema is not None,
        streams=not no_stream,
        show_thinking=show_thinking,
        stats=stats,
    )
    _refuse_both(
        words := " ".join(question or ()), prompt, _("Give the question once: as an argument, or with --prompt.")
    )
    _refuse_both(goes_on, resume, _("Choose one of --continue and --resume."))
    parts = _parts(words or prompt or "", file or ())
    with _closing(Runtime(config, spawned=ctx.obj)) as runtime:
        session = runtime.session(_conversation(runtime, goes_on=goes_on, resume=resume, system=system))
        session.settings = replace(session.settings, json_schema=_schema(schema))
        with _cancelled_by_ctrl_c() as cancel:
            return read_turn(session.turn(parts, cancel, truncate=truncate), output, wishes)


def _refuse_both(one: object, other: object, message: str) -> None:
    if one and other:
        raise UsageError(message)


def _schema(argument: str | None) -> str | None:
    if argument is None:
        return None
    from hychat.engine.grammar import load_schema

    return load_schema(argument)


def _parts(words: str, files: Sequence[Path]) -> tuple[Part, ...]:
    """What is asked: files, piped data, then the words. Piped data without any words is the question itself.

    Raises:
        UsageError: There is nothing to ask.
        InputUnreadable: A file or stdin is not text.
    """
    data = [read_file(path) for path in files]
    piped = read_stdin()
    words = words.encode("utf-8", "replace").decode()  # an argument may hold bytes that are no text
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


def _conversation(runtime: Runtime, *, goes_on: bool, resume: str | None, system: str | None) -> Conversation | None:
    """The chat to go on with; None for a new one.

    Raises:
        ConversationNotFound: There is none to go on with, or none of that id.
    """
    if not goes_on and not resume:
        return None
    conversation = runtime.history().load(resume) if resume else runtime.history().latest()
    if conversation is None:
        raise ConversationNotFound(_("There is no chat to go on with yet."))
    return conversation if system is None else replace(conversation, system=system)


@contextmanager
def _closing(runtime: Runtime) -> Iterator[Runtime]:
    try:
        yield runtime
    finally:
        runtime.close()


@contextmanager
def _cancelled_by_ctrl_c() -> Iterator[CancelToken]:
    """A token that the first Ctrl+C sets; the second ends the program."""
    cancel = CancelToken()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set:
            raise KeyboardInterrupt
        cancel.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)
