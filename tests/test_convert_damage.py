"""Damaged checkpoints: one clear line each, nothing left, and never a hang."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from hychat.conversion.convert import convert
from hychat.conversion.safetensors import read_shard
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, InputUnreadable
from tests.tiny_checkpoints import DENSE, MIXTURE

_WEIGHTS: Final = "model.safetensors"


def outcome(folder: Path) -> str:
    """What is said of it; empty where it was converted all the same, for weights can be any numbers."""
    output = folder.with_suffix(".gguf")
    try:
        convert(folder, output, "f16", CancelToken())
    except HychatError as error:
        said = error.message
        assert not output.exists()
    else:
        said = ""
        output.unlink()
    assert not [path for path in folder.parent.iterdir() if path.name.endswith(".part")]
    assert "\n" not in said
    return said


def damages(whole: bytes, count: int) -> Iterator[bytes]:
    """The file cut, lengthened, with bits turned over in its header, or with an entry that says something else."""
    state = random.Random(7)  # noqa: S311 - no secret
    header = int.from_bytes(whole[:8], "little")
    for number in range(count):
        data = bytearray(whole)
        match number % 5:
            case 0:
                data = data[: state.randrange(len(data))]
            case 1:
                data += state.randbytes(state.randrange(1, 64))
            case 2:
                data[state.randrange(8)] ^= 1 << state.randrange(8)
            case 3:
                for _bit in range(state.randrange(1, 4)):
                    data[8 + state.randrange(header)] ^= 1 << state.randrange(8)
            case _:
                data = bytearray(_with_another_entry(whole, header, state))
        yield bytes(data)


def _with_another_entry(whole: bytes, header: int, state: random.Random) -> bytes:
    entries = json.loads(whole[8 : 8 + header])
    name = state.choice([name for name in entries if name != "__metadata__"])
    odd: list[Any] = [None, -1, 1 << 62, 1 << 80, 0.5, "x", [], {}, [0] * 9, [1 << 62, 4], [[64]], True]
    key = state.choice(["dtype", "shape", "data_offsets"])
    entries[name][key] = state.choice(odd)
    if state.randrange(3) == 0:
        del entries[name][key]
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + header :]


def test_200_damaged_safetensors_are_told_in_one_line_each(tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture")
    whole = (folder / _WEIGHTS).read_bytes()
    started = time.monotonic()
    said = []
    for damaged in damages(whole, 200):
        (folder / _WEIGHTS).write_bytes(damaged)
        said.append(outcome(folder))
    assert time.monotonic() - started < 60
    assert all(said)


def damaged_json(text: str, state: random.Random) -> str:
    values = json.loads(text)
    key = state.choice([*values])
    values[key] = state.choice([None, -1, 0, 1 << 40, 1e400, "x", [], {}, [None], True, "\ud800", [3, "a"]])
    return json.dumps(values) if state.randrange(4) else text[: state.randrange(len(text))]


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"])
def test_damaged_json_never_ends_in_more_than_a_line(file: str, tmp_path: Path) -> None:
    folder, state = DENSE.write(tmp_path / "dense"), random.Random(8)  # noqa: S311 - no secret
    whole = (folder / file).read_text(encoding="utf-8")
    for _time in range(60):
        (folder / file).write_text(damaged_json(whole, state), encoding="utf-8")
        outcome(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"YQ== 0\n", b"not base64 0\n", b"YQ==\n" * 300, b"\xff\xfe\x00\x00", b"=== 1\n", "你好 1\n".encode()],
)
def test_a_damaged_tiktoken_file_is_told(content: bytes, tmp_path: Path) -> None:
    folder = MIXTURE.write(tmp_path / "mixture")
    (folder / "hy.tiktoken").write_bytes(content)
    assert "hy.tiktoken is damaged" in outcome(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "README.md").write_bytes(b"---\nlicense: [\n---\n\xff"),
        lambda folder: (folder / "README.md").write_text("---\n" + "[" * 5000 + "\n---\n"),
        lambda folder: (folder / "README.md").unlink(),
        lambda folder: (folder / "generation_config.json").unlink(),
    ],
)
def test_what_is_not_needed_may_be_missing_or_damaged(spoil: Callable[[Path], Any], tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    spoil(folder)
    assert not outcome(folder)


def test_a_header_of_brackets_is_no_crash(tmp_path: Path) -> None:
    text = b"[" * 1_000_000
    (tmp_path / _WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(InputUnreadable, match="no JSON"):
        read_shard(tmp_path / _WEIGHTS)


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = '"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    text = f"{{{entry}, {entry}}}".encode()
    (tmp_path / _WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(InputUnreadable):
        read_shard(tmp_path / _WEIGHTS)


def test_a_checkpoint_in_another_format_is_told(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    (folder / _WEIGHTS).rename(folder / "pytorch_model.bin")
    assert "no safetensors" in outcome(folder)


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    (folder / _WEIGHTS).unlink()
    (folder / _WEIGHTS).mkdir()
    assert outcome(folder)
