"""`hychat "question"`: its options. What they do stands in `answer`, which is imported once there is a question."""

from pathlib import Path
from typing import Annotated

import typer

from hychat import __version__
from hychat.domain.choices import Style, Truncate
from hychat.messages import _


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"hychat {__version__}")
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
    lang: _Language = None,  # noqa: ARG001 - read before the command line is, for the help
    version: _Version = None,  # noqa: ARG001 - its callback does the work
) -> int:
    """Ask a question; the exit code."""
    from hychat.cli.answer import Asked, answer

    flags = {
        "model": model,
        "system": system,
        "style": style,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "think": think,
        "save": False if no_save else None,
        "color": "never" if no_color else None,
    }
    asked = Asked(
        words=" ".join(question or ()),
        prompt=prompt,
        files=tuple(file or ()),
        goes_on=goes_on,
        resume=resume,
        system=system,
        truncate=truncate,
        extract=extract,
        as_json=as_json,
        schema=schema,
        streams=not no_stream,
        show_thinking=show_thinking,
        stats=stats,
        quiet=quiet,
        verbose=verbose,
    )
    return answer(asked, flags, ctx.obj)
