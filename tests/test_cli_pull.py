"""`hychat models pull` and `prune`: JSON, odd folders, and a licence whose yes cannot be kept."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hychat.catalogue.cache import hub_cache_folder, leftovers
from hychat.paths import data_folder, private_folder
from tests.hub import Hub
from tests.hub_files import Pattern
from tests.hub_trouble import stall
from tests.programs import Ended, Terminal, run_hychat, run_script
from tests.test_cli_models import LICENSED, REPOSITORY, catalogue, split
from tests.tiny_models import write_hunyuan_dense

NAME = "tiny-Q8_0.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPOSITORY, {NAME: write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()})
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        yield made


@pytest.fixture
def released(hub: Hub, tmp_path: Path) -> threading.Event:
    """Until it is set, a download of `owner/slow-GGUF` stands still in the middle."""
    released = threading.Event()
    model = write_hunyuan_dense(tmp_path / "slow.gguf", "A").read_bytes()
    hub.add("owner/slow-GGUF", {NAME: Pattern(3 << 20, head=model)})
    hub.on(NAME, stall(released, after_bytes=2 << 20))
    return released


def models(*arguments: str, **changes: str) -> Ended:
    return run_hychat("models", *arguments, env=changes)


def leave_a_partial_file() -> Path:
    blobs = hub_cache_folder() / "models--owner--tiny-GGUF" / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / "abc.incomplete").write_bytes(bytes(1000))
    return blobs / "abc.incomplete"


def test_pull_tells_every_file_as_json(hub: Hub, tmp_path: Path) -> None:
    parts = split(write_hunyuan_dense(tmp_path / "whole.gguf", "A"), tmp_path / "split-Q4_0.gguf")
    repo = hub.add("owner/split-GGUF", {part.name: part.read_bytes() for part in parts})
    for name in ("hf:owner/split-GGUF", "hf:owner/split-GGUF:Q4_0"):  # fetched, then here already
        told = models("pull", name, "--json").json
        assert told["name"] == name
        assert [(file["repository"], file["file"], file["bytes"], file["sha256"]) for file in told["files"]] == [
            ("owner/split-GGUF", part.name, part.stat().st_size, repo.files[part.name].sha256) for part in parts
        ]
        assert all(Path(file["path"]).is_file() for file in told["files"])


def test_pull_tells_a_file_of_the_user_s_own_as_json(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "tiny.gguf", "A")
    (file,) = models("pull", str(path), "--json").json["files"]
    assert (file["path"], file["repository"], file["sha256"]) == (str(path), None, None)


@pytest.mark.usefixtures("hub")
def test_prune_as_json_lists_and_deletes_only_after_a_yes() -> None:
    models("pull", f"hf:{REPOSITORY}")
    leftover = leave_a_partial_file()
    told = {"path": str(leftover), "bytes": 1000, "kind": "partial"}
    assert models("prune", "--json").json == [{**told, "deleted": False}]
    assert models("prune", "--json", "--yes").json == [{**told, "deleted": True}]
    assert models("prune", "--json").json == []
    assert not leftover.exists()


@pytest.mark.usefixtures("hub")
def test_a_yes_to_a_licence_counts_though_it_cannot_be_remembered() -> None:
    catalogue(LICENSED)
    private_folder(data_folder())
    (data_folder() / "models.json").mkdir()
    pulled = models("pull", "mine", "--accept-licence")
    assert pulled.code == 0
    assert "cannot be remembered" in pulled.error
    assert Path(pulled.out.strip()).is_file()


@pytest.mark.usefixtures("hub")
def test_a_token_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = models("pull", f"hf:{REPOSITORY}", HF_HOME=str(tmp_path / "file"))
    assert refused.code == 2
    assert str(tmp_path / "file" / "token") in refused.error


@pytest.mark.usefixtures("hub")
def test_the_cache_may_be_a_link_and_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "我的 模型"
    link.symlink_to(tmp_path / "real")
    path = models("pull", f"hf:{REPOSITORY}", HF_HOME=str(link)).out.strip()
    assert path.startswith(f"{link}/")
    assert models("prune", "--json", HF_HOME=str(link)).json == []
    assert models("rm", "--yes", f"hf:{REPOSITORY}", HF_HOME=str(link)).code == 0
    assert not Path(path).exists()


@pytest.mark.parametrize("pipe", ["| head -0", "--json | head -0", "2>&1 >/dev/null | head -0", "2>&-", ">&-"])
@pytest.mark.usefixtures("hub")
def test_a_pull_that_nobody_listens_to_brings_the_model(pipe: str) -> None:
    run_script(f"$HYCHAT models pull hf:{REPOSITORY} {pipe}")
    assert models("path", f"hf:{REPOSITORY}").code == 0


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("columns", [30, 40, 100])
def test_the_figures_of_a_download_stay_on_one_row(released: threading.Event, columns: int, language: str) -> None:
    arguments = ["--lang", language, "models", "pull", "hf:owner/slow-GGUF"]
    with Terminal.running(*arguments, columns=columns, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("/s  ")
        (row,) = [row for row in terminal.rows if "/s" in row or "━" in row]
        assert ("━" in row) == (columns > 30)
        released.set()
        assert terminal.end() == 0


@pytest.mark.usefixtures("released")
def test_a_second_ctrl_c_changes_nothing() -> None:
    with Terminal.running("models", "pull", "hf:owner/slow-GGUF") as terminal:
        terminal.wait_for("/s  ")
        terminal.press_ctrl_c()
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "Traceback" not in terminal.written
        assert terminal.has_its_modes_back
    assert [leftover.is_partial for leftover in leftovers(hub_cache_folder())] == [True]
