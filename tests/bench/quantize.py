"""Quantizing against llama-quantize, and perplexity against llama-perplexity."""

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, anchor, fresh_home, hychat, hychat_json, wall_seconds
from tests.bench.row import Row, alternating, at_least, at_most
from tests.programs import ROOT
from tests.tiny_models import FAMILY_A, NO_FAULTS, Writer

_QUANTIZE, _PERPLEXITY = "LLAMA_QUANTIZE", "LLAMA_PERPLEXITY"
_LAYERS, _WIDTH, _HEADS, _KV_HEADS, _HEAD_LENGTH, _FEED_FORWARD = 8, 2048, 16, 4, 128, 6144
_SHAPES: Final = {
    "attn_q": (_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_k": (_KV_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_v": (_KV_HEADS * _HEAD_LENGTH, _WIDTH),
    "attn_output": (_WIDTH, _HEADS * _HEAD_LENGTH),
    "ffn_gate": (_FEED_FORWARD, _WIDTH),
    "ffn_up": (_FEED_FORWARD, _WIDTH),
    "ffn_down": (_WIDTH, _FEED_FORWARD),
}
_CHUNKS: Final = "4"
_TEXT: Final = ROOT / "gguf/recipes/calibration.md"
_ESTIMATE: Final = re.compile(r"PPL = ([\d.]+)")

_SPEEDS: Final = {
    kind: Row(
        f"quantize-{kind}",
        f"0.8 GB at 16 bits to {kind}: `hychat gguf quantize` over `llama-quantize`, whole processes, {THREADS} threads",
        "MB/s",
        at_least(0.95),
    )
    for kind in ("Q4_K_M", "Q4_0")
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
    source, target = _write_model(folder / "full.gguf"), folder / "new.gguf"
    megabytes = source.stat().st_size / 1e6
    for kind, row in _SPEEDS.items():
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


def _write_model(path: Path) -> Path:
    """A dense Hunyuan of random weights, whose rows fit every block."""
    writer = _LargeWriter(path, "hunyuan-dense", FAMILY_A, NO_FAULTS, seed=7)
    writer.add_layers()
    return writer.close()


class _LargeWriter(Writer):
    """A model of 0.4 billion weights, most of them in the layers."""

    def add_layers(self) -> None:
        self.add_sizes()
        self.add("token_embd", self.vocabulary_size, _WIDTH)
        self.add_norm("output_norm", _WIDTH)
        for layer in range(_LAYERS):
            for name, length in (
                ("attn_norm", _WIDTH),
                ("ffn_norm", _WIDTH),
                ("attn_q_norm", _HEAD_LENGTH),
                ("attn_k_norm", _HEAD_LENGTH),
            ):
                self.add_norm(f"blk.{layer}.{name}", length)
            for name, shape in _SHAPES.items():
                self.add(f"blk.{layer}.{name}", *shape)

    def add_sizes(self) -> None:
        self.gguf.add_context_length(self.context_tokens)
        self.gguf.add_embedding_length(_WIDTH)
        self.gguf.add_block_count(_LAYERS)
        self.gguf.add_feed_forward_length(_FEED_FORWARD)
        self.gguf.add_head_count(_HEADS)
        self.gguf.add_head_count_kv(_KV_HEADS)
        self.gguf.add_key_length(_HEAD_LENGTH)
        self.gguf.add_value_length(_HEAD_LENGTH)
        self.gguf.add_rope_dimension_count(_HEAD_LENGTH)
        self.gguf.add_rope_freq_base(10_000.0)
        self.gguf.add_layer_norm_rms_eps(1e-5)
