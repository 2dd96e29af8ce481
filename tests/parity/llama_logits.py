"""Logits of every token, by llama-cpp-python's own class: `python -m tests.parity.llama_logits PATH OUT.npy ID ID ...`.

A process of its own: hychat's bindings stand in the package's place where both are imported.
"""

import sys

import llama_cpp
import numpy as np


def main(path: str, out: str, *ids: str) -> None:
    exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}  # the cache, which is F16 else
    model = llama_cpp.Llama(path, n_ctx=128, n_batch=128, n_threads=1, logits_all=True, verbose=False, **exact)
    model.eval([int(token) for token in ids])
    np.save(out, model.scores[: len(ids)])
    model.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
