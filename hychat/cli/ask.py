"""`hychat "question"`: its options. What they do stands in `answer`, which is imported once there is a question."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hychat import __version__
from hychat.cli import options, typed
from hychat.domain.choices import SafetyLevel, Style, Truncate
from hychat.domain.text import readable
from hychat.messages import _

_asking = partial(typer.Option, rich_help_panel=_("Question and data"))
_answering = partial(typer.Option, rich_help_panel=_("Model and answer"))
_showing = partial(typer.Option, rich_help_panel=_("Output"))
_other = partial(typer.Option, rich_help_panel=_("Other"))


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"hychat {__version__}")
        raise typer.Exit


_Question = Annotated[
    list[str] | None,
    typer.Argument(
        metavar=_("QUESTION"),
        help=_("What to ask. Piped data is put before it; without a question, the data is the question."),
        parser=readable,
    ),
]
_Prompt = Annotated[
    str | None,
    _asking("-p", "--prompt", help=_("The question, as an option."), metavar=_("TEXT"), parser=readable),
]
_Files = Annotated[
    list[Path] | None,
    _asking(
        "-f",
        "--file",
        help=_("Put a file before the question: text, PDF, DOCX, HTML; - is stdin; may be repeated."),
        metavar=_("FILE"),
        parser=typed.file,
    ),
]
_Attachments = Annotated[
    list[Path] | None,
    _asking(
        "-a",
        "--attach",
        help=_("Attach an image, a sound or a document; - is stdin; may be repeated."),
        metavar=_("FILE"),
        parser=typed.file,
    ),
]
_System = Annotated[
    str | None,
    _asking(
        "-s",
        "--system",
        help=_("Tell the model who it is and how to behave, before the chat."),
        metavar=_("TEXT"),
        parser=readable,
    ),
]
_Continue = Annotated[bool, _asking("-c", "--continue", help=_("Go on with the last chat."))]
_Resume = Annotated[
    str | None,
    _asking(
        "--resume",
        help=_("Go on with the chat of this id; see: hychat history list."),
        metavar=_("ID"),
        parser=readable,
        autocompletion=typed.chat_ids,
    ),
]
_Interactive = Annotated[
    bool, _asking("-i", "--interactive", help=_("Open the chat on the whole screen, with the question sent."))
]
_Inline = Annotated[
    bool,
    _asking(
        "--inline",
        help=_("Chat at a plain prompt, not on the whole screen; for a screen reader, set ACCESSIBLE=1."),
    ),
]
_NoSave = Annotated[bool, _asking("-n", "--no-save", help=_("Do not keep this chat."))]
_TruncateEnd = Annotated[
    Truncate | None,
    _asking(
        "--truncate", help=_("Cut off this end of data that is too long, instead of giving up."), case_sensitive=False
    ),
]
_Model = Annotated[
    str | None,
    _answering(
        "-m",
        "--model",
        help=_("The model to ask: a name, hf:owner/repository, or the path of a GGUF file."),
        metavar=_("MODEL"),
        autocompletion=typed.model_names,
    ),
]
_StyleOf = Annotated[
    Style | None,
    _answering("--style", help=_("The manner of the answer."), case_sensitive=False),
]
_Temperature = Annotated[
    str | None,
    _answering(
        "-t", "--temperature", help=_("How freely words are chosen: 0.1 (the likeliest) to 1.0."), metavar=_("NUMBER")
    ),
]
_MaxTokens = Annotated[
    str | None,
    _answering(
        "--max-tokens",
        help=_("The longest answer, in tokens: a token is a word or a part of one."),
        metavar=_("NUMBER"),
    ),
]
_Seed = Annotated[
    str | None,
    _answering(
        "--seed", help=_("The same number gives the same answer again, on the same machine."), metavar=_("NUMBER")
    ),
]
_Think = Annotated[
    bool | None,
    _answering("--think/--no-think", help=_("Let the model think before it answers, where it can.")),
]
_Safety = Annotated[
    SafetyLevel | None,
    _answering("--safety", help=_("How much the safety filter stops."), case_sensitive=False),
]
_Schema = Annotated[
    str | None,
    _answering(
        "--schema",
        help=_("Answer in JSON that follows this JSON schema: a file, or the schema itself."),
        metavar=_("SCHEMA"),
    ),
]
_Extract = Annotated[
    bool,
    _showing("-x", "--extract", help=_("Print the answer's first code block only.")),
]
_Json = Annotated[
    bool,
    _showing("--json", help=_("Print JSON: the answer, the thought, the model, its settings and figures.")),
]
_NoStream = Annotated[
    bool,
    _showing("--no-stream", help=_("Print the answer when it is whole, not word by word.")),
]
_ShowThinking = Annotated[
    bool, _showing("--show-thinking", help=_("Show the model's thoughts as well; in a pipe on stderr."))
]
_Stats = Annotated[bool, _showing("--stats", help=_("Tell token counts and speed, on stderr."))]
_Quiet = Annotated[bool, _showing("-q", "--quiet", help=_("Tell nothing on stderr but errors."))]
_Verbose = Annotated[
    bool,
    _showing("-v", "--verbose", help=_("Tell what runs where, and with which settings, on stderr.")),
]
_NoColour = Annotated[bool, _showing("--no-color", help=_("Use no colours; for any command."))]
_Yes = Annotated[bool, options.yes(rich_help_panel=_("Other"))]
_AcceptLicence = Annotated[bool, options.accept_licence(rich_help_panel=_("Other"))]
_Offline = Annotated[bool, _other("--offline", help=_("Use no network; for any command."))]
_Language = Annotated[
    str | None,
    _other(
        "--lang", help=_("Speak English or Chinese; for any command."), metavar="en|zh", autocompletion=typed.languages
    ),
]
_Version = Annotated[
    bool | None,
    _other("--version", help=_("Print the version."), callback=_print_version, is_eager=True),
]


def _are_terminals() -> bool:
    from hychat.cli.full_screen import are_terminals

    return are_terminals()


def ask(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    question: _Question = None,
    prompt: _Prompt = None,
    file: _Files = None,
    attach: _Attachments = None,
    system: _System = None,
    goes_on: _Continue = False,
    resume: _Resume = None,
    interactive: _Interactive = False,
    inline: _Inline = False,
    no_save: _NoSave = False,
    truncate: _TruncateEnd = None,
    model: _Model = None,
    style: _StyleOf = None,
    temperature: _Temperature = None,
    max_tokens: _MaxTokens = None,
    seed: _Seed = None,
    lora: options.Lora = None,
    mmproj: options.Mmproj = None,
    context_tokens: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    n_cpu_moe: options.CpuExperts = None,
    kv_type: options.KvType = None,
    tensor_split: options.TensorSplit = None,
    main_gpu: options.MainGpu = None,
    rpc: options.Rpc = None,
    think: _Think = None,
    safety: _Safety = None,
    schema: _Schema = None,
    extract: _Extract = False,
    as_json: _Json = False,
    no_stream: _NoStream = False,
    show_thinking: _ShowThinking = False,
    stats: _Stats = False,
    quiet: _Quiet = False,
    verbose: _Verbose = False,
    no_color: _NoColour = False,  # noqa: ARG001 - as `lang`
    yes: _Yes = False,
    accept_licence: _AcceptLicence = False,
    offline: _Offline = False,  # noqa: ARG001 - as `lang`
    lang: _Language = None,  # noqa: ARG001 - taken out before, for it holds for every command
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
        "lora": "".join(f"{adapter}\n" for adapter in lora) if lora else None,  # a name may hold a comma
        "mmproj": str(mmproj) if mmproj else None,
        "context_tokens": context_tokens,
        "gpu_layers": gpu_layers,
        "n_cpu_moe": n_cpu_moe,
        "kv_type": kv_type,
        "tensor_split": tensor_split,
        "main_gpu": main_gpu,
        "rpc": rpc,
        "think": think,
        "safety": safety,
        "save": False if no_save else None,
    }
    words, files = " ".join(question or ()), (*(file or ()), *(attach or ()))
    if interactive or inline or (not (words or prompt or files or as_json or schema) and _are_terminals()):
        from hychat.cli.full_screen import Opening, open_chat

        opening = Opening(
            words or prompt or "",
            files,
            goes_on,
            resume,
            is_inline=inline,
            shows_thinking=show_thinking,
            consent=options.Consent(yes, accept_licence),
        )
        return open_chat(opening, flags, ctx.obj)
    from hychat.cli.answer import Asked, answer

    asked = Asked(
        words=words,
        prompt=prompt,
        files=files,
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
        consent=options.Consent(yes, accept_licence),
    )
    return answer(asked, flags, ctx.obj)
