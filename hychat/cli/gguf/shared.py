"""What several of `hychat gguf`'s commands say and take alike."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import typer

from hychat.cli import typed
from hychat.cli.output import Output
from hychat.messages import _

model_argument: Final = partial(typer.Argument, metavar=_("MODEL"), autocompletion=typed.model_names)
file_option: Final = partial(typer.Option, metavar=_("FILE"))
number: Final = partial(typer.Option, metavar=_("NUMBER"), min=1)
threads: Final = partial(number, "--threads", help=_("Processor threads to use."))
gpu_layers: Final = partial(
    typer.Option, "--gpu-layers", min=-1, metavar=_("NUMBER"), help=_("Layers to compute on the GPU; -1 for all.")
)
overwrite: Final = partial(typer.Option, "--overwrite", help=_("Write over a file that is there already."))
as_json: Final = partial(typer.Option, "--json", help=_("Print JSON."))


def located(name: str) -> Path:
    """The file of a model: of the catalogue, of the hub's cache, or at a path. Raises as `catalogue.find.locate`."""
    from hychat.catalogue.find import locate

    return Path(locate(name).path)


def sound(name: str) -> Path:
    """The file of a model that llama.cpp can read. Raises as `located`, and ModelUnusable where it cannot."""
    from hychat.engine.audit import check_sound
    from hychat.engine.gguf import all_parts, read_header

    path = located(name)
    header = read_header(str(path))
    check_sound(header)
    all_parts(header)
    return path


def progress(output: Output, step: str) -> Callable[[int, int], None]:
    """Tells how far a step is; a terminal is painted for whole percents only."""
    told: set[int] = set()

    def tell(done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if percent not in told:
            told.add(percent)
            output.progress(step, done, total)

    return tell
