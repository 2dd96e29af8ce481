"""`hychat.conversion`: what a checkpoint becomes, and what is said of one that cannot become anything."""

import json
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gguf
import ml_dtypes
import numpy as np
import pytest

from hychat.conversion.checkpoint import Config
from hychat.conversion.convert import Converted, convert
from hychat.conversion.families import FAMILIES, read_geometry
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, HychatError, InputUnreadable, Interrupted, UsageError
from hychat.engine.audit import audit
from hychat.engine.gguf import GgufHeader, read_header
from tests.tiny_checkpoints import (
    ALL,
    DENSE,
    EXPERT_FEED_FORWARD,
    HY3,
    LAYERS,
    MIXTURE,
    Weights,
    write_json,
    write_safetensors,
)

NOTHING_LEFT: Final[list[str]] = []


def made_of(folder: Path, outtype: str | None = "f16") -> Converted:
    return convert(folder, folder.with_suffix(".gguf"), outtype, CancelToken())


def header_of(folder: Path, outtype: str | None = "f16") -> GgufHeader:
    return read_header(str(made_of(folder, outtype).path))


def tensors_in(path: Path) -> dict[str, Any]:
    reader: Any = gguf.GGUFReader(path)
    return {tensor.name: tensor for tensor in reader.tensors}


def left_beside(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if path != folder and path.is_file()]


