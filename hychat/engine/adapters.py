"""LoRA adapters: small files that change how a model answers, put over it without loading it again.

What a file must have is told by llama.cpp's `llama_adapter_lora_init`: pairs of tensors named after the model's own, with
`.lora_a` and `.lora_b` behind, of shapes [in, rank] and [rank, out].
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hychat.domain.errors import ModelUnusable, UsageError
from hychat.engine.gguf import GgufHeader, TensorInfo, check_whole, read_header
from hychat.messages import _

_PAIR: Final = (".lora_a", ".lora_b")
_MOST: Final = 100.0
"""A scale beyond it is a slip."""


class Adapter(NamedTuple):
    """One adapter over a model."""

    path: str
    """From the root; a user's own folder is not left as `~`."""
    scale: float = 1.0

    @property
    def name(self) -> str:
        """What it is called."""
        return Path(self.path).stem

    def in_words(self) -> str:
        """Name and strength."""
        return _("{adapter} ({scale:g})").format(adapter=self.name, scale=self.scale)


def adapters_of(text: str) -> tuple[Adapter, ...]:
    """Those named in a text: `FILE[:scale]`, one a line; in a single line that does not end, with commas between.

    Raises:
        UsageError: One has no number for its scale.
    """
    named = text.splitlines() if "\n" in text else text.split(",")
    adapters: tuple[Adapter, ...] = ()
    for part in named:
        if part.strip():
            adapters = with_adapter(adapters, adapter_of(part.strip()))
    return adapters


def adapter_of(text: str, in_use: Iterable[Adapter] = ()) -> Adapter:
    """`FILE[:scale]`; a file whose own name ends so is taken as it is. One that is in use may be called by its name.

    Raises:
        UsageError: What follows the colon is no number.
    """
    if _path(text).exists():
        return Adapter(str(_path(text)))
    file, colon, scale = text.rpartition(":")
    if not colon:
        file, scale = text, "1"
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not abs(number) <= _MOST:  # false for nan as well
        raise UsageError(
            _("{text}: {scale} is no scale of an adapter.").format(text=text, scale=scale),
            hint=_("Write FILE:0.5 for half of its strength; 1 is the whole."),
        )
    known = {adapter.name: adapter.path for adapter in in_use}
    return Adapter(known.get(file) or str(_path(file)), number)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # a user whom nobody knows
        return Path(text).absolute()


def with_adapter(adapters: Iterable[Adapter], added: Adapter) -> tuple[Adapter, ...]:
    """These and another one; it takes the place of one from the same file."""
    file = Path(added.path).resolve()
    return (*(adapter for adapter in adapters if Path(adapter.path).resolve() != file), added)


def without_adapter(adapters: Iterable[Adapter], text: str) -> tuple[Adapter, ...]:
    """These less the one that is called so, or lies there."""
    return tuple(adapter for adapter in adapters if text != adapter.name and str(_path(text)) != adapter.path)


def check_adapters(adapters: Iterable[Adapter], model: Sequence[GgufHeader], name: str) -> None:
    """Whether each was made for this model; `model` are the headers of its parts, `name` is what the user calls it.

    Raises:
        ModelUnusable: One is no adapter, is not whole, or another model's.
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
        check_whole(header)
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
