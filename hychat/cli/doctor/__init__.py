"""`hychat doctor`: what is wrong on this machine, and how to put it right."""

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Final

import typer

from hychat.cli import options
from hychat.cli.commands import Command
from hychat.cli.doctor.finding import Finding, Status, Surroundings
from hychat.cli.output import Output
from hychat.cli.wrapping import width_of, wrapped
from hychat.config.schema import KEYS
from hychat.domain.errors import UsageError
from hychat.messages import _

_LOOKS: Final = {Status.OK: "32", Status.WARN: "33", Status.ERROR: "1;31"}
_SENTENCE: Final = re.compile(r"[A-Z][a-z]|[\u2e80-\u9fff]")
"""How one begins, and no command does."""
_Online = Annotated[bool, typer.Option("--online", help=_("Also ask whether the hub and its mirror can be reached."))]
_Mirror = Annotated[
    str | None,
    typer.Option(
        "--mirror", help=_("Ask this mirror of the hub instead of hf-mirror.com; implies --online."), metavar=_("URL")
    ),
]
_Load = Annotated[
    str | None,
    typer.Option(
        "--load",
        help=_("Load this model too, and tell what of it went where; '' for the one a question would take."),
        metavar=_("MODEL"),
    ),
]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]


def doctor(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    online: _Online = False,
    mirror: _Mirror = None,
    load: _Load = None,
    context_tokens: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    n_cpu_moe: options.CpuExperts = None,
    kv_type: options.KvType = None,
    tensor_split: options.TensorSplit = None,
    main_gpu: options.MainGpu = None,
    rpc: options.Rpc = None,
    as_json: _Json = False,
) -> None:
    """Look, and tell; exit code 1 where something does not work."""
    from hychat.cli.doctor.checks import findings  # completion and help do without them
    from hychat.cli.doctor.network import MIRROR

    placing = {
        "context_tokens": context_tokens,
        "gpu_layers": gpu_layers,
        "n_cpu_moe": n_cpu_moe,
        "kv_type": kv_type,
        "tensor_split": tensor_split,
        "main_gpu": main_gpu,
    }
    if load is None and (typed := [KEYS[name].flag for name, value in placing.items() if value is not None]):
        raise UsageError(
            _("{option} says how a model is loaded, and none is.").format(option=typed[0]),
            hint=_("Name one with --load MODEL; '' is the one that a question would take."),
        )
    output = Output.of_process()
    around = Surroundings(output.stdout, ctx.obj, mirror or MIRROR, {**placing, "rpc": rpc})
    found = []
    for finding in findings(around, is_online=online or mirror is not None, model=load):
        found.append(finding)
        if not as_json:
            _tell(output, finding)
    if as_json:
        output.json([asdict(finding) for finding in found])
    if any(finding.status is Status.ERROR for finding in found):
        raise typer.Exit(1)


def _tell(output: Output, finding: Finding) -> None:
    """A line that begins with the word, and below it what puts it right."""
    words = {Status.OK: _("ok"), Status.WARN: _("warn"), Status.ERROR: _("error")}
    word, margin = words[finding.status], max(map(width_of, words.values())) + 2
    columns = output.stdout.size().columns - margin if output.stdout.is_terminal else sys.maxsize
    told = _("{check}: {message}").format(check=finding.check, message=finding.message)
    first, *rest = [part for line in told.splitlines() for part in wrapped(line, columns)]
    output.marked(word, f"{' ' * (margin - width_of(word))}{first}", sgr=_LOOKS[finding.status])
    for line in [*rest, *_fix_in_lines(finding.fix, columns)]:
        output.text(f"{' ' * margin}{line}")


def _fix_in_lines(fix: str, columns: int) -> Iterator[str]:
    """Sentences are wrapped; a command stays whole, so that it can be copied."""
    lines = _("fix: {fix}").format(fix=fix).splitlines() if fix else []
    for line, said in zip(lines, fix.splitlines(), strict=True):
        yield from wrapped(line, columns) if _SENTENCE.match(said) else [line]


app = typer.Typer(name="doctor", rich_markup_mode=None, add_completion=False)
app.command(
    cls=Command,
    help=_("Look for what is wrong here, and say how to put it right. Exit code 1 where something does not work."),
)(doctor)
