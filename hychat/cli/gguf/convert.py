"""`hychat gguf convert`: a Hugging Face checkpoint as a GGUF."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import options
from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.output import Output
from hychat.domain.numbers import amount, size
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
_Overwrite = Annotated[bool, shared.overwrite()]
_Json = Annotated[bool, shared.as_json()]


def convert(  # noqa: PLR0913 - one parameter an option
    source: _Source,
    output: _Out,
    *,
    outtype: _Outtype = None,
    mirror: _Mirror = None,
    accept_licence: _AcceptLicence = False,
    overwrite: _Overwrite = False,
    as_json: _Json = False,
) -> None:
    """Convert, and print where the GGUF is."""
    from hychat.conversion.convert import OUTTYPES
    from hychat.conversion.convert import convert as convert_checkpoint
    from hychat.domain.errors import UsageError

    wanted = outtype and outtype.lower()
    if wanted is not None and wanted not in OUTTYPES:
        raise UsageError(
            _("{name} is no type that convert writes.").format(name=outtype),
            hint=_("It writes {types}; `hychat gguf quantize` makes INT4 of the result.").format(
                types=", ".join(OUTTYPES)
            ),
        )
    screen = Output.of_process()
    folder = checkpoint_folder(source, mirror, screen, is_agreed=accept_licence)
    started = time.monotonic()
    tell = shared.progress(screen, _("Converting"))
    with shared.stoppable(screen) as cancel:
        made = convert_checkpoint(folder, output, wanted, cancel, tell, overwrites=overwrite)
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
    message = _("{architecture}, {parameters} parameters, {type}: {size} in {seconds:.1f} s.")
    screen.note(
        message.format(
            architecture=made.architecture,
            parameters=amount(made.parameters),
            type=made.outtype,
            size=size(made.bytes),
            seconds=seconds,
        )
    )
    screen.text(str(made.path))


app = typer.Typer(name="convert", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Make a GGUF of a Hugging Face checkpoint, without torch."))(convert)
