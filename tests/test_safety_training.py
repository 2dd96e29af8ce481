"""What makes the weights: rows are read, split and weighed, and a tiny run gives files that the run time reads."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hychat.safety.model.encoder import Matrix
from hychat.safety.training import frames, measure, quantize
from hychat.safety.training.rows import CATEGORIES, Row, own_rows, read_rows, source_weights


def _write(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"lang": "en", "source": name, "kind": "prompt", "label": "safe", **row}) + "\n" for row in rows
        )


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    _write(tmp_path, "boats", [{"text": f"How do I buy boat number {n}?"} for n in range(200)])
    _write(
        tmp_path,
        "raids",
        [{"text": f"How do I rob bank number {n}?", "label": "unsafe", "category": "fraud"} for n in range(50)],
    )
    return read_rows(tmp_path)


def test_rows_are_folded_and_each_text_comes_once(tmp_path: Path) -> None:
    _write(tmp_path, "boats", [{"text": "B*oats"}, {"text": "boats"}, {"text": "ships"}])
    assert [row.text for row in read_rows(tmp_path)] == ["boats", "ships"]


def test_a_quarter_of_ordinary_sources_is_held_out_and_nothing_of_the_others(tmp_path: Path) -> None:
    _write(tmp_path, "arena_hard_v2", [{"text": f"What is boat number {n}?"} for n in range(200)])
    _write(tmp_path, "boats", [{"text": f"What is ship number {n}?"} for n in range(200)])
    held_out = [row.source for row in read_rows(tmp_path) if row.is_held_out]
    assert {*held_out} == {"arena_hard_v2"}
    assert 25 <= len(held_out) <= 75


def test_the_rows_written_by_hand_are_labelled_and_of_both_languages() -> None:
    rows = own_rows()
    for language in ("en", "zh"):
        labels = [row.is_harmful for row in rows if (row.language, row.kind) == (language, "prompt")]
        assert labels.count(True) > 1000
        assert labels.count(False) > 1000
    assert {row.category for row in rows if row.is_harmful} <= {*CATEGORIES}


def test_a_large_source_counts_less_a_row(rows: list[Row]) -> None:
    weights = source_weights(rows, enough=50)
    assert weights["boats", "prompt", False] == pytest.approx(0.5)
    assert weights["raids", "prompt", True] == 1


def test_harmless_frames_are_many_and_differ() -> None:
    for language in ("en", "zh"):
        texts = list(frames.harmless(language))
        assert len(texts) == len(set(texts)) > 200


def test_the_threshold_lets_the_wanted_share_of_the_weight_pass() -> None:
    scores = np.arange(100) / 100
    assert (scores > measure.threshold_at(scores, np.ones(100), 0.05)).sum() == 5


def test_precision_of_a_perfect_order_is_one() -> None:
    harmful = np.array([True, True, False, False])
    assert measure.average_precision(np.array([0.9, 0.8, 0.2, 0.1]), harmful) == 1
    assert measure.best_f1(np.array([0.9, 0.8, 0.2, 0.1]), harmful) == 1


def test_a_matrix_in_four_bits_is_about_what_it_was() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.05, (96, 64)).astype(np.float32)
    bias = random.normal(0, 1, 96).astype(np.float32)
    matrix = Matrix(quantize.matrix("m", weight, bias), "m")
    x = random.normal(0, 1, (5, 64)).astype(np.float32)
    assert matrix(x) == pytest.approx(x @ weight.T + bias, abs=0.2)


def test_the_largest_weight_of_a_block_of_words_is_exact() -> None:
    rows = np.zeros((2, 64), dtype=np.float32)
    rows[1, 3], rows[1, 40] = 0.5, -0.25
    arrays = quantize.words(rows)
    nibbles = arrays["words"].astype(np.uint8)
    numbers = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32) - 8
    assert (numbers * arrays["word_scales"].astype(np.float32)[..., None]).reshape(2, 64) == pytest.approx(rows)
