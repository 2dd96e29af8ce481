"""How far a quantized model is from the one it was made of."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hychat.attach.text import read_file
from hychat.conversion.compare import compare
from hychat.conversion.imatrix import Reading
from hychat.conversion.quantize import Quantization, quantize
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, Interrupted
from hychat.engine.llama import chunks
from hychat.engine.llama.model import Model
from hychat.engine.llama.tasks.perplexity import Scores, log_softmax
from tests.programs import run_hychat
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe, write_llama

TEXT = "The quick model reads 你好 and 2 + 2 = 4; hello, world!\n" * 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hunyuan_dense(tmp_path_factory.mktemp("models") / "full.gguf")


@pytest.fixture(scope="module")
def rounded(model: Path) -> Path:
    target = model.with_name("rounded.gguf")
    quantize(Quantization(model, "Q4_0", threads=1), target, CancelToken())
    return target


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_model_agrees_with_itself(model: Path, text: Path) -> None:
    found = compare(model, model, Reading(read_file(text).attachment, 64, 3, threads=1), CancelToken())
    assert found.perplexity_ratio == 1
    assert (found.kl_mean, found.kl_p99, found.top_agreement) == (0, 0, 1)


def test_only_the_second_half_of_each_chunk_is_judged(model: Path, text: Path) -> None:
    found = compare(model, model, Reading(read_file(text).attachment, 64, 3, threads=1), CancelToken())
    assert (found.chunks, found.tokens) == (3, 3 * 31)


def test_a_rounded_model_is_some_way_off(model: Path, rounded: Path, text: Path) -> None:
    found = compare(model, rounded, Reading(read_file(text).attachment, 64, 4, threads=1), CancelToken())
    assert 0 < found.kl_mean < found.kl_p99 < 1
    assert 0 < found.top_agreement < 1
    assert found.other != found.reference


def test_a_mixture_is_compared_as_well(tmp_path: Path, text: Path) -> None:
    full = write_hunyuan_moe(tmp_path / "moe.gguf")
    quantize(Quantization(full, "Q8_0", threads=1), tmp_path / "q.gguf", CancelToken())
    found = compare(full, tmp_path / "q.gguf", Reading(read_file(text).attachment, 64, 2, threads=1), CancelToken())
    assert 0 < found.kl_mean < 0.01


def test_perplexity_is_that_of_the_models_own_logits(tiny_model: Model) -> None:
    (chunk,) = chunks.cut(tiny_model, TEXT, 64, most=1)
    reader = chunks.Reader(tiny_model, 64, threads=1)
    (piece,) = chunks.pieces(chunk, 0)
    logits = np.array(reader.read(piece), np.float64)
    forecast = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    surprise = -np.log([forecast[at, chunk[at + 1]] for at in range(32, 63)])
    scores = Scores()
    scores.add(logits[32:63].astype(np.float32), logits[32:63].astype(np.float32), chunk[33:64])
    assert math.isclose(scores.summary()["reference"][0], math.exp(surprise.mean()), rel_tol=1e-5)


def test_long_chunks_are_read_in_steps_of_the_same_result(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    (chunk,) = chunks.cut(tiny_model, TEXT, 128, most=1)
    whole = wanted_logits(tiny_model, chunk)
    monkeypatch.setattr(chunks, "_BATCH_TOKENS", 48)
    assert [(p.position, p.first_wanted) for p in chunks.pieces(chunk, 64)] == [(0, 48), (48, 16), (96, 0)]
    assert np.abs(wanted_logits(tiny_model, chunk) - whole).mean() < 1e-2  # sums in 16 bits, in another order


def wanted_logits(model: Model, chunk: list[int]) -> Any:
    """Of the chunk's second half."""
    reader = chunks.Reader(model, len(chunk), threads=1)
    return np.concatenate([np.array(reader.read(piece)) for piece in chunks.pieces(chunk, len(chunk) // 2)])


def test_divergence_is_that_of_the_textbook() -> None:
    random = np.random.default_rng(1)
    one, other = (random.standard_normal((5, 40)).astype(np.float32) for _each in range(2))
    p, q = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (one, other))
    expected = (p * np.log(p / q)).sum(axis=1)
    scores = Scores()
    scores.add(one, other, [0] * 5)
    told = scores.summary()
    assert math.isclose(told["kl_mean"], expected.mean(), rel_tol=1e-4)
    assert math.isclose(told["kl_p99"], np.percentile(expected, 99), rel_tol=1e-4)
    assert told["top_agreement"] == (p.argmax(1) == q.argmax(1)).mean()


def test_large_logits_do_not_overflow() -> None:
    assert np.allclose(np.exp(log_softmax(np.array([[1e4, 1e4 - 1e3]], np.float32))), [[1, 0]])


def test_models_with_other_tokens_cannot_be_compared(model: Path, text: Path, tmp_path: Path) -> None:
    other = write_llama(tmp_path / "llama.gguf")
    with pytest.raises(ConversionError, match="same tokens"):
        compare(model, other, Reading(read_file(text).attachment, 64, 1, threads=1), CancelToken())


def test_a_missing_text_is_told(model: Path) -> None:
    ended = run_hychat("gguf", "compare", str(model), str(model), "--text", "nothing.txt")
    assert (ended.code, "nothing.txt" in ended.error) == (2, True)


def test_a_text_may_come_from_stdin(model: Path, tmp_path: Path) -> None:
    piped, sizes = TEXT.encode(), ("--ctx", "64", "--chunks", "1", "--threads", "1")
    compared = run_hychat("gguf", "compare", str(model), str(model), "--text", "-", *sizes, "--json", stdin=piped)
    assert compared.json["tokens"] == 31
    target = tmp_path / "m.gguf"
    measured = run_hychat("gguf", "imatrix", str(model), "-f", "-", "-o", str(target), *sizes, stdin=piped)
    assert measured.code == 0, measured.error
    assert b"stdin" in target.read_bytes()  # what the text is called in it
    assert "nothing on stdin" in run_hychat("gguf", "compare", str(model), str(model), "--text", "-").error


def test_a_file_that_is_no_model_is_told(model: Path, text: Path) -> None:
    with pytest.raises(ConversionError, match="cannot be loaded"):
        compare(model, text, Reading(read_file(text).attachment, 64), CancelToken())


def test_a_comparison_can_be_stopped(model: Path, text: Path) -> None:
    cancel = CancelToken()
    with pytest.raises(Interrupted):
        compare(
            model, model, Reading(read_file(text).attachment, 64, threads=1), cancel, lambda _done, _total: cancel.set()
        )


def test_the_command_prints_a_table_and_json(model: Path, rounded: Path, text: Path) -> None:
    arguments = ("gguf", "compare", str(model), str(rounded), "--text", str(text), "--ctx", "64", "--chunks", "2")
    table = run_hychat(*arguments, "--threads", "1")
    assert "KL divergence:" in table.out
    told = run_hychat(*arguments, "--threads", "1", "--json").json
    assert told["tokens"] == 62
    assert told["reference"]["perplexity"] > 1


def test_the_imatrix_command_writes_a_file_and_says_where(model: Path, text: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    arguments = ("gguf", "imatrix", str(model), "-f", str(text), "-o", str(target), "--ctx", "64", "--threads", "1")
    ended = run_hychat(*arguments)
    assert (ended.code, ended.out) == (0, f"{target}\n")
    again = run_hychat(*arguments)
    assert (again.code, "--overwrite" in again.error) == (2, True)
