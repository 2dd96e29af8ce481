"""Quantizing against llama-quantize, and perplexity against llama-perplexity."""

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, anchor, fresh_home, hychat, hychat_json, wall_seconds
from tests.bench.row import Row, alternating, at_least, at_most
from tests.programs import ROOT
from tests.tiny_models import FAMILY_A, NO_FAULTS, Writer

_QUANTIZE, _PERPLEXITY = "LLAMA_QUANTIZE", "LLAMA_PERPLEXITY"
_WIDTH, _HEADS, _KV_HEADS, _HEAD_LENGTH, _FEED_FORWARD = 2048, 16, 4, 128, 6144
_SHAPES: Final = {
    "attn_q": (_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_k": (_KV_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_v": (_KV_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_output": (_WIDTH, _HEADS * _HEAD_LENGTH),
    "ffn_gate": (_FEED_FORWARD, _WIDTH),
    "ffn_up": (_FEED_FORWARD, _WIDTH),
    "ffn_down": (_WIDTH, _FEED_FORWARD),
}
_NORMS: Final = {"attn_norm": _WIDTH, "ffn_norm": _WIDTH, "attn_q_norm": _HEAD_LENGTH, "attn_k_norm": _HEAD_LENGTH}
_CHUNKS: Final = "4"
_TEXT: Final = ROOT / "gguf/recipes/calibration.md"
_ESTIMATE: Final = re.compile(r"PPL = ([\d.]+)")

_LAYERS: Final = {"Q4_K_M": 4, "Q4_0": 32}
"""So that each takes some ten seconds: the start of hychat's processes is 0.2 seconds of it."""
_SPEEDS: Final = {
    kind: Row(
        f"quantize-{kind}",
        f"{layers / 10:.1f} GB at 16 bits to {kind}: `hychat gguf quantize` over `llama-quantize`, whole processes",
        "MB/s",
        at_least(0.95),
    )
    for kind, layers in _LAYERS.items()
}
_PARITY: Final = Row(
    "perplexity-parity",
    f"`hychat gguf compare` and `llama-perplexity` on {_CHUNKS} chunks of one text; the ratio is the larger over the smaller",
    "",
    at_most(1.005),
)


def rows(rounds: int) -> Iterator[Row]:
    """Speed on random weights, then agreement on the starter."""
    with TemporaryDirectory(prefix="hychat-bench-") as folder, fresh_home() as environment:
        yield from _speed(Path(folder), rounds, environment)
        yield _parity(environment)


def _speed(folder: Path, rounds: int, environment: Environment) -> Iterator[Row]:
    program = anchor(_QUANTIZE)
    if program is None:
        yield from (row.not_measured(f"set {_QUANTIZE}") for row in _SPEEDS.values())
        return
    for kind, row in _SPEEDS.items():
        source, target = _write_model(folder / "full.gguf", _LAYERS[kind]), folder / "new.gguf"
        megabytes = source.stat().st_size / 1e6
        options = ["--type", kind, "--overwrite", "--threads", str(THREADS)]
        ours = [*hychat(), "gguf", "quantize", str(source), str(target), *options]
        theirs = [program, str(source), str(target), kind, str(THREADS)]
        pairs = alternating(rounds, *(partial(wall_seconds, command, environment) for command in (ours, theirs)))
        yield row.measured([(megabytes / one, megabytes / other) for one, other in pairs])


def _parity(environment: Environment) -> Row:
    program = anchor(_PERPLEXITY)
    if program is None:
        return _PARITY.not_measured(f"set {_PERPLEXITY}")
    sizes = ["--chunks", _CHUNKS, "--threads", str(THREADS)]
    told = hychat_json(["gguf", "compare", MODEL, MODEL, "--text", str(_TEXT), *sizes], environment)
    command = [program, "-m", told["reference"]["path"], "-f", str(_TEXT), "--chunks", _CHUNKS, "-t", str(THREADS)]
    said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    found = _ESTIMATE.search(said.stdout + said.stderr)
    if found is None:
        return _PARITY.not_measured(f"{program} names no estimate")
    pair = told["reference"]["perplexity"], float(found[1])
    return _PARITY.measured([(max(pair), min(pair))])


def _write_model(path: Path, layers: int) -> Path:
    """A dense Hunyuan of random weights, whose rows fit every block; 0.1 GB a layer."""
    writer = _LargeWriter(path, "hunyuan-dense", FAMILY_A, NO_FAULTS, seed=7)
    writer.add_layers(layers)
    return writer.close()


class _LargeWriter(Writer):
    """All layers have the same weights, so that only one is in memory."""

    def add_layers(self, count: int) -> None:
        self._add_sizes_of(count)
        self.add("token_embd", self.vocabulary_size, _WIDTH)
        self.add_norm("output_norm", _WIDTH)
        weights = {name: self._random(*shape) for name, shape in _SHAPES.items()}
        for layer in range(count):
            for name, length in _NORMS.items():
                self.add_norm(f"blk.{layer}.{name}", length)
            for name, matrix in weights.items():
                self.gguf.add_tensor(f"blk.{layer}.{name}.weight", matrix)

    def _random(self, *shape: int) -> NDArray[np.float16]:
        return (self.random.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)).astype(np.float16)

    def _add_sizes_of(self, layers: int) -> None:
        self.gguf.add_context_length(self.context_tokens)
        self.gguf.add_embedding_length(_WIDTH)
        self.gguf.add_block_count(layers)
        self.gguf.add_feed_forward_length(_FEED_FORWARD)
        self.gguf.add_head_count(_HEADS)
        self.gguf.add_head_count_kv(_KV_HEADS)
        self.gguf.add_key_length(_HEAD_LENGTH)
        self.gguf.add_value_length(_HEAD_LENGTH)
        self.gguf.add_rope_dimension_count(_HEAD_LENGTH)
        self.gguf.add_rope_freq_base(10_000.0)
        self.gguf.add_layer_norm_rms_eps(1e-5)
