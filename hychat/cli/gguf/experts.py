"""`hychat gguf experts`: which experts a mixture sends the tokens of a text to."""

from pathlib import Path
from typing import Annotated, Final

import typer

from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.interrupt import cancelled_by_ctrl_c
from hychat.cli.output import Output
from hychat.domain.errors import UsageError
from hychat.engine.experts import OLDER_SHARE, PUBLISHED_SHARE, ExpertUse, LayerUse
from hychat.messages import _

_SHADES: Final = " ░▒▓█"
_COLOURS: Final = (238, 24, 31, 214, 196)
"""Of the 256: cold to hot."""
_COLUMNS: Final = 80
_MARGIN: Final = 5

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

    output, path = Output.of_process(), shared.located(model)
    header = read_header(str(path))
    if not header.expert_count:
        raise UsageError(
            _("{name} is no mixture of experts.").format(name=model),
            hint=_("Mixtures are hunyuan-a13b and hy-mt2-30b-a3b; `hychat gguf inspect` tells of any model."),
        )
    arguments = {
        "model": str(path),
        "text": _read(text),
        "experts": header.expert_count,
        "chunk_tokens": chunk_tokens,
        "most_chunks": chunks,
        "gpu_layers": gpu_layers,
        "threads": threads,
    }
    tell = shared.progress(output, _("Reading {text} with {model}").format(text=text.name, model=path.name))
    with cancelled_by_ctrl_c() as cancel:
        done = run_task("experts", arguments, cancel, lambda progress: tell(progress["done"], progress["total"]))
    output.end()
    use = ExpertUse.of(done["layers"])
    if as_json:
        output.json(_as_json(model, done["tokens"], header.expert_used_count, use))
        return
    columns = output.stdout.size().columns if output.stdout.is_terminal else _COLUMNS
    for line in heat_map(use, columns, has_colour=output.stdout.has_colour):
        output.styled(line)
    for line in in_words(use):
        output.text(line)


def _read(path: Path) -> str:
    """The text; - is stdin. Raises InputUnreadable, UsageError."""
    from hychat.attach.text import read_file
    from hychat.cli.stdin import read_stdin

    part = read_stdin() if str(path) == "-" else read_file(path)
    if part is None:
        raise UsageError(_("There is nothing on stdin."), hint=_("Pipe a text in, or name a file."))
    return part.attachment.text or ""


def heat_map(use: ExpertUse, columns: int, *, has_colour: bool) -> list[str]:
    """A row for each layer, a cell for each expert, darker or hotter the more it was chosen; folded to the columns."""
    width = max(8, columns - _MARGIN)
    lines = []
    for layer in use.layers:
        levels = layer.levels(len(_SHADES))
        for start in range(0, len(levels), width):
            margin = f"{layer.layer:>{_MARGIN - 1}} " if not start else " " * _MARGIN
            lines.append(
                margin + "".join(_cell(level, has_colour=has_colour) for level in levels[start : start + width])
            )
    return lines


def _cell(level: int, *, has_colour: bool) -> str:
    return f"\x1b[38;5;{_COLOURS[level]}m{_SHADES[max(1, level)]}\x1b[0m" if has_colour else _SHADES[level]


def in_words(use: ExpertUse) -> list[str]:
    """What the map comes to."""
    lines = [
        _(
            "Experts in use: {share:.0%} (Tencent tells of {published:.0%} for its mixtures, and of {older:.0%} for older ones)."
        ).format(share=use.share_in_use, published=PUBLISHED_SHARE, older=OLDER_SHARE),
        _("Balance: {balance:.2f} (1.00 where all are chosen alike).").format(balance=use.balance),
    ]
    if use.layers:
        uneven = min(use.layers, key=lambda layer: layer.balance)
        lines.append(
            _("The least even layer is {layer} ({balance:.2f}): most chosen is expert {most}, least {least}.").format(
                layer=uneven.layer, balance=uneven.balance, most=uneven.most_used, least=uneven.least_used
            )
        )
    return lines


def _as_json(model: str, tokens: int, used: int, use: ExpertUse) -> dict[str, object]:
    return {
        "model": model,
        "tokens": tokens,
        "experts_used_per_token": used,
        "share_in_use": round(use.share_in_use, 4),
        "balance": round(use.balance, 4),
        "published_share_in_use": PUBLISHED_SHARE,
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
