"""`hychat gguf quantize`: a model in fewer bits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.output import Output
from hychat.messages import _, ngettext

if TYPE_CHECKING:
    from hychat.conversion.quantize import Quantized


def _file_types(incomplete: str) -> list[str]:
    from hychat.conversion.file_types import FILE_TYPES

    return [name for name in FILE_TYPES if name.startswith(incomplete.upper())]


_Source = Annotated[str, shared.model_argument(help=_("The model to quantize: a name, or the path of a GGUF file."))]
_Target = Annotated[
    Path | None, typer.Argument(help=_("The file to write; not needed for a dry run."), metavar=_("FILE"))
]
_Type = Annotated[
    str,
    typer.Option(
        "--type",
        help=_("What to quantize to: Q4_K_M, Q4_K_S, Q4_0, IQ4_XS, Q5_K_M, Q6_K, Q8_0, F16 and others of llama.cpp's."),
        metavar=_("TYPE"),
        autocompletion=_file_types,
    ),
]
_Imatrix = Annotated[
    Path | None, shared.file_option("--imatrix", help=_("An importance matrix, by `hychat gguf imatrix`."))
]
_Shared = Annotated[
    bool,
    typer.Option(
        "--keep-shared/--no-keep-shared",
        help=_(
            "Keep what every token of a mixture goes through, attention and shared experts, in 8 bits; yes if not said."
        ),
    ),
]
_TensorTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--tensor-type",
        help=_("Another format for tensors whose names match: attn_v=Q8_0; may be given again."),
        metavar=_("PATTERN=TYPE"),
    ),
]
_Requantize = Annotated[bool, typer.Option("--allow-requantize", help=_("Take a model that is quantized already."))]
_DryRun = Annotated[bool, typer.Option("--dry-run", help=_("Tell how large the file would be, and write nothing."))]
_Threads = Annotated[int | None, shared.threads()]
_Overwrite = Annotated[bool, shared.overwrite()]
_Json = Annotated[bool, shared.as_json()]


def quantize(  # noqa: PLR0913 - one parameter an option
    model: _Source,
    target: _Target = None,
    *,
    file_type: _Type = "Q4_K_M",
    imatrix: _Imatrix = None,
    keep_shared: _Shared = True,
    tensor_types: _TensorTypes = None,
    allow_requantize: _Requantize = False,
    dry_run: _DryRun = False,
    threads: _Threads = None,
    overwrite: _Overwrite = False,
    as_json: _Json = False,
) -> None:
    """Tells the sizes before and after, and what went into which format."""
    from hychat.conversion import quantize as conversion
    from hychat.conversion.file_types import formats_by_pattern
    from hychat.domain.errors import UsageError

    if target is None and not dry_run:
        raise UsageError(_("Where to write the quantized model is not said."), hint=_("Name a file, or add --dry-run."))
    output = Output.of_process()
    source = shared.located(model)
    formats = formats_by_pattern(tensor_types or ())
    wanted = conversion.Quantization(source, file_type, imatrix, keep_shared, allow_requantize, threads, formats)
    with shared.stoppable(output) as cancel:
        if dry_run or target is None:
            done = conversion.forecast(wanted, cancel)
        else:
            step = _("Quantizing {name}").format(name=source.name)
            tell = shared.progress(output, step)
            done = conversion.quantize(wanted, target, cancel, tell, overwrites=overwrite)
    tell_quantized(output, done, None if dry_run else target, as_json=as_json)


def tell_quantized(output: Output, done: "Quantized", target: Path | None, *, as_json: bool) -> None:
    """What came of it; as JSON, all of it."""
    tell_remarks(output, done)
    if as_json:
        output.json(_as_json(done, target))
    else:
        output.text(_table(done, target))


def tell_remarks(output: Output, done: "Quantized") -> None:
    """What is good to know of the new file."""
    if done.remark:
        output.warn(done.remark)
    if done.rounded_twice:
        output.warn(
            _(
                "The model was quantized before, and the losses of both times add up; look at them with: {command}"
            ).format(command="hychat gguf compare")
        )
    if done.fallbacks:
        count = len(done.fallbacks)
        output.note(
            ngettext(
                "{count} tensor has rows that fit no block of its format, and is in another one.",
                "{count} tensors have rows that fit no block of their format, and are in another one.",
                count,
            ).format(count=count)
        )


def _as_json(done: "Quantized", target: Path | None) -> dict[str, object]:
    return {
        "path": None if target is None else str(target),
        "bytes": done.file_bytes,
        "weights_bytes": done.bytes_after,
        "source_weights_bytes": done.bytes_before,
        "ratio": round(done.bytes_after / done.bytes_before, 4),
        "ratio_to_f16": round(done.bytes_after / done.f16_bytes, 4),
        "bits_per_weight": round(done.bits_per_weight, 3),
        "mix": dict(done.mix),
        "fallbacks": len(done.fallbacks),
        "rounded_twice": done.rounded_twice,
        "remark": done.remark or None,
    }


def _table(done: "Quantized", target: Path | None) -> str:
    from hychat.domain.numbers import size

    head = _("{name}: {size}, {ratio:.2f} of the source, {f16_ratio:.2f} of 16 bits; {bits:.2f} bits a weight").format(
        name=_("Would be") if target is None else target,
        size=size(done.file_bytes),
        ratio=done.bytes_after / done.bytes_before,
        f16_ratio=done.bytes_after / done.f16_bytes,
        bits=done.bits_per_weight,
    )
    rows = [f"  {kind:<8} {size(count):>8}  {count / done.bytes_after:4.0%}" for kind, count in done.mix.items()]
    return "\n".join([head, *rows])


app = typer.Typer(name="quantize", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Make a GGUF smaller: the same model in fewer bits."))(quantize)
