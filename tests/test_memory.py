"""What memory a model may take: the machine's, within a container's limit."""

from pathlib import Path

import pytest

from hychat.engine import memory
from hychat.engine.memory import Memory, machine_memory

GIB = 1 << 30


def container(folder: Path, *, limit: str, used: int, cached: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cached}\nfile {cached}\ninactive_file {cached}\n")


def test_the_machine_has_memory() -> None:
    here = machine_memory()
    assert 0 < here.available <= here.total


def test_a_container_has_what_its_limit_leaves_and_its_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container(tmp_path, limit=str(GIB // 4), used=GIB // 8, cached=GIB // 16)
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path))
    assert machine_memory() == Memory(GIB // 4 - GIB // 8 + GIB // 16, GIB // 4)


def test_a_container_that_used_up_its_limit_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(tmp_path, limit=str(GIB // 4), used=GIB, cached=0)
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path))
    assert machine_memory().available == 0


@pytest.mark.parametrize("limit", ["max", "", "nonsense", str(1 << 60)])
def test_a_container_without_a_limit_has_the_machine(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path / "none"))
    total = machine_memory().total
    container(tmp_path, limit=limit, used=GIB, cached=0)
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path))
    assert machine_memory().total == total
