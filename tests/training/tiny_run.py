"""A tiny run gives files that the run time reads."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from hychat.safety.model import Language
from hychat.safety.model.inputs import prompt_input
from hychat.safety.model.net import Net
from hychat.safety.model.reader import read
from hychat.safety.model.stages import LANGUAGES
from hychat.safety.training import pipeline, vocabulary
from hychat.safety.training.base import WIDTH, Floats
from hychat.safety.training.encoder import Encoder, fine_tune
from hychat.safety.training.examples import examples
from hychat.safety.training.rows import Row

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789船号怎么买抢银行"


class _MadeUpBase:
    """Random weights of one layer and a vocabulary of letters."""

    special = 0, 1, 2

    def __init__(self, language: str) -> None:
        self._random = np.random.default_rng(0)
        marked = (
            [f"\u2581{letter}" for letter in _LETTERS] if language == "zh" else [f"##{letter}" for letter in _LETTERS]
        )
        self.pieces = ["<s>", "</s>", "<unk>", *_LETTERS, *marked]
        self.scores = np.full(len(self.pieces), -3.0, dtype=np.float32) if language == "zh" else None
        self._words = self._random.normal(0, 0.1, (len(self.pieces), WIDTH)).astype(np.float32)

    def words(self, numbers: Sequence[int]) -> Floats:
        return self._words[[*numbers]]

    def tensor(self, name: str) -> Floats:
        if name.endswith(".w") and "ln" not in name:
            size = WIDTH * WIDTH * (4 if ".f" in name else 1)
            return self._random.normal(0, 0.05, size).astype(np.float32)
        if name.endswith(".w"):
            return np.ones(WIDTH, dtype=np.float32)
        if name == "emb.pos":
            return self._random.normal(0, 0.1, 512 * WIDTH).astype(np.float32)
        return np.zeros(WIDTH * (4 if ".fi" in name else 1), dtype=np.float32)


def _rows() -> list[Row]:
    def row(text: str, harm: bool, language: str, kind: str) -> Row:
        source = f"{kind}-{language}-{harm}" if harm else "self_instruct"
        return Row(text, harm, "fraud" if harm else None, language, source, kind, "", is_noisy=False)

    return [
        row(text.format(n), harm, language, kind)
        for kind in ("prompt", "response")
        for text, harm, language in (
            ("how do i buy boat {}", False, "en"),
            ("how do i rob bank {}", True, "en"),
            ("{}号船怎么买", False, "zh"),
            ("怎么抢{}号银行", True, "zh"),
        )
        for n in range(40)
    ]


def test_a_tiny_run_gives_files_that_the_run_time_reads(tmp_path: Path) -> None:
    rows = _rows()
    trained: dict[Language, pipeline.Trained] = {}
    models: dict[str, Encoder] = {}
    for language in LANGUAGES:
        base = _MadeUpBase(language)
        kept = vocabulary.usable(base)
        pieces = vocabulary.pieces_of(base, kept)
        model = models[language] = Encoder(base, base.words([*base.special, *kept]), 1)
        own = [row for row in rows if row.language == language]
        fine_tune(model, [[*examples(own, pieces, Random(0))][:80]], seed=0)  # noqa: S311 - repeatable
        trained[language] = pipeline.Trained(model.state_dict(), base, kept)
    pipeline.finish(trained, rows, rows, tmp_path, pipeline.Recipe())

    net = Net.read(tmp_path)
    given, _at = prompt_input(pieces, "怎么抢7号银行")
    with torch.no_grad():
        is_piece = torch.ones(1, len(given), dtype=torch.bool)
        wanted = models["zh"](torch.tensor([given]), is_piece, ~is_piece, is_piece)[0, 0]
    (row,) = read(tmp_path, "zh").logits([(given, 0)])
    assert row is not None
    assert row[0] == pytest.approx(float(wanted), abs=0.1)
    assert 0 < net.threshold("prompt", "en", 0.02) < 1
    assert "prompt-en-True" in (tmp_path / "CARD.md").read_text(encoding="utf-8")


def test_the_weights_of_several_runs_are_averaged() -> None:
    states = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}]
    assert pipeline.mean_of(states)["w"].tolist() == [2.0, 4.0]
