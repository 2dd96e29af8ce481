"""What several of `hychat gguf`'s commands say and take alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from hychat.cli import typed
from hychat.cli.interrupt import cancelled_by_any_signal
from hychat.cli.output import Output
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import UsageError
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.domain.attachment import Attachment

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


def text_at(path: Path) -> "Attachment":
    """A text to read; - is stdin.

    Raises:
        InputUnreadable: It is missing, or no text.
        UsageError: Nothing is piped in.
    """
    from hychat.attach.text import read_file
    from hychat.cli.stdin import read_stdin

    part = read_stdin() if str(path) == "-" else read_file(path)
    if part is None:
        raise UsageError(_("There is nothing on stdin."), hint=_("Pipe a text in, or name a file."))
    return part.attachment


@contextmanager
def stoppable(output: Output) -> Iterator[CancelToken]:
    """For work that takes long: Ctrl+C and the system's signals end it in order, and its progress line goes, however it ends."""
    try:
        with cancelled_by_any_signal() as cancel:
            yield cancel
    finally:
        output.abort()


def progress(output: Output, step: str) -> Callable[[int, int], None]:
    """Tells how far a step is; a terminal is painted for whole percents only."""
    told: set[int] = set()

    def tell(done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if percent not in told:
            told.add(percent)
            output.progress(step, done, total)

    return tell
