"""Models of some hundred megabytes, for what cannot be seen on tiny ones: where their bytes go."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests import tiny_models
from tests.programs import run_hychat
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe

_Sizes = Mapping[str, int]
_ATTENTION: Final = {"_EMBEDDING": 1024, "_HEADS": 8, "_KV_HEADS": 4, "_HEAD_LENGTH": 128}
_KINDS: Final[Mapping[str, tuple[Callable[[Path], Path], _Sizes]]] = {
    "dense": (write_hunyuan_dense, {**_ATTENTION, "_LAYERS": 6, "_FEED_FORWARD": 3072}),
    "mixture": (
        write_hunyuan_moe,
        {**_ATTENTION, "_LAYERS": 4, "_FEED_FORWARD": 512, "_EXPERTS": 8, "_EXPERTS_USED": 4},
    ),
}


Middling = Mapping[str, Mapping[str, Path]]
"""A `dense` model and a `mixture`, each in `F16` and in `Q4_K_M`."""


def write_middling(folder: Path) -> Middling:
    """Write them; returns the paths."""
    return {kind: _write(folder, kind, *what) for kind, what in _KINDS.items()}


def _write(folder: Path, kind: str, write: Callable[[Path], Path], sizes: _Sizes) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(tiny_models, name, size)
        whole = write(folder / f"{kind}-F16.gguf")
    smaller = folder / f"{kind}-Q4_K_M.gguf"
    assert run_hychat("gguf", "quantize", str(whole), str(smaller), "--type", "Q4_K_M").code == 0
    return {"F16": whole, "Q4_K_M": smaller}