def changed(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


def refused(folder: Path, kind: type[HychatError], outtype: str | None = "f16") -> HychatError:
    with pytest.raises(kind) as told:
        made_of(folder, outtype)
    assert left_beside(folder) == NOTHING_LEFT
    assert "\n" not in told.value.message
    return told.value


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16", "q8_0"])
def test_every_family_and_type_passes_the_audit(name: str, outtype: str, tmp_path: Path) -> None:
    folder = ALL[name].write(tmp_path / name)
    made = made_of(folder, outtype)
    verdict = audit(read_header(str(made.path)))
    assert not verdict.overrides
    assert verdict.family.eos == ALL[name].family.eos
    assert verdict.family.template == ALL[name].family.template
    assert made.path.stat().st_size == made.bytes
    assert left_beside(folder) == [made.path.name]


def test_shards_give_the_same_file_as_one(tmp_path: Path) -> None:
    whole = made_of(MIXTURE.write(tmp_path / "a" / "model"))
    parts = made_of(MIXTURE.write(tmp_path / "b" / "model", shards=7))
    assert whole.path.read_bytes() == parts.path.read_bytes()


def test_experts_are_stacked_in_their_order(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture", shards=5)
    stacked = tensors_in(made_of(folder, "f32").path)["blk.1.ffn_up_exps.weight"].data
    weights = MIXTURE.weights(307)
    experts = [weights[f"model.layers.1.mlp.experts.{number}.up_proj.weight"] for number in range(8)]
    assert np.array_equal(stacked, np.stack(experts))


def test_norms_and_the_router_stay_exact(tmp_path: Path) -> None:
    tensors = tensors_in(made_of(HY3.write(tmp_path / "hy3"), "q8_0").path)
    exact = {name.removeprefix("blk.1.") for name, tensor in tensors.items() if tensor.tensor_type.name == "F32"}
    assert {"attn_q_norm.weight", "ffn_gate_inp.weight", "exp_probs_b", "output_norm.weight"} <= exact
    assert all("norm" in name or name in {"ffn_gate_inp.weight", "exp_probs_b"} for name in exact)


def test_q8_0_is_what_the_gguf_package_makes(tmp_path: Path) -> None:
    tensors = tensors_in(made_of(DENSE.write(tmp_path / "dense"), "q8_0").path)
    weight = DENSE.weights(300)["model.layers.0.mlp.down_proj.weight"]
    theirs = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
    assert np.array_equal(tensors["blk.0.ffn_down.weight"].data, theirs)


@pytest.mark.parametrize(("dtype", "outtype"), [("BF16", "BF16"), ("F16", "F16"), ("F32", "F16")])
def test_without_a_type_the_checkpoints_own_precision_is_kept(dtype: str, outtype: str, tmp_path: Path) -> None:
    tensors = tensors_in(made_of(DENSE.write(tmp_path / "dense", dtype=dtype), None).path)
    assert tensors["blk.0.attn_q.weight"].tensor_type.name == outtype


def test_bf16_goes_through_unchanged(tmp_path: Path) -> None:
    tensors = tensors_in(made_of(DENSE.write(tmp_path / "dense", dtype="BF16"), "bf16").path)
    weight = DENSE.weights(300)["model.layers.0.self_attn.q_proj.weight"].astype(ml_dtypes.bfloat16)
    assert tensors["blk.0.attn_q.weight"].data.tobytes() == weight.tobytes()


def test_alpha_is_baked_into_the_rotary_base() -> None:
    sizes = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 128167}
    mixture = {"intermediate_size": 3072, "num_experts": 64, "moe_topk": [8] * 32, "num_shared_expert": [1] * 32}
    rope = {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}
    config = {**sizes, **mixture, "rope_theta": 10000.0, "rope_scaling": rope, "max_position_embeddings": 32768}
    geometry = read_geometry(FAMILIES["HunYuanMoEV1ForCausalLM"], Config(Path("config.json"), config))
    assert geometry.rope_base == pytest.approx(11_158_839.925)
    assert geometry.context_tokens == 262_144
    assert (geometry.experts, geometry.experts_used, geometry.shared_feed_forward) == (64, 8, 3072)


@pytest.mark.parametrize(("count", "stored", "shared"), [(2, 1, 1), (2, 2, 2), (1, 1, 1)])
def test_the_shared_expert_is_as_wide_as_its_weights(count: int, stored: int, shared: int, tmp_path: Path) -> None:
    """Tencent's own code multiplies the width by `num_shared_expert`; transformers writes the number and does not."""
    folder = MIXTURE.write(tmp_path / "mixture", config={"num_shared_expert": count})
    weights = {
        name: np.repeat(weight, stored, axis=weight.shape.index(EXPERT_FEED_FORWARD))
        if "shared_mlp" in name
        else weight
        for name, weight in MIXTURE.weights(307).items()
    }
    write_safetensors(folder / "model.safetensors", weights, "F32")
    header = header_of(folder)
    assert header.integer("hunyuan-moe.expert_shared_feed_forward_length") == stored * EXPERT_FEED_FORWARD
    assert header.expert_shared_count == shared


def test_an_answer_ends_with_a_control_token_though_the_config_says_a_dollar(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture")
    changed(folder / "config.json", eos_token_id=3)
    write_json(folder / "generation_config.json", {"eos_token_id": [3, 299, 297]})
    header = header_of(folder)
    assert (header.eos_token_id, header.integer("tokenizer.ggml.eot_token_id")) == (299, 297)
    assert header.token_text(297) == "<|eos|>"


def test_a_model_without_any_end_is_refused(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture", config={"eos_token_id": 3})
    (folder / "tokenizer_config.json").unlink()
    write_json(folder / "generation_config.json", {})
    assert "generation_config.json" in refused(folder, ConversionError).hint


def test_licence_name_and_advice_come_along(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    header = header_of(DENSE.write(tmp_path / "models--tencent--Tiny-0.1B" / "snapshots" / commit))
    assert header.text("general.name") == "Tiny-0.1B"
    assert header.text("general.organization") == "tencent"
    assert header.text("general.source.url") == f"https://huggingface.co/tencent/Tiny-0.1B/tree/{commit}"
    assert header.text("general.license.name") == "tencent-hunyuan-community"
    assert header.sampling_defaults.top_k == 20
    assert header.sampling_defaults.repeat_penalty == 1.05


def test_a_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    (folder / "chat_template.jinja").write_text("你好{{ messages }}", encoding="utf-8")
    assert header_of(folder).chat_template == "你好{{ messages }}"


def test_a_tokenizer_json_of_family_b_is_known_by_how_it_cuts(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    split = {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{N}|\s+"}, "behavior": "Isolated"}
    changed(folder / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [split]})
    assert header_of(folder).tokenizer_pre == "hunyuan"
    split["pattern"] = {"Regex": r"\w+"}
    write_json(folder / "tokenizer.json", {**tokenizer, "pre_tokenizer": split})
    folder.with_suffix(".gguf").unlink()
    assert "tokenizer.json" in refused(folder, ConversionError).message


def test_tokens_that_the_model_has_room_for_are_filled_up(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense", config={"vocab_size": 304})
    write_safetensors(folder / "model.safetensors", DENSE.weights(304), "F32")
    header = header_of(folder)
    assert (header.token_text(303), header.token_type(303)) == ("[PAD303]", 5)


def test_layers_that_guess_further_tokens_are_left_out(tmp_path: Path) -> None:
    folder = HY3.write(tmp_path / "hy3")
    extra = {f"model.layers.{LAYERS}.eh_proj.weight": np.zeros((2, 2), np.float32)}
    write_safetensors(folder / "extra.safetensors", extra, "F32")
    places = dict.fromkeys(HY3.weights(301), "model.safetensors") | dict.fromkeys(extra, "extra.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": places})
    assert header_of(folder).block_count == LAYERS


def test_another_architecture_is_named_with_what_converts_it(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense", config={"architectures": ["LlamaForCausalLM"]})
    error = refused(folder, ConversionError)
    assert "LlamaForCausalLM" in error.message
    assert "convert_hf_to_gguf.py" in error.hint


def test_a_quantized_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense", config={"quantization_config": {"quant_method": "fp8"}})
    assert "quantized already" in refused(folder, ConversionError).message


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: weight for key, weight in weights.items() if key != name}


def of_shape(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (without("model.norm.weight"), InputUnreadable, "no tensor model.norm.weight"),
        (without("model.layers.1.mlp.experts.7.up_proj.weight"), InputUnreadable, "experts.7.up_proj"),
        (of_shape("model.norm.weight", 63), InputUnreadable, "[63], and config.json asks for [64]"),
        (of_shape("model.layers.0.self_attn.q_proj.bias", 64), ConversionError, "does not know"),
    ],
)
def test_tensors_that_do_not_fit_the_config_are_named(
    change: Callable[[Weights], Weights], kind: type[HychatError], said: str, tmp_path: Path
) -> None:
    folder = MIXTURE.write(tmp_path / "mixture")
    write_safetensors(folder / "model.safetensors", change(MIXTURE.weights(307)), "F32")
    assert said in refused(folder, kind).message


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors is missing" in refused(folder, InputUnreadable).message


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture", shards=3)
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "../x.safetensors"}})
    assert "weight_map" in refused(folder, InputUnreadable).message


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("value", [1e30, np.inf, np.nan])
def test_numbers_that_f16_cannot_hold_are_not_written(dtype: str, value: float, tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    weights = {**DENSE.weights(300)}
    weights["model.layers.1.mlp.up_proj.weight"][5, 5] = value
    write_safetensors(folder / "model.safetensors", weights, dtype)
    error = refused(folder, ConversionError)
    assert "model.layers.1.mlp.up_proj.weight" in error.message
    assert "bf16" in error.hint


@pytest.mark.parametrize("package", ["gguf.gguf_writer", "ml_dtypes"])
def test_missing_packages_are_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = DENSE.write(tmp_path / "dense")
    monkeypatch.setitem(sys.modules, package, None)
    assert "gguf ml-dtypes" in refused(folder, ConversionError).hint


@pytest.mark.parametrize("file", ["tokenizer_config.json", "tokenizer.json"])
def test_text_that_is_no_utf_8_is_refused(file: str, tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    text = (folder / file).read_text(encoding="utf-8").replace("<｜hy_Assistant｜>", r"\ud83d", 1)
    (folder / file).write_text(text, encoding="utf-8")
    refused(folder, InputUnreadable)


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    folder, cancel = DENSE.write(tmp_path / "dense"), CancelToken()
    with pytest.raises(Interrupted):
        convert(folder, tmp_path / "out.gguf", "f16", cancel, lambda _done, _total: cancel.set())
    assert left_beside(folder) == NOTHING_LEFT


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    folder, cancel = DENSE.write(tmp_path / "dense"), CancelToken()
    (tmp_path / "out.gguf").write_text("before")
    with pytest.raises(Interrupted):
        convert(folder, tmp_path / "out.gguf", "f16", cancel, lambda _done, _total: cancel.set(), overwrites=True)
    assert (tmp_path / "out.gguf").read_text() == "before"


def test_an_existing_file_stays_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    folder, notes = DENSE.write(tmp_path / "dense"), tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        convert(folder, notes, "f16", CancelToken())
    assert notes.read_text() == "mine"
    convert(folder, notes, "f16", CancelToken(), overwrites=True)
    assert read_header(str(notes)).architecture == "hunyuan-dense"


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = DENSE.write(tmp_path / "dense")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 10, 0))
    assert "0 B left" in refused(folder, ConversionError).message


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    import resource
    import signal

    folder = DENSE.write(tmp_path / "dense")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        error = refused(folder, ConversionError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "cannot be written" in error.message


def test_what_another_program_adds_to_the_work_is_noticed(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")

    def meddle(done: int, total: int) -> None:
        (part,) = tmp_path.glob("*.part")
        if done == total:
            with part.open("ab") as file:
                file.write(b"more" * 8)

    with pytest.raises(ConversionError, match="not whole"):
        convert(folder, tmp_path / "out.gguf", "f16", CancelToken(), meddle)
    assert left_beside(folder) == NOTHING_LEFT


def test_two_runs_with_one_output_do_not_write_into_each_others_work(tmp_path: Path) -> None:
    folder, output = DENSE.write(tmp_path / "dense"), tmp_path / "out.gguf"
    alone = convert(folder, tmp_path / "alone.gguf", "f16", CancelToken()).path.read_bytes()

    def meet(done: int, total: int) -> None:
        if done == total:
            convert(folder, output, "f16", CancelToken())

    with pytest.raises(UsageError, match="there already"):
        convert(folder, output, "f16", CancelToken(), meet)
    assert output.read_bytes() == alone
    assert sorted(left_beside(folder)) == ["alone.gguf", "out.gguf"]


@pytest.mark.parametrize("output", [".", "no/such/folder.gguf", "/dev/null"])
def test_an_output_that_can_be_no_file_is_refused(output: str, tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    with pytest.raises(UsageError):
        convert(folder, tmp_path / output, "f16", CancelToken(), overwrites=True)


def test_the_checkpoint_cannot_be_overwritten(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    (tmp_path / "link.gguf").symlink_to(folder / "model.safetensors")
    for output in (folder / "model.safetensors", tmp_path / "link.gguf"):
        with pytest.raises(UsageError, match="read and written at once"):
            convert(folder, output, "f16", CancelToken(), overwrites=True)
    assert made_of(folder).tensors


def test_progress_ends_with_all_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = DENSE.write(tmp_path / "dense")
    convert(folder, tmp_path / "out.gguf", "f16", CancelToken(), lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_memory_stays_far_below_the_largest_tensor(tmp_path: Path) -> None:
    length = 1 << 18  # three tensors of 64 MiB each, whose zeros take no room on the disk
    folder = DENSE.write(tmp_path / "dense", config={"intermediate_size": length})
    wide = {**DENSE.weights(300)}
    for name in [name for name in wide if ".mlp." in name]:
        shape = (64, length) if "down" in name else (length, 64)
        wide[name] = np.broadcast_to(np.float32(0), shape)
    _write_sparse(folder / "model.safetensors", wide)
    convert(DENSE.write(tmp_path / "small"), tmp_path / "small.gguf", "bf16", CancelToken())  # imports are no tensors
    tracemalloc.start()
    try:
        made = made_of(folder, "bf16")
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.parameters > 3 * LAYERS * 64 * length
    assert peak < 24 << 20


def _write_sparse(path: Path, weights: Weights) -> None:
    header, begin = dict[str, Any](), 0
    for name, weight in weights.items():
        end = begin + 4 * weight.size
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + begin)
