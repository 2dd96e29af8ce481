"""Options that several commands take, each declared once; those that every command takes are taken out in `main`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from hychat.messages import _

yes: Final = partial(
    typer.Option, "-y", "--yes", help=_("Answer yes to every question; a licence still needs --accept-licence.")
)
accept_licence: Final = partial(
    typer.Option, "--accept-licence", help=_("Agree to the model's licence, which `hychat models info` shows.")
)

_placing: Final = partial(typer.Option, rich_help_panel=_("Memory and devices"))
Context = Annotated[
    str | None,
    _placing(
        "--context-tokens",
        "--ctx",
        metavar=_("NUMBER"),
        help=_("The most tokens that a chat and its answer may have together."),
    ),
]
GpuLayers = Annotated[
    str | None,
    _placing(
        "--gpu-layers", metavar="auto|N", help=_("Layers to put on GPUs, -1 for all; hychat puts as many as fit.")
    ),
]
CpuExperts = Annotated[
    str | None,
    _placing(
        "--n-cpu-moe",
        metavar="auto|N",
        help=_("Layers whose experts stay on the CPU; hychat leaves as few as it must."),
    ),
]
KvType = Annotated[
    str | None,
    _placing("--kv-type", help=_("How the KV cache is kept; smaller is a little less exact."), metavar="f16|q8_0|q4_0"),
]
TensorSplit = Annotated[
    str | None, _placing("--tensor-split", help=_("What share of the layers each GPU gets."), metavar="N,N,...")
]
MainGpu = Annotated[
    str | None, _placing("--main-gpu", metavar=_("NUMBER"), help=_("The one GPU to use, counted from 0."))
]
Rpc = Annotated[
    str | None,
    _placing(
        "--rpc", help=_("Put layers on other machines too, which run hychat rpc-worker."), metavar="HOST:PORT,..."
    ),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        help=_("Put a LoRA adapter over the model; :0.5 behind it halves its strength; may be repeated."),
        metavar="FILE[:SCALE]",
        rich_help_panel=_("Model and answer"),
    ),
]

Mmproj = Annotated[
    Path | None,
    typer.Option(
        "--mmproj",
        help=_("The projector with which a GGUF file sees pictures; one that lies beside it is found by itself."),
        metavar=_("FILE"),
        rich_help_panel=_("Model and answer"),
    ),
]


class Consent(NamedTuple):
    """What was agreed to on the command line, so that it is not asked."""

    says_yes: bool = False
    """To questions; a licence is none of them."""
    accepts_licence: bool = False
