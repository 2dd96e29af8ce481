"""Quantizing tiny models of the Hunyuan families, and what the new files are."""

import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest

from hychat.attach.text import read_file
from hychat.conversion.file_types import FILE_TYPES
from hychat.conversion.imatrix import Reading, make_imatrix
from hychat.conversion.quantize import Quantization, forecast, quantize
from hychat.conversion.recipe import known_recipes
from hychat.domain.attachment import Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, Interrupted, ModelDamaged, ModelRefused, UsageError
from hychat.engine.audit import audit
from hychat.engine.gguf import TENSOR_TYPES, read_header
from hychat.engine.imatrix import read_imatrix
from tests.programs import run_hychat, run_script
from tests.tiny_models import Faults, write_hunyuan_dense, write_hunyuan_moe, write_hy_v3, write_llama
from tests.whole_models import SHAPES, write_whole

TEXT = "The quick model reads 你好 and 2 + 2 = 4; hello, world!\n" * 60


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hunyuan_dense(tmp_path_factory.mktemp("dense") / "dense.gguf")


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hunyuan_moe(tmp_path_factory.mktemp("moe") / "moe.gguf")


@pytest.fixture
def text(tmp_path: Path) -> Attachment:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return read_file(path).attachment


def formats(path: Path) -> dict[str, str]:
    """The format of each tensor of a file."""
    return {tensor.name: TENSOR_TYPES[tensor.type_id].name for tensor in read_header(str(path)).tensors}


def quantized(source: Path, target: Path, kind: str = "Q4_0", **changes: object) -> Path:
    quantize(Quantization(source, kind, threads=1, **changes), target, CancelToken())  # type: ignore[arg-type]
    return target


def test_a_dense_model_is_quantized_and_would_load(dense: Path, tmp_path: Path) -> None:
    target = quantized(dense, tmp_path / "q.gguf")
    assert formats(target)["blk.0.ffn_up.weight"] == "Q4_0"
    assert audit(read_header(str(target))).family.architecture == "hunyuan-dense"


