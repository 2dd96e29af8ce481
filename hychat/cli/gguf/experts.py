"""`hychat gguf experts`: which experts a mixture sends the tokens of a text to."""

from pathlib import Path
from typing import Annotated, Final

import typer

from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.output import Output
from hychat.domain.errors import UsageError
from hychat.engine.experts import (
    ASCII_SHADES,
    COLOURS,
    OLDER_SHARE,
    PUBLISHED_SHARE,
    SHADES,
    ExpertUse,
    LayerUse,
    Row,
    heat_map,
    in_words,
    legend,
)
from hychat.messages import _

_COLUMNS: Final = 80

_Model = Annotated[str, shared.model_argument(help=_("A mixture of experts: a name, or the path of a GGUF file."))]
_Text = Annotated[Path, shared.file_option("--text", help=_("The text that it reads; - is stdin."))]
_Chunk = Annotated[
    int, typer.Option("--ctx", min=32, metavar=_("NUMBER"), help=_("Tokens that are read in one piece."))
]
_Chunks = Annotated[int | None, shared.number("--chunks", help=_("Pieces of the text to read; all if not said."))]
_GpuLayers = Annotated[int, shared.gpu_layers()]
_Threads = Annotated[int | None, shared.threads()]
_Json = Annotated[bool, shared.as_json()]


def experts(  # noqa: PLR0913 - one parameter an option
    model: _Model,
    *,
    text: _Text,
    chunk_tokens: _Chunk = 128,
    chunks: _Chunks = None,
    gpu_layers: _GpuLayers = 0,
    threads: _Threads = None,
    as_json: _Json = False,
) -> None:
    """Prints a heat map, or JSON."""
    from hychat.engine.gguf import read_header
    from hychat.engine.task import run_task

    output, path = Output.of_process(), shared.sound(model)
    header = read_header(str(path))
    if not header.expert_count:
        raise UsageError(
            _("{name} is no mixture of experts.").format(name=model),
            hint=_("Mixtures are hunyuan-a13b and hy-mt2-30b-a3b; `hychat gguf inspect` tells of any model."),
        )
    arguments = {
        "model": str(path),
        "text": shared.text_at(text).text,
        "experts": header.expert_count,
        "chunk_tokens": chunk_tokens,
        "most_chunks": chunks,
        "gpu_layers": gpu_layers,
        "threads": threads,
    }
    tell = shared.progress(output, _("Reading {text} with {model}").format(text=text.name, model=path.name))
    with shared.stoppable(output) as cancel:
        done = run_task("experts", arguments, cancel, lambda progress: tell(progress["done"], progress["total"]))
    use = ExpertUse.of(done["layers"])
    if as_json:
        output.json(_as_json(model, done["tokens"], header.expert_used_count, use))
        return
    columns = output.stdout.size().columns if output.stdout.is_terminal else _COLUMNS
    for row in (*heat_map(use, columns), legend()):
        output.styled(_styled(row, output))
    for line in in_words(use):
        output.text(line)


def _styled(row: Row, output: Output) -> str:
    shades = SHADES if output.stdout.is_unicode else ASCII_SHADES
    if not output.stdout.has_colour:
        return row.shaded(shades)
    cells = (f"\x1b[38;5;{COLOURS[level]}m{shades[max(1, level)]}" for level in row.levels)
    return f"{row.margin}{''.join(cells)}\x1b[0m"


def _as_json(model: str, tokens: int, used: int, use: ExpertUse) -> dict[str, object]:
    return {
        "model": model,
        "tokens": tokens,
        "experts_used_per_token": used,
        "share_in_use": round(use.share_in_use, 4),
        "balance": round(use.balance, 4),
        "published_share_in_use": PUBLISHED_SHARE,
        "older_share_in_use": OLDER_SHARE,
        "layers": [_layer_as_json(layer) for layer in use.layers],
    }


def _layer_as_json(layer: LayerUse) -> dict[str, object]:
    return {
        "layer": layer.layer,
        "counts": list(layer.counts),
        "in_use": layer.in_use,
        "balance": round(layer.balance, 4),
        "most_used": layer.most_used,
        "least_used": layer.least_used,
    }


app = typer.Typer(name="experts", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Show which experts a mixture sends the tokens of a text to."))(experts)
