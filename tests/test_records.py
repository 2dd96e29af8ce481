"""What is remembered of models: by several processes at once, and where nothing can be written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hychat.catalogue import records
from hychat.paths import data_folder, private_folder
from tests.programs import environment

REMEMBER = """
import sys
from hychat.catalogue.records import remember_checksum
for number in range(20):
    remember_checksum("owner/" + sys.argv[1], str(number), "a" * 64)
"""


def written() -> Path:
    return data_folder() / "models.json"


def test_a_licence_that_was_agreed_to_stays_so() -> None:
    records.accept("strict-1")
    assert records.is_accepted("strict-1")
    assert not records.is_accepted("strict-2")


def test_what_is_remembered_is_for_its_owner_alone() -> None:
    records.accept("strict-1")
    assert {file.stat().st_mode & 0o777 for file in data_folder().iterdir()} == {0o600}


def test_processes_that_write_at_once_lose_nothing() -> None:
    names = ["a", "b", "c"]
    running = [subprocess.Popen([sys.executable, "-c", REMEMBER, name], env=environment()) for name in names]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    for name in names:
        assert all(records.known_checksum(f"owner/{name}", str(number)) for number in range(20))


def test_a_checksum_that_is_forgotten_leaves_the_licences() -> None:
    records.accept("strict-1")
    records.remember_checksum("owner/name", "file", "a" * 64)
    records.forget_checksum("owner/name", "file")
    assert records.known_checksum("owner/name", "file") is None
    assert records.is_accepted("strict-1")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"licences": 1}', "[" * 100_000])
def test_a_broken_file_remembers_nothing_and_is_written_anew(content: str) -> None:
    private_folder(data_folder())
    written().write_text(content)
    assert not records.is_accepted("strict-1")
    records.accept("strict-1")
    assert records.is_accepted("strict-1")


def test_what_a_newer_hychat_remembers_is_kept() -> None:
    private_folder(data_folder())
    written().write_text(json.dumps({"newer": {"key": "value"}}))
    records.accept("strict-1")
    assert json.loads(written().read_text())["newer"] == {"key": "value"}


def test_a_file_that_cannot_be_read_is_not_written_over() -> None:
    private_folder(data_folder())
    written().mkdir()
    assert not records.is_accepted("strict-1")
    with pytest.raises(OSError, match="directory"):
        records.accept("strict-1")
