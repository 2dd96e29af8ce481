"""Projectors: the files that let a model see. Each belongs to one model, and llama.cpp checks no more than its width.

One of the same width that belongs to another model ends the process (`GGML_ASSERT`), or lets the model answer about noise.
`mtmd_decode_use_mrope` tells none of that: it follows the model alone.
"""

from collections.abc import Mapping
from typing import Final

from hychat.domain.errors import ModelUnusable
from hychat.engine.audit import CHAT_ARCHITECTURES
from hychat.engine.gguf import GgufHeader, read_header
from hychat.messages import _

_ARCHITECTURES: Final[Mapping[str, frozenset[str]]] = {
    "gemma3": frozenset({"gemma3"}),
    "hunyuanvl": frozenset({"hunyuan_vl"}),
    "idefics3": frozenset({"llama"}),
    "qwen2.5vl_merger": frozenset({"qwen2vl"}),
    "qwen2vl_merger": frozenset({"qwen2vl"}),
    "qwen3vl_merger": frozenset({"qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"}),
}
"""Types of projectors that belong to one family, and the models they are converted with (llama.cpp's `conversion/`).

A type that is not here may go with any model whose width it has.
"""


def may_see(model: GgufHeader) -> bool:
    """Whether there are projectors for models of its architecture, as far as is known here."""
    return any(model.architecture in owners for owners in _ARCHITECTURES.values())


def check_projector(path: str, model: GgufHeader, name: str) -> None:
    """Whether a projector may belong to a model; `name` is what the user calls that.

    Raises:
        ModelUnusable: It is another model's, no projector, or no GGUF at all.
    """
    header = read_header(path)
    if header.architecture != "clip":
        raise not_fitting(path, name, _("it is no projector (mmproj)."))
    kind = header.text("clip.projector_type") or header.text("clip.vision.projector_type") or ""
    owners, architecture = _ARCHITECTURES.get(kind), model.architecture or ""
    if owners and architecture in CHAT_ARCHITECTURES - owners:
        reason = _("it belongs to models of the architecture {theirs}, and this one is {ours}.")
        raise not_fitting(path, name, reason.format(theirs=", ".join(sorted(owners)), ours=architecture))


def not_fitting(path: str, name: str, reason: str) -> ModelUnusable:
    """What to raise where a projector is of no use to a model."""
    return ModelUnusable(
        _("{projector} does not let {name} see: {reason}").format(projector=path, name=name, reason=reason),
        hint=_("A projector belongs to one model; fetch the one that is published beside it."),
    )
