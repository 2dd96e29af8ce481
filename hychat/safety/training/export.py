"""The trained weights as the run time reads them."""

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hychat.safety.model.net import Net
from hychat.safety.training import quantize
from hychat.safety.training.base import Base, Floats

Arrays = dict[str, npt.NDArray[np.generic]]


def encoder_arrays(language: str, state: Mapping[str, Tensor], base: Base, kept: Sequence[int]) -> Arrays:
    """Of a fine-tuned encoder, with these pieces of its base's vocabulary."""
    values = {name: tensor.numpy() for name, tensor in state.items()}
    n_layers = sum(name.endswith(".q.weight") for name in values)
    arrays: Arrays = {
        **quantize.words(base.words([*base.special, *kept])),
        "pieces": _bytes("\n".join(base.pieces[i] for i in kept)),
        "layers": np.arange(n_layers),
        "positions": values["positions"].astype(np.float16),
        "kinds": values["kinds"].astype(np.float16),
        "head.w": values["head.weight"].astype(np.float16),
        "head.b": values["head.bias"],
        "norm.w": values["norm.weight"],
        "norm.b": values["norm.bias"],
    }
    if base.scores is not None:
        arrays["piece_scores"] = base.scores[list(kept)].astype(np.float16)
    for name in (f"layers.{index}" for index in range(n_layers)):
        weight, bias = (np.concatenate([values[f"{name}.{part}.{kind}"] for part in "qkv"]) for kind in _KINDS)
        arrays |= quantize.matrix(f"{name}.qkv", weight, bias)
        for part in ("ao", "fi", "fo"):
            arrays |= quantize.matrix(f"{name}.{part}", *(values[f"{name}.{part}.{kind}"] for kind in _KINDS))
        for part in ("aln", "oln"):
            arrays |= {f"{name}.{part}.{kind[0]}": values[f"{name}.{part}.{kind}"] for kind in _KINDS}
    return {f"{language}.{name}": array for name, array in arrays.items()}


_KINDS = ("weight", "bias")


def probe(language: str, weight: Floats, bias: float) -> Arrays:
    """The guess after the first layers."""
    return {f"{language}.probe.w": weight.astype(np.float16), f"{language}.probe.b": np.array(bias, dtype=np.float32)}


def net(facts: Mapping[str, Any], lines: Mapping[str, tuple[Floats, float]]) -> Net:
    """The first stage of each kind from its weights and bias; the few largest weights are clipped."""
    weights, linear = {}, {}
    for kind, (found, bias) in lines.items():
        scale = float(np.quantile(np.abs(found[found != 0]), 0.9995)) / 127
        weights[kind] = array("b", np.clip(np.rint(found / scale), -127, 127).astype(np.int8).tobytes())
        linear[kind] = {"scale": scale, "bias": bias}
    return Net({**facts, "linear": linear}, weights)


def write(path: Path, arrays: Arrays) -> None:
    """As an `.npz` that depends on nothing but the arrays."""
    with ZipFile(path, "w") as archive:
        for name, array in sorted(arrays.items()):
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)
