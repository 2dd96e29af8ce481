"""LoRA adapters: small files that change how a model answers, put over it without loading it again.

What a file must have is told by llama.cpp's `llama_adapter_lora_init`: pairs of tensors named after the model's own, with
`.lora_a` and `.lora_b` behind, of shapes [in, rank] and [rank, out].
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hychat.domain.errors import ModelUnusable, UsageError
from hychat.engine.gguf import GgufHeader, TensorInfo, read_header
from hychat.messages import _

_PAIR: Final = (".lora_a", ".lora_b")
_MOST: Final = 100.0
"""A scale beyond it is a slip."""


class Adapter(NamedTuple):
    """One adapter over a model."""

    path: str
    scale: float = 1.0

    @property
    def name(self) -> str:
        """What it is called."""
        return Path(self.path).stem


def adapters_of(text: str) -> tuple[Adapter, ...]:
    """Those named in a text: `FILE[:scale]`, with commas or newlines between.

    Raises:
        UsageError: One has no number for its scale.
    """
    if Path(text).is_file():
        return (Adapter(text),)
    return tuple(adapter_of(part.strip()) for part in text.replace("\n", ",").split(",") if part.strip())


def adapter_of(text: str) -> Adapter:
    """`FILE[:scale]`; a file whose own name ends so is taken as it is.

    Raises:
        UsageError: What follows the colon is no number.
    """
    path, colon, scale = text.rpartition(":")
    if not colon or Path(text).exists():
        return Adapter(text)
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not abs(number) <= _MOST:  # false for nan as well
        raise UsageError(
            _("{text}: {scale} is no scale of an adapter.").format(text=text, scale=scale),
            hint=_("Write FILE:0.5 for half of its strength; 1 is the whole."),
        )
    return Adapter(path, number)


def check_adapters(adapters: Iterable[Adapter], model: Sequence[GgufHeader], name: str) -> None:
    """Whether each was made for this model; `model` are the headers of its parts, `name` is what the user calls it.

    Raises:
        ModelUnusable: One is no adapter, or another model's.
        ModelNotFound: There is no such file.
    """
    tensors = {tensor.name: tensor for part in model for tensor in part.tensors}
    for adapter in adapters:
        header = read_header(adapter.path)
        if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
            raise ModelUnusable(
                _("{path} is no LoRA adapter.").format(path=adapter.path),
                hint=_("An adapter is a GGUF made by llama.cpp's convert_lora_to_gguf.py."),
            )
        reason = _mismatch(header, model[0], tensors)
        if reason:
            base = header.text("general.base_model.0.name") or header.architecture or "?"
            raise ModelUnusable(
                _("The adapter {adapter} was made for {base}, not for {model}: {reason}.").format(
                    adapter=adapter.path, base=base, model=name, reason=reason
                ),
                hint=_("Take the adapter that belongs to this model, or the model that belongs to it."),
            )


def _mismatch(adapter: GgufHeader, model: GgufHeader, tensors: dict[str, TensorInfo]) -> str:
    """Why it does not fit; empty where it does."""
    if adapter.architecture != model.architecture:
        return _("its architecture is {architecture}").format(architecture=adapter.architecture)
    for tensor in adapter.tensors:
        base, suffix = tensor.name[: -len(_PAIR[0])], tensor.name[-len(_PAIR[0]) :]
        if suffix not in _PAIR:
            continue
        if base not in tensors:
            return _("the model has no {tensor}").format(tensor=base)
        side = 0 if suffix == _PAIR[0] else 1
        if base != "token_embd.weight" and tensor.shape[side : side + 1] != tensors[base].shape[side : side + 1]:
            return _("{tensor} has another shape").format(tensor=base)
    return ""
