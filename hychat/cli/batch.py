"""`hychat batch`: many questions from a file, several at once, one JSON line an answer, in order; it can be gone on with."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from hychat.attach.text import read_file
from hychat.cli import typed
from hychat.cli.commands import Command
from hychat.cli.interrupt import cancelled_by_ctrl_c
from hychat.cli.jsonl import value_of
from hychat.cli.output import Output
from hychat.cli.reader import INTERRUPTED, answer_as_json, is_help, picture_as_json, verdict_as_json
from hychat.cli.stdin import read_stdin
from hychat.config.load import load
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel, Style
from hychat.domain.codec import JsonObject
from hychat.domain.errors import Blocked, EngineUnavailable, HychatError, InputUnreadable
from hychat.domain.generation import StopReason
from hychat.domain.text import readable
from hychat.engine.grammar import load_schema
from hychat.messages import _, ngettext
from hychat.paths import config_file
from hychat.runtime import Runtime
from hychat.session.batch import Outcome, Task, answer_all
from hychat.session.seeing import road_text

_STDIN: Final = "-"

_Questions = Annotated[
    Path,
    typer.Argument(
        metavar=_("FILE"),
        help=_(
            "One question a line: plain text, a JSON string, or an object with prompt, system, id and attach, a list of "
            "pictures and files, found from the folder of FILE; - is stdin."
        ),
        show_default=False,
    ),
]
_OutputFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar=_("FILE"), help=_("Add the answers to this file; those in it are skipped.")),
]
_Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar=_("MODEL"),
        help=_("The model to ask: a name, hf:owner/repository, or the path of a GGUF file."),
        autocompletion=typed.model_names,
    ),
]
_System = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--system",
        metavar=_("TEXT"),
        help=_("Tell the model who it is and how to behave, before the chat."),
        parser=readable,
    ),
]
_StyleOf = Annotated[Style | None, typer.Option("--style", help=_("The manner of the answer."), case_sensitive=False)]
_Temperature = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--temperature",
        metavar=_("NUMBER"),
        help=_("How freely words are chosen: 0.1 (the likeliest) to 1.0."),
    ),
]
_MaxTokens = Annotated[
    str | None,
    typer.Option(
        "--max-tokens",
        metavar=_("NUMBER"),
        help=_("The longest answer, in tokens: a token is a word or a part of one."),
    ),
]
_Seed = Annotated[
    str | None,
    typer.Option(
        "--seed", metavar=_("NUMBER"), help=_("The same number gives the same answer again, on the same machine.")
    ),
]
_Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar=_("SCHEMA"),
        help=_("Answer in JSON that follows this JSON schema: a file, or the schema itself."),
    ),
]
_Safety = Annotated[
    SafetyLevel | None,
    typer.Option("--safety", help=_("How much the safety filter stops."), case_sensitive=False),
]
_Parallel = Annotated[
    int, typer.Option("--parallel", metavar=_("NUMBER"), help=_("How many questions to answer at once."), min=1, max=64)
]


@dataclass(frozen=True, slots=True)
class _Line:
    """One question of the file."""

    id: str
    task: Task


def batch(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    file: _Questions,
    output_file: _OutputFile = None,
    model: _Model = None,
    system: _System = None,
    style: _StyleOf = None,
    temperature: _Temperature = None,
    max_tokens: _MaxTokens = None,
    seed: _Seed = None,
    safety: _Safety = None,
    schema: _Schema = None,
    parallel: _Parallel = 4,
) -> int:
    """Answer every question; the exit code is 1 where one was not answered, or not to its end."""
    flags = {
        "model": model,
        "system": system,
        "style": style,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "safety": safety,
    }
    config = load(config_file(), os.environ).over(flags)
    settings = replace(config.generation, json_schema=load_schema(schema) if schema else None)
    lines = _lines(file, Task("", config.system, config.style))
    with closing(Runtime(config, spawned=ctx.obj, slots=parallel)) as runtime, _opened(output_file) as (write, done):
        engine = runtime.engine(runtime.model_name())
        with cancelled_by_ctrl_c() as cancel:
            tasks = (line.task for line in lines[done:])
            guard = runtime.guard(config.safety)
            outcomes = answer_all(
                engine, tasks, settings, parallel=parallel, cancel=cancel, guard=guard, eyes=runtime.eyes()
            )
            asked = zip(lines[done:], outcomes, strict=False)
            return _write_all(asked, done, len(lines), write, cancel, must_parse=schema is not None)


def _write_all(  # noqa: PLR0913 - what was asked, and how it is told
    asked: Iterator[tuple[_Line, Outcome]],
    done: int,
    total: int,
    write: Callable[[JsonObject], None],
    cancel: CancelToken,
    *,
    must_parse: bool,
) -> int:
    """Write the answers as they come; the exit code."""
    output = Output.of_process()
    if done:
        output.note(
            ngettext("{count} answer is there already.", "{count} answers are there already.", done).format(count=done)
        )
    exit_code = 0
    for number, (line, outcome) in enumerate(asked, start=done + 1):
        if cancel.is_set:  # what was cut short is asked again by the next run
            break
        if isinstance(outcome.ended, EngineUnavailable):  # so it would be with every other question
            raise outcome.ended
        for picture in outcome.pictures:
            output.note(f"{line.id}: {road_text(picture)}")
        told = line_of(outcome, must_parse=must_parse)
        if "error" in told:
            exit_code = HychatError.exit_code
            output.warn(_("{id}: {reason}").format(id=line.id, reason=told["error"]))
        write({"id": line.id, **told})
        output.progress(_("Answering"), number, total)
    output.end()
    return INTERRUPTED if cancel.is_set else exit_code


def line_of(outcome: Outcome, *, must_parse: bool) -> JsonObject:
    """The fields of a line; `error` and `exit_code` are among them where there is no answer, or only a part of it."""
    ended, found = outcome.ended, _found(outcome)
    if isinstance(ended, HychatError):
        return {**_error(ended.message, ended.exit_code), **found}
    if must_parse and is_help(outcome.verdicts):
        return {**_error(ended.text, Blocked.exit_code), **found}
    try:
        answer = answer_as_json(ended)
    except ValueError:  # JSON that was cut before its end
        return {**_error(_("The answer was cut before its JSON was whole."), HychatError.exit_code), **found}
    if ended.stop is StopReason.BLOCKED:
        answer |= _error(_stopped(outcome), Blocked.exit_code)
    return {**answer, **found}


def _found(outcome: Outcome) -> JsonObject:
    pictures = [picture_as_json(picture) for picture in outcome.pictures]
    verdicts = [verdict_as_json(verdict) for verdict in outcome.verdicts]
    return {**({"pictures": pictures} if pictures else {}), "safety": verdicts}


def _error(message: str, exit_code: int) -> JsonObject:
    return {"error": message, "exit_code": exit_code}


def _stopped(outcome: Outcome) -> str:
    """By what the filter ended an answer."""
    from hychat.safety.telling import event_text

    return event_text(outcome.verdicts[-1])


def _lines(file: Path, common: Task) -> list[_Line]:
    """All questions; every line is looked at before the first is asked.

    Raises:
        InputUnreadable: The file cannot be read, or a line is no question.
    """
    part = read_stdin() if str(file) == _STDIN else read_file(file)
    text = part.attachment.text if part else ""
    numbered = enumerate(text.split("\n"), start=1)
    return [_line(line, number, file, common) for number, line in numbered if line.strip()]


def _line(line: str, number: int, file: Path, common: Task) -> _Line:
    """A question: an object, a JSON string, or plain text, which is what does not look like either.

    Raises:
        InputUnreadable: It looks like JSON and is none, or has no prompt.
    """
    if line.lstrip()[:1] not in {"{", '"'}:
        return _Line(str(number), replace(common, prompt=line.strip()))
    try:
        value = value_of(line)
    except ValueError as error:
        raise _no_question(file, number, str(error)) from error
    fields = {"prompt": value} if isinstance(value, str) else value
    prompt, system = fields.get("prompt"), fields.get("system", common.system)
    if not isinstance(prompt, str) or not prompt.strip() or not isinstance(system, str):
        raise _no_question(file, number, _('it has no text under "prompt"'))
    files = tuple(file.parent / name for name in _names(fields.get("attach", []), file, number))
    return _Line(str(fields.get("id", number)), replace(common, prompt=prompt, system=system, files=files))


def _names(attach: object, file: Path, number: int) -> list[str]:
    """Of the files that go with a question. Raises InputUnreadable where it is no list of such."""
    names = [attach] if isinstance(attach, str) else attach
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _no_question(file, number, _('what it has under "attach" is no list of files'))
    return names


def _no_question(file: Path, number: int, reason: str) -> InputUnreadable:
    return InputUnreadable(
        _("{file}, line {number} is no question: {reason}.").format(
            file=file, number=number, reason=reason.rstrip(".")
        ),
        hint=_('Write one question a line: plain text, or {"prompt": "..."}.'),
    )


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[Callable[[JsonObject], None], int]]:
    """Where the answers go, and how many whole ones are there already.

    Raises:
        HychatError: The file cannot be written.
    """
    if path is None:
        yield Output.of_process().json_line, 0
        return
    try:
        with path.open("a+", encoding="utf-8") as file:
            done = _keep_whole_lines(file)

            def write(value: JsonObject) -> None:
                file.write(json.dumps(value, ensure_ascii=False) + "\n")
                file.flush()

            yield write, done
    except OSError as error:
        raise HychatError(
            _("{path} cannot be written: {reason}.").format(path=path, reason=error.strerror or error)
        ) from error


def _keep_whole_lines(file: TextIO) -> int:
    """Cut off a line that an earlier run could not finish; how many whole ones there are."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.truncate(len(whole.encode()))
    return whole.count("\n")


app = typer.Typer(name="batch", rich_markup_mode=None, add_completion=False)
app.command("batch", cls=Command, help=_("Answer many questions from a file, several at once."))(batch)
