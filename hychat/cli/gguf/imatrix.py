"""`hychat gguf imatrix`: which columns of a model's matrices count most, measured at a text."""

from pathlib import Path
from typing import Annotated

import typer

from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.output import Output
from hychat.messages import _, ngettext

_Model = Annotated[str, shared.model_argument(help=_("The model at 16 bits: a name, or the path of a GGUF file."))]
_Text = Annotated[
    Path,
    shared.file_option(
        "-f", "--file", help=_("A text such as the model will read and write, - is stdin; 50,000 words do.")
    ),
]
_Target = Annotated[Path, shared.file_option("-o", "--output", help=_("The file to write."))]
_Chunk = Annotated[
    int, typer.Option("--ctx", min=32, metavar=_("NUMBER"), help=_("Tokens that are read in one piece."))
]
_Chunks = Annotated[int | None, shared.number("--chunks", help=_("Pieces of the text to read; all if not said."))]
_GpuLayers = Annotated[int, shared.gpu_layers()]
_Threads = Annotated[int | None, shared.threads()]
_Overwrite = Annotated[bool, shared.overwrite()]
_Json = Annotated[bool, shared.as_json()]


def imatrix(  # noqa: PLR0913 - one parameter an option
    model: _Model,
    *,
    text: _Text,
    target: _Target,
    chunk_tokens: _Chunk = 512,
    chunks: _Chunks = None,
    gpu_layers: _GpuLayers = 0,
    threads: _Threads = None,
    overwrite: _Overwrite = False,
    as_json: _Json = False,
) -> None:
    """Prints where the file is."""
    from hychat.conversion.imatrix import Reading, make_imatrix

    output = Output.of_process()
    source = shared.sound(model)
    reading = Reading(shared.text_at(text), chunk_tokens, chunks, gpu_layers, threads)
    step = _("Reading {text} with {model}").format(text=reading.text.name, model=source.name)
    tell = shared.progress(output, step)
    with shared.stoppable(output) as cancel:
        made = make_imatrix(source, reading, target, cancel, tell, overwrites=overwrite)
    if made.unseen:
        output.warn(
            _("Some experts were never asked: up to {count} in one layer. A longer text asks more of them.").format(
                count=max(made.unseen.values())
            )
        )
    if as_json:
        output.json(
            {
                "path": str(target),
                "chunks": made.chunks,
                "tokens": made.tokens,
                "entries": made.entries,
                "experts_never_asked": dict(made.unseen),
            }
        )
        return
    count = ngettext("{count} matrix, {tokens} tokens", "{count} matrices, {tokens} tokens", made.entries)
    output.note(count.format(count=made.entries, tokens=made.tokens))
    output.text(str(target))


app = typer.Typer(name="imatrix", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Measure with a text which weights count most, for a better quantization."))(imatrix)
