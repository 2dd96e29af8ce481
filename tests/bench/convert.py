"""Memory and time of `hychat gguf convert` with a mixture of experts in 20 shards, against llama.cpp's own converter.

    python -m tests.bench.convert [--gigabytes 1] [--outtype f16] [--rounds 1]

`LLAMA_CPP_CONVERTER` is the path of convert_hf_to_gguf.py, `LLAMA_CPP_PYTHON` a Python with torch and transformers for it;
without them hychat is measured alone. The weights are one block of random numbers again and again, so that nothing
compresses and little has to be computed. Twice the size must be free in the temporary folder.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.bench.row import Row, at_most
from tests.tiny_checkpoints import HY3

_MIB: Final = 2**20
_ALLOWED_MIB: Final = 300
_EMBEDDING, _EXPERTS, _EXPERT_LENGTH, _SHARDS = 2048, 64, 768, 20
_STACKED_BYTES: Final = _EXPERTS * _EXPERT_LENGTH * _EMBEDDING * 2
_LAYER_BYTES: Final = 3 * _STACKED_BYTES
# The converter knows tokenizers by a hash of what they make of a text, and this one is nobody's.
_CONVERTER: Final = (
    "import runpy, sys; sys.path[:0] = [sys.argv[1].rpartition('/')[0], sys.argv[1].rpartition('/')[0] + '/gguf-py']; "
    "from conversion.base import TextModel; TextModel.get_vocab_base_pre = lambda *_: 'hunyuan-dense'; "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def rows(rounds: int, gigabytes: float = 1.0, outtype: str = "f16") -> Iterator[Row]:
    """Peak memory against what is allowed, then time and memory against llama.cpp's converter."""
    with TemporaryDirectory(prefix="hychat-convert-") as name:
        folder = Path(name)
        source = write_mixture(folder / "model", gigabytes)
        ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
        for _round in range(rounds):
            ours.append(_measured(_ours(source, folder / "ours.gguf", outtype), folder / "ours.gguf"))
            if os.environ.get("LLAMA_CPP_CONVERTER"):
                theirs.append(_measured(_theirs(source, folder / "theirs.gguf", outtype), folder / "theirs.gguf"))
    allowed = 1.2 * _STACKED_BYTES / _MIB + _ALLOWED_MIB
    compared = (
        f"peak memory of converting {gigabytes:g} GB to {outtype}, over 1.2 x largest tensor + {_ALLOWED_MIB} MiB"
    )
    yield Row("convert-memory", compared, "MiB", at_most(1)).measured([(peak, allowed) for _seconds, peak in ours])
    for nth, (figure, unit) in enumerate((("seconds", "s"), ("peak", "MiB"))):
        row = Row(f"convert-{figure}", "hychat gguf convert, over convert_hf_to_gguf.py", unit)
        pairs = [(our[nth], their[nth]) for our, their in zip(ours, theirs, strict=False)]
        yield row.measured(pairs) if pairs else row.not_measured("LLAMA_CPP_CONVERTER is not set")


def _ours(source: Path, output: Path, outtype: str) -> list[str]:
    return [sys.executable, "-m", "hychat", "gguf", "convert", f"{source}", "-o", f"{output}", "--outtype", outtype]


def _theirs(source: Path, output: Path, outtype: str) -> list[str]:
    python = os.environ.get("LLAMA_CPP_PYTHON", sys.executable)
    script = os.environ["LLAMA_CPP_CONVERTER"]
    return [python, "-c", _CONVERTER, script, f"{source}", "--outfile", f"{output}", "--outtype", outtype]


def _measured(command: list[str], output: Path) -> tuple[float, float]:
    """Seconds, and the peak of resident memory in MiB; what it wrote is deleted."""
    started = time.monotonic()
    process = os.posix_spawn(command[0], command, _environment(), file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _pid, status, usage = os.wait4(process, 0)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    output.unlink()
    return seconds, usage.ru_maxrss / (1024 if sys.platform != "darwin" else _MIB)


def _environment() -> Mapping[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - text is wanted


def write_mixture(folder: Path, gigabytes: float) -> Path:
    """A checkpoint of Hy3's kind in BF16, in 20 shards of whole tensors."""
    HY3.write(folder)
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    layers = 1 + max(1, round(gigabytes * 1e9 / _LAYER_BYTES))
    sizes = {"hidden_size": _EMBEDDING, "num_experts": _EXPERTS, "moe_intermediate_size": _EXPERT_LENGTH}
    config |= {**sizes, "num_hidden_layers": layers, "intermediate_size": 4096, "num_nextn_predict_layers": 0}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = [*_shapes(config)]
    per_shard = -(-len(shapes) // _SHARDS)
    places = dict[str, str]()
    for number in range(0, len(shapes), per_shard):
        name = f"model-{number // per_shard + 1:05}-of-{_SHARDS:05}.safetensors"
        part = dict(shapes[number : number + per_shard])
        places |= dict.fromkeys(part, name)
        _write(folder / name, part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def _shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, heads, kv_heads = _EMBEDDING, config["num_attention_heads"], config["num_key_value_heads"]
    length = config["head_dim"]
    for name in ("model.embed_tokens", "lm_head"):
        yield f"{name}.weight", (config["vocab_size"], width)
    yield "model.norm.weight", (width,)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (width,)
        for name, rows_ in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            yield f"{layer}.self_attn.{name}_proj.weight", (rows_ * length, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, heads * length)
        for name in ("q_norm", "k_norm"):
            yield f"{layer}.self_attn.{name}.weight", (length,)
        if number == 0:
            yield from _gated(f"{layer}.mlp", config["intermediate_size"])
            continue
        yield f"{layer}.mlp.router.gate.weight", (_EXPERTS, width)
        yield f"{layer}.mlp.expert_bias", (_EXPERTS,)
        yield from _gated(f"{layer}.mlp.shared_mlp", _EXPERT_LENGTH)
        for expert in range(_EXPERTS):
            yield from _gated(f"{layer}.mlp.experts.{expert}", _EXPERT_LENGTH)


def _gated(name: str, length: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.gate_proj.weight", (length, _EMBEDDING)
    yield f"{name}.up_proj.weight", (length, _EMBEDDING)
    yield f"{name}.down_proj.weight", (_EMBEDDING, length)


def _write(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    import ml_dtypes
    import numpy as np

    numbers = np.random.default_rng(5).standard_normal(1 << 22, dtype=np.float32) * 0.02
    block = numbers.astype(ml_dtypes.bfloat16).tobytes()
    header, begin = dict[str, Any](), 0
    for name, shape in shapes.items():
        end = begin + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, begin, len(block)):
            file.write(block[: begin - start])


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--outtype", default="f16")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for row in rows(options.rounds, options.gigabytes, options.outtype):
        print(row)


if __name__ == "__main__":
    main()
