"""`hychat gguf convert`: a Hugging Face checkpoint as a GGUF."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import options
from hychat.cli.commands import Command
from hychat.cli.output import Output
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.conversion.convert import Converted

_Source = Annotated[
    str,
    typer.Argument(
        help=_("A folder with config.json and safetensors, or owner/repository[@revision] of the hub."),
        metavar=_("FOLDER|REPOSITORY"),
        show_default=False,
    ),
]
_Out = Annotated[
    Path, typer.Option("-o", "--output", help=_("The GGUF to write."), metavar=_("FILE"), show_default=False)
]
_Outtype = Annotated[
    str | None,
    typer.Option(
        "--outtype",
        help=_("Type of the weights: f16, bf16, q8_0 or f32. Without it: bf16 for a checkpoint in bf16, else f16."),
        metavar=_("TYPE"),
        autocompletion=lambda: ["f16", "bf16", "q8_0", "f32"],
    ),
]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("Fetch from this hub instead of huggingface.co."), metavar=_("URL"))
]
_AcceptLicence = Annotated[bool, options.accept_licence()]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]


def convert(  # noqa: PLR0913 - one parameter an option
    source: _Source,
    output: _Out,
    *,
    outtype: _Outtype = None,
    mirror: _Mirror = None,
    accept_licence: _AcceptLicence = False,
    as_json: _Json = False,
) -> None:
    """Convert, and print where the GGUF is."""
    from hychat.cli.interrupt import cancelled_by_ctrl_c
    from hychat.conversion.convert import OUTTYPES
    from hychat.conversion.convert import convert as convert_checkpoint
    from hychat.domain.errors import UsageError

    if outtype is not None and outtype not in OUTTYPES:
        raise UsageError(
            _("{name} is no type that convert writes.").format(name=outtype),
            hint=_("It writes {types}; `hychat gguf quantize` makes INT4 of the result.").format(
                types=", ".join(OUTTYPES)
            ),
        )
    screen = Output.of_process()
    folder = checkpoint_folder(source, mirror, screen, is_agreed=accept_licence)
    started = time.monotonic()
    step = _("Converting")
    try:
        with cancelled_by_ctrl_c() as cancel:
            made = convert_checkpoint(
                folder, output, outtype, cancel, lambda done, total: screen.progress(step, done, total)
            )
    finally:
        screen.abort()
    _tell(made, time.monotonic() - started, screen, as_json=as_json)


def checkpoint_folder(source: str, mirror: str | None, screen: Output, *, is_agreed: bool) -> Path:
    """Where the checkpoint is; what only the hub has is fetched."""
    from hychat.catalogue.checkpoints import is_repository

    if Path(source).is_dir() or not is_repository(source):
        return Path(source)
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.checkpoints import pull_checkpoint, wanted_checkpoint
    from hychat.catalogue.hub import hub_endpoint
    from hychat.cli.pulling import PullView, agree

    endpoint = hub_endpoint(mirror)
    wanted = wanted_checkpoint(source, endpoint)
    agreed = agree(wanted.licence, screen, accepted=is_agreed)
    done = PullView(screen).show(pull_checkpoint(wanted, hub_cache_folder(), endpoint, is_agreed=agreed))
    return Path(done[0].path).parent


def _tell(made: "Converted", seconds: float, screen: Output, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "path": str(made.path.absolute()),
            "bytes": made.bytes,
            "architecture": made.architecture,
            "outtype": made.outtype,
            "tensors": made.tensors,
            "parameters": made.parameters,
            "seconds": round(seconds, 3),
        }
        screen.json(facts)
        return
    message = _("{architecture}, {parameters:.2f} billion parameters, {type}: {size:.2f} GB in {seconds:.1f} s.")
    screen.note(
        message.format(
            architecture=made.architecture,
            parameters=made.parameters / 1e9,
            type=made.outtype,
            size=made.bytes / 1e9,
            seconds=seconds,
        )
    )
    screen.text(str(made.path))


app = typer.Typer(name="convert", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Make a GGUF of a Hugging Face checkpoint, without torch."))(convert)
