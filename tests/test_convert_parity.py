"""Converted checkpoints in llama.cpp, against what transformers and its tokenizers made of the same files.

The expectations were made by `tests/parity/convert_reference.py`, which needs torch; these tests do not.
"""

import subprocess
import sys
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from hychat.conversion.convert import convert
from hychat.domain.cancel import CancelToken
from tests.desk import load_quietly
from tests.parity.convert_lines import COUNT, lines
from tests.programs import environment
from tests.tiny_checkpoints import ALL, DENSE, LOGIT_IDS, MIXTURE

_PARITY: Final = Path(__file__).parent / "parity"


def expected(name: str) -> Any:
    return np.load(_PARITY / "convert.npz")[name]


def made_of(folder: Path, outtype: str) -> Path:
    return convert(folder, folder.with_suffix(".gguf"), outtype, CancelToken()).path


def logits_of(path: Path) -> Any:
    """Of every token, by llama.cpp."""
    out = path.with_suffix(".npy")
    program = [sys.executable, "-m", "tests.parity.llama_logits", str(path), str(out), *map(str, LOGIT_IDS)]
    subprocess.run(program, check=True, env=environment(), timeout=100)
    return np.load(out)


def relative_error(ours: Any, theirs: Any) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("name", ALL)
def test_logits_of_64_tokens_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    ours = logits_of(made_of(ALL[name].write(tmp_path / name, shards=3), "f32"))
    theirs = expected(name)
    assert relative_error(ours, theirs) <= 1e-5  # 5e-7, measured
    assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


@pytest.mark.parametrize(("outtype", "most"), [("bf16", 3e-2), ("f16", 5e-3), ("q8_0", 5e-2)])
def test_shorter_types_stay_near(outtype: str, most: float, tmp_path: Path) -> None:
    ours = logits_of(made_of(DENSE.write(tmp_path / "dense"), outtype))
    assert relative_error(ours, expected("dense")) <= most


def encoded(path: Path) -> list[list[int]]:
    model = load_quietly(str(path))
    try:
        return [model.tokenize([(line, True)]) for line in lines()]
    finally:
        model.close()


def expected_tokens(family: str) -> list[list[int]]:
    ids, counts = expected(f"ids_{family}").tolist(), expected(f"counts_{family}").tolist()
    return [ids[start:end] for start, end in pairwise(accumulate(counts, initial=0))]


@pytest.mark.parametrize(
    ("tiny", "file", "family"),
    [(DENSE, "convert_tokenizer.json", "a"), (MIXTURE, "convert.tiktoken", "b")],
)
def test_a_thousand_lines_give_the_tokens_of_the_hugging_face_tokenizer(
    tiny: Any, file: str, family: str, tmp_path: Path
) -> None:
    path = made_of(tiny.write(tmp_path / "model", tokenizer=_PARITY / file), "f16")
    wrong = [
        (line, ours, theirs)
        for line, ours, theirs in zip(lines(), encoded(path), expected_tokens(family), strict=True)
        if ours != theirs
    ]
    assert len(lines()) == COUNT
    assert not wrong, (len(wrong), wrong[:5])
