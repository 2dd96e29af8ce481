"""`hychat gguf convert` as it is typed: folders, repositories, licences, Ctrl+C."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hychat.engine.audit import audit
from hychat.engine.gguf import read_header
from tests.hub import Hub
from tests.programs import Ended, run_hychat, started
from tests.tiny_checkpoints import DENSE, MIXTURE

REPOSITORY = "owner/Tiny-0.1B"


def converted(*arguments: str, **env: str) -> Ended:
    return run_hychat("gguf", "convert", *arguments, env=env)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as made:
        folder = MIXTURE.write(tmp_path / "there", shards=3)
        (folder / "pytorch_model.bin").write_bytes(b"not wanted")
        made.add(REPOSITORY, files_of(folder))
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        yield made


def test_a_folder_becomes_a_gguf_and_its_path_is_printed(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    ended = converted(str(DENSE.write(tmp_path / "dense")), "-o", str(output))
    assert (ended.code, ended.out) == (0, f"{output}\n")
    assert "hunyuan-dense" in ended.error
    assert audit(read_header(str(output)))


def test_small_sizes_are_told_in_words(tmp_path: Path) -> None:
    ended = converted(str(DENSE.write(tmp_path / "dense")), "-o", str(tmp_path / "out.gguf"))
    assert " K parameters" in ended.error
    assert " kB in " in ended.error


def test_a_gguf_is_not_written_to_stdout(tmp_path: Path) -> None:
    ended = converted(str(DENSE.write(tmp_path / "dense")), "-o", "-")
    assert (ended.code, "stdout" in ended.error) == (2, True)


def test_a_file_that_is_there_is_overwritten_when_it_is_said(tmp_path: Path) -> None:
    source, output = str(DENSE.write(tmp_path / "dense")), tmp_path / "out.gguf"
    output.write_text("mine")
    refused = converted(source, "-o", str(output))
    assert (refused.code, "--overwrite" in refused.error, output.read_text()) == (2, True, "mine")
    assert converted(source, "-o", str(output), "--overwrite").code == 0


def test_json_tells_what_was_made(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    source = str(MIXTURE.write(tmp_path / "mixture"))
    told = converted(source, "-o", str(output), "--outtype", "q8_0", "--json").json
    assert told["path"] == str(output)
    assert told["bytes"] == output.stat().st_size
    assert (told["architecture"], told["outtype"], told["tensors"]) == ("hunyuan-moe", "q8_0", 33)


def test_a_repository_is_fetched_at_a_revision(hub: Hub, tmp_path: Path) -> None:
    commit = hub._repos[REPOSITORY].commit
    output = tmp_path / "out.gguf"
    ended = converted(f"{REPOSITORY}@{commit}", "-o", str(output))
    assert ended.code == 0, ended.error
    header = read_header(str(output))
    assert header.text("general.source.url") == f"https://huggingface.co/{REPOSITORY}/tree/{commit}"
    assert not [record for record in hub.requests if record.path.endswith(".bin")]


def test_a_repository_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    assert converted(REPOSITORY, "-o", str(first)).code == 0
    before = len([record for record in hub.requests if "safetensors" in record.path])
    assert converted(f"hf:{REPOSITORY}", "-o", str(second)).code == 0
    assert len([record for record in hub.requests if "safetensors" in record.path]) == before
    assert first.read_bytes() == second.read_bytes()


def test_a_repository_without_a_checkpoint_is_told(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/other-GGUF", {"model.gguf": b"GGUF"})
    ended = converted("owner/other-GGUF", "-o", str(tmp_path / "out.gguf"))
    assert ended.code == 3
    assert "has no checkpoint" in ended.error


def test_a_licence_of_its_own_must_be_agreed_to(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo, output = hub._repos[REPOSITORY], str(tmp_path / "out.gguf")
    info = repo.info

    def with_card(commit: str, *, with_blobs: bool) -> dict[str, Any]:
        card = {"license": "other", "license_name": "own-terms", "license_link": "https://example.org/L"}
        return {**info(commit, with_blobs=with_blobs), "cardData": card}

    monkeypatch.setattr(repo, "info", with_card)
    refused = converted(REPOSITORY, "-o", output)
    assert refused.code == 3
    assert "own-terms" in refused.error
    assert "https://example.org/L" in refused.error
    assert not [record for record in hub.requests if "safetensors" in record.path]
    assert converted(REPOSITORY, "-o", output, "--accept-licence").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere",), 2, "There is no folder nowhere"),
        (("/nowhere/at/all",), 2, "There is no folder /nowhere/at/all"),
        ((".", "--outtype", "q4_0"), 2, "hychat gguf quantize"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    ended = converted(*arguments, "-o", str(tmp_path / "out.gguf"))
    assert ended.code == code
    assert said in ended.error
    assert "Traceback" not in ended.error


def test_another_architecture_ends_with_1(tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense", config={"architectures": ["LlamaForCausalLM"]})
    ended = converted(str(folder), "-o", str(tmp_path / "out.gguf"))
    assert (ended.code, ended.out) == (1, "")
    assert "LlamaForCausalLM" in ended.error
    assert "convert_hf_to_gguf.py" in ended.error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    folder = DENSE.write(tmp_path / "dense")
    _make_large(folder)
    output = tmp_path / "out.gguf"
    with started("gguf", "convert", str(folder), "-o", str(output), "--outtype", "Q8_0") as process:
        while not [part for part in tmp_path.glob("out.gguf.*.part") if part.stat().st_size > 1 << 20]:
            assert process.poll() is None
        process.send_signal(number)
        _out, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in error
    assert not [*tmp_path.glob("out.gguf*")]


def _make_large(folder: Path) -> None:
    """Give it feed-forward layers of 1.6 GB, whose zeros take no room on the disk."""
    length = 1 << 20
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": length}))
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, begin = json.loads(whole[8 : 8 + size]), 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if ".mlp." in name:
            entry["shape"] = [64, length] if "down" in name else [length, 64]
        elements = 1
        for one in entry["shape"]:
            elements *= one
        entry["data_offsets"] = [begin, begin := begin + 4 * elements]
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + begin)