def test_every_tensor_is_told_as_it_is_in_the_new_file(moe: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.gguf"
    done = quantize(Quantization(moe, "Q4_0", threads=1), target, CancelToken())
    assert {tensor.name: tensor.after.upper() for tensor in done.tensors} == formats(target)
    assert done.bytes_after == read_header(str(target)).tensor_bytes
    assert done.file_bytes == target.stat().st_size


def test_a_forecast_is_the_size_that_comes(dense: Path, tmp_path: Path) -> None:
    wanted = Quantization(dense, "Q4_0", threads=1)
    foreseen = forecast(wanted, CancelToken())
    done = quantize(wanted, tmp_path / "q.gguf", CancelToken())
    assert foreseen.mix == done.mix
    assert abs(foreseen.file_bytes - done.file_bytes) < 1024


def test_progress_goes_through_all_tensors(dense: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    quantize(Quantization(dense, "Q8_0", threads=1), tmp_path / "q.gguf", CancelToken(), lambda *at: told.append(at))
    total = len(formats(dense))
    assert told == [(done, total) for done in range(1, total + 1)]


def test_what_every_token_of_a_mixture_goes_through_is_kept_higher(moe: Path, tmp_path: Path) -> None:
    kinds = formats(quantized(moe, tmp_path / "q.gguf"))
    assert kinds["blk.0.ffn_gate_exps.weight"] == "Q4_0"
    assert kinds["blk.0.ffn_gate_inp.weight"] == "F16"
    assert {kinds[f"blk.0.ffn_{part}_shexp.weight"] for part in ("gate", "up", "down")} == {"Q8_0"}
    assert {kinds[f"blk.0.attn_{part}.weight"] for part in ("q", "k", "v", "output")} == {"Q8_0"}


def test_the_mix_for_mixtures_can_be_switched_off(moe: Path, tmp_path: Path) -> None:
    kinds = formats(quantized(moe, tmp_path / "q.gguf", keeps_shared=False))
    assert kinds["blk.0.ffn_up_shexp.weight"] == kinds["blk.0.attn_q.weight"] == "Q4_0"


def test_a_format_may_be_chosen_for_some_tensors(moe: Path, tmp_path: Path) -> None:
    kinds = formats(quantized(moe, tmp_path / "q.gguf", formats=(("blk.1.ffn_down_exps", "Q5_0"), ("attn_v", "F16"))))
    assert (kinds["blk.0.ffn_down_exps.weight"], kinds["blk.1.ffn_down_exps.weight"]) == ("Q4_0", "Q5_0")
    assert (kinds["blk.0.attn_v.weight"], kinds["blk.0.attn_q.weight"]) == ("F16", "Q8_0")


@pytest.mark.parametrize("wish", ["attn_v", "attn_v=", "=Q8_0", "attn_v=Q9", "attn_v=I32"])
def test_a_format_for_tensors_is_told_how_to_be_written(wish: str, dense: Path) -> None:
    ended = run_hychat("gguf", "quantize", str(dense), "--dry-run", "--tensor-type", wish)
    assert (ended.code, "attn_v=Q8_0" in ended.error) == (2, True)


def test_a_pattern_that_is_none_is_told(dense: Path) -> None:
    ended = run_hychat("gguf", "quantize", str(dense), "--dry-run", "--tensor-type", "attn_(=q8_0")
    assert (ended.code, "cannot quantize it" in ended.error) == (1, True)


def test_a_mixture_after_a_dense_layer_is_quantized_too(tmp_path: Path) -> None:
    kinds = formats(quantized(write_hy_v3(tmp_path / "v3.gguf"), tmp_path / "q.gguf"))
    assert (kinds["blk.0.ffn_up.weight"], kinds["blk.1.ffn_up_exps.weight"]) == ("Q8_0", "Q4_0")


def test_a_quantized_model_is_not_quantized_again_unasked(dense: Path, tmp_path: Path) -> None:
    once = quantized(dense, tmp_path / "once.gguf", "Q8_0")
    with pytest.raises(UsageError, match=r"quantized already \(Q8_0\)") as refused:
        quantized(once, tmp_path / "twice.gguf")
    assert "--allow-requantize" in refused.value.hint


def test_quantizing_again_on_purpose_is_counted(dense: Path, tmp_path: Path) -> None:
    once = quantized(dense, tmp_path / "once.gguf", "Q8_0")
    wanted = Quantization(once, "Q4_0", allows_requantizing=True, threads=1)
    assert quantize(wanted, tmp_path / "twice.gguf", CancelToken()).rounded_twice > 0


def test_a_base_model_is_quantized_with_a_remark(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base.gguf", faults=Faults(has_template=False))
    done = quantize(Quantization(base, "Q4_0", threads=1), tmp_path / "q.gguf", CancelToken())
    assert "no chat template" in done.remark


def test_a_damaged_source_is_refused_before_anything_is_written(dense: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(dense.read_bytes()[:-1000])
    with pytest.raises(ModelDamaged):
        quantized(cut, tmp_path / "q.gguf")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["cut.gguf"]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    projector = write_hunyuan_dense(tmp_path / "p.gguf", faults=Faults(architecture="clip"))
    with pytest.raises(ModelRefused, match="projector"):
        quantized(projector, tmp_path / "q.gguf")


def test_a_cancelled_quantization_leaves_no_file(dense: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    with pytest.raises(Interrupted):
        quantize(
            Quantization(dense, "Q4_0", threads=1), tmp_path / "q.gguf", cancel, lambda _done, _total: cancel.set()
        )
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_an_existing_file_stays_unless_it_may_be_overwritten(dense: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.gguf"
    target.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        quantized(dense, target)
    assert target.read_text() == "mine"
    quantize(Quantization(dense, "Q4_0", threads=1), target, CancelToken(), overwrites=True)
    assert formats(target)


def test_source_and_target_must_differ(dense: Path) -> None:
    with pytest.raises(UsageError, match="read and written at once"):
        quantize(Quantization(dense, "Q4_0"), dense, CancelToken(), overwrites=True)


def test_no_input_is_overwritten(text: Attachment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "GGUFWriter", partial(gguf.GGUFWriter, split_max_tensors=20))
    write_hunyuan_dense(tmp_path / "model.gguf")
    first, second = sorted(tmp_path.glob("model-*.gguf"))
    matrix = tmp_path / "m.gguf"
    make_imatrix(first, Reading(text, 64, 1, threads=1), matrix, CancelToken())
    before = {path: path.read_bytes() for path in (first, second, matrix)}
    for target in before:
        with pytest.raises(UsageError, match="read and written at once"):
            quantize(Quantization(first, "Q4_0", matrix), target, CancelToken(), overwrites=True)
    for target in (first, second, Path(text.source or "")):
        with pytest.raises(UsageError, match="read and written at once"):
            make_imatrix(first, Reading(text, 64, 1), target, CancelToken(), overwrites=True)
    assert {path: path.read_bytes() for path in before} == before


def test_a_source_that_is_called_like_a_file_in_the_making_stays(dense: Path, tmp_path: Path) -> None:
    source = tmp_path / "q.gguf.part"
    source.write_bytes(dense.read_bytes())
    quantized(source, tmp_path / "q.gguf")
    assert source.read_bytes() == dense.read_bytes()


def test_a_disk_without_room_for_just_this_result_is_told_before_the_work(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, target = Quantization(dense, "Q8_0", threads=1), tmp_path / "q.gguf"
    needed = forecast(wanted, CancelToken()).file_bytes
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: shutil._ntuple_diskusage(free, 0, free))
        with nullcontext() if fits else pytest.raises(ConversionError, match=r"q\.gguf needs \d+ kB; its disk has"):
            quantize(wanted, target, CancelToken(), overwrites=True)


def test_what_is_said_of_the_new_file_names_it_as_it_is_called_then(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base.gguf", faults=Faults(has_template=False))
    done = quantize(Quantization(base, "Q4_0", threads=1), tmp_path / "q.gguf", CancelToken())
    assert ".part" not in done.remark


def test_a_full_disk_ends_in_one_clear_line(dense: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.gguf"
    ended = run_script(f"ulimit -f 40; exec $HYCHAT gguf quantize {dense} {target} --type q4_0 --threads 1")
    assert ended.code == 1
    assert re.fullmatch(
        r"hychat: .*(cannot be written to its end|is not whole).*\n  .*disk may be full.*\n", ended.error
    )
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_file_types_are_those_of_the_library() -> None:
    from hychat.engine.llama.bindings import lib

    for name, kind in FILE_TYPES.items():
        constant = "LLAMA_FTYPE_ALL_F32" if name == "F32" else f"LLAMA_FTYPE_MOSTLY_{name}"
        assert kind.id == getattr(lib, constant)


@pytest.mark.parametrize("name", [*FILE_TYPES])
def test_every_file_type_can_be_foreseen(dense: Path, name: str, tmp_path: Path, text: Attachment) -> None:
    matrix = tmp_path / "m.gguf" if FILE_TYPES[name].needs_imatrix else None
    if matrix is not None:
        make_imatrix(dense, Reading(text, 64, 2, threads=1), matrix, CancelToken())
    done = forecast(Quantization(dense, name, matrix, threads=1), CancelToken())
    assert done.bits_per_weight <= 32


def test_very_few_bits_need_an_importance_matrix(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="importance matrix"):
        quantized(dense, tmp_path / "q.gguf", "IQ2_XS")


def test_the_importance_matrix_is_that_of_the_activations(dense: Path, text: Attachment, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    made = make_imatrix(dense, Reading(text, 64, 3, threads=1), target, CancelToken())
    matrix = read_imatrix(str(target))
    weights = dict(matrix.weights())
    assert (made.chunks, made.tokens, made.entries) == (3, 192, len(weights))
    assert matrix.chunks == 3
    # The attention's inputs are normalised with weights of 1, so the mean of their squares is 1 over all columns.
    assert np.isclose(weights["blk.0.attn_q.weight"].mean(), 1, atol=1e-2)
    assert np.array_equal(weights["blk.0.attn_q.weight"], weights["blk.0.attn_k.weight"])
    assert (weights["blk.1.ffn_down.weight"] > 0).all()


def test_each_expert_is_counted_apart(moe: Path, text: Attachment, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    make_imatrix(moe, Reading(text, 64, 2, threads=1), target, CancelToken())
    matrix = read_imatrix(str(target))
    entry = matrix.entries["blk.0.ffn_down_exps.weight"]
    assert (entry.experts, entry.columns) == (4, 64)
    counts = np.fromfile(target, "<f4", 4, offset=matrix.header.data_offset + entry.counts.offset)
    assert counts.sum() == 2 * 64 * 2  # chunks x tokens x experts used


def test_an_importance_matrix_changes_the_rounding(moe: Path, text: Attachment, tmp_path: Path) -> None:
    matrix = tmp_path / "m.gguf"
    make_imatrix(moe, Reading(text, 64, 4, threads=1), matrix, CancelToken())
    plain = quantized(moe, tmp_path / "plain.gguf", "IQ4_NL")
    weighed = quantized(moe, tmp_path / "weighed.gguf", "IQ4_NL", imatrix=matrix)
    assert formats(plain) == formats(weighed)
    assert data_of(plain) != data_of(weighed)
    assert read_header(str(weighed)).text("quantize.imatrix.file") == "m.gguf"


def data_of(path: Path) -> bytes:
    return path.read_bytes()[read_header(str(path)).data_offset :]


def test_an_importance_matrix_of_another_model_is_refused(
    dense: Path, moe: Path, text: Attachment, tmp_path: Path
) -> None:
    matrix = tmp_path / "m.gguf"
    make_imatrix(dense, Reading(text, 64, 1, threads=1), matrix, CancelToken())
    whole = write_whole(tmp_path / "whole.gguf", SHAPES["hunyuan-0.5b"])
    with pytest.raises(ConversionError, match="another model"):
        forecast(Quantization(whole, "Q4_0", matrix, allows_requantizing=True), CancelToken())
    with pytest.raises(ConversionError, match="no importance matrix"):
        forecast(Quantization(dense, "Q4_0", moe), CancelToken())


def test_a_damaged_importance_matrix_is_refused(dense: Path, text: Attachment, tmp_path: Path) -> None:
    matrix = tmp_path / "m.gguf"
    make_imatrix(dense, Reading(text, 64, 1, threads=1), matrix, CancelToken())
    matrix.write_bytes(matrix.read_bytes()[:-400])
    with pytest.raises(ConversionError, match="does not fit together"):
        quantized(dense, tmp_path / "q.gguf", imatrix=matrix)


def test_a_text_that_fills_no_chunk_is_refused(dense: Path, text: Attachment, tmp_path: Path) -> None:
    few_words = replace(text, text="Few words.")
    with pytest.raises(ConversionError, match=r"at least 64 are needed"):
        make_imatrix(dense, Reading(few_words, 64, threads=1), tmp_path / "m.gguf", CancelToken())
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize("name", ["hunyuan-7b", "hunyuan-a13b", "hy-mt2-30b-a3b"])
def test_a_recipe_in_four_bits_takes_what_it_says_and_at_most_three_tenths_of_sixteen(
    name: str, tmp_path: Path
) -> None:
    recipe = known_recipes().named(f"{name}-q4_k_s")
    whole = write_whole(tmp_path / "whole.gguf", SHAPES[name])
    wanted = Quantization(whole, recipe.quantize, keeps_shared=recipe.keep_shared, allows_requantizing=True)
    done = forecast(wanted, CancelToken())
    assert done.bytes_after / done.f16_bytes <= 0.30
    assert recipe.bytes is not None
    assert abs(done.file_bytes / recipe.bytes - 1) < 0.001


def test_the_command_prints_sizes_and_json(dense: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.gguf"
    ended = run_hychat("gguf", "quantize", str(dense), str(target), "--type", "q4_0", "--threads", "1", "--json")
    assert ended.code == 0
    assert ended.json["bytes"] == target.stat().st_size
    assert ended.json["ratio"] < 0.5
    assert ended.json["mix"]["Q4_0"] > 0
    finer = run_hychat(
        "gguf", "quantize", str(dense), "--dry-run", "--type", "Q4_0", "--tensor-type", "attn_=q8_0", "--json"
    )
    assert finer.json["bytes"] > ended.json["bytes"]


def test_a_dry_run_writes_nothing(dense: Path, tmp_path: Path) -> None:
    ended = run_hychat("gguf", "quantize", str(dense), "--type", "Q8_0", "--dry-run", cwd=tmp_path)
    assert ended.out.startswith("Would be: ")
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_the_command_wants_a_target(dense: Path) -> None:
    ended = run_hychat("gguf", "quantize", str(dense))
    assert (ended.code, "--dry-run" in ended.error) == (2, True)
