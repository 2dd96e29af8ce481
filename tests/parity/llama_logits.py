"""Logits of every token, with all numbers in 32 bits: `python -m tests.parity.llama_logits PATH OUT.npy ID ID ...`.

A process of its own, for it changes what contexts are made with. The model is loaded as hychat loads it, without the kernels
that end the process on some machines.
"""

import sys
from typing import Any

import numpy as np

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.chunks import Piece, Reader
from hychat.engine.llama.model import Model

_F32 = 0
_FLASH_ATTENTION_OFF = 0


def main(path: str, out: str, *ids: str) -> None:
    defaults = lib.llama_context_default_params

    def exact() -> Any:
        params = defaults()
        params.type_k = params.type_v = _F32
        params.flash_attn_type = _FLASH_ATTENTION_OFF
        return params

    lib.llama_context_default_params = exact
    reader = Reader(Model.load(path), 128, threads=1)
    np.save(out, reader.read(Piece(0, [int(token) for token in ids], 0)))


if __name__ == "__main__":
    main(*sys.argv[1:])
