"""`hychat gguf compare`: what a quantization lost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.output import Output
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.conversion.compare import Comparison

_Reference = Annotated[str, shared.model_argument(help=_("The model that counts as right: a name, or a GGUF file."))]
_Other = Annotated[str, shared.model_argument(help=_("The one that is held against it, such as its quantization."))]
_Text = Annotated[Path, shared.file_option("--text", help=_("The text that both read; - is stdin."))]
_Chunk = Annotated[
    int, typer.Option("--ctx", min=32, metavar=_("NUMBER"), help=_("Tokens that are read in one piece."))
]
_Chunks = Annotated[int | None, shared.number("--chunks", help=_("Pieces of the text to read; all if not said."))]
_GpuLayers = Annotated[int, shared.gpu_layers()]
_Threads = Annotated[int | None, shared.threads()]
_Json = Annotated[bool, shared.as_json()]


def compare(  # noqa: PLR0913 - one parameter an option
    reference: _Reference,
    other: _Other,
    *,
    text: _Text,
    chunk_tokens: _Chunk = 512,
    chunks: _Chunks = None,
    gpu_layers: _GpuLayers = 0,
    threads: _Threads = None,
    as_json: _Json = False,
) -> None:
    """Perplexity of both, and how far their forecasts are apart."""
    from hychat.conversion import compare as conversion
    from hychat.conversion.imatrix import Reading

    output = Output.of_process()
    paths = shared.sound(reference), shared.sound(other)
    reading = Reading(shared.text_at(text), chunk_tokens, chunks, gpu_layers, threads)
    tell = shared.progress(output, _("Reading {text} with both").format(text=reading.text.name))
    with shared.stoppable(output) as cancel:
        found = conversion.compare(*paths, reading, cancel, tell)
    if as_json:
        output.json(_as_json(found, paths))
    else:
        output.text(_table(found, paths))


def _as_json(found: "Comparison", paths: tuple[Path, Path]) -> dict[str, object]:
    models = {
        role: {"path": str(path), "perplexity": round(ppl.value, 5), "standard_error": round(ppl.standard_error, 5)}
        for role, path, ppl in zip(("reference", "other"), paths, (found.reference, found.other), strict=True)
    }
    return {
        **models,
        "chunks": found.chunks,
        "tokens": found.tokens,
        "perplexity_ratio": round(found.perplexity_ratio, 5),
        "kl_mean": round(found.kl_mean, 6),
        "kl_p99": round(found.kl_p99, 6),
        "top_agreement": round(found.top_agreement, 5),
    }


def _table(found: "Comparison", paths: tuple[Path, Path]) -> str:
    from hychat.cli.model_info import Fact, table

    facts = [
        Fact.of(
            role,
            path.name,
            ppl,
            _("perplexity {value:.4f} ± {error:.4f}").format(value=ppl.value, error=ppl.standard_error),
        )
        for role, path, ppl in zip(("reference", "other"), paths, (found.reference, found.other), strict=True)
    ]
    facts += [
        Fact.of("perplexity_ratio", _("perplexity ratio"), found.perplexity_ratio, f"{found.perplexity_ratio:.4f}"),
        Fact.of(
            "kl_mean",
            _("KL divergence"),
            found.kl_mean,
            _("mean {mean:.5f}, 99th percentile {p99:.5f}").format(mean=found.kl_mean, p99=found.kl_p99),
        ),
        Fact.of("top_agreement", _("same likeliest token"), found.top_agreement, f"{found.top_agreement:.2%}"),
        Fact.of("tokens", _("judged tokens"), found.tokens),
    ]
    return table(facts)


app = typer.Typer(name="compare", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Tell what a quantization lost: perplexity, divergence, agreement."))(compare)
