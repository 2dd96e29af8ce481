"""A file that is there whole or not at all, whatever lies beside it and whoever writes at the same time."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hychat.conversion.whole_file import check_room, whole_file
from hychat.domain.errors import ConversionError, UsageError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.is_dir())


def test_a_file_that_cannot_be_finished_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="No space left") as told, whole_file(tmp_path / "new"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "Make room" in told.value.hint
    assert names_in(tmp_path) == []


def test_what_lies_beside_the_target_is_never_touched(tmp_path: Path) -> None:
    for name in ("new.part", "new.incomplete"):
        (tmp_path / name).write_text("mine")
    with whole_file(tmp_path / "new") as part:
        part.write_text("made")
    assert {name: (tmp_path / name).read_text() for name in names_in(tmp_path)} == {
        "new": "made",
        "new.part": "mine",
        "new.incomplete": "mine",
    }


def test_of_two_writers_the_first_to_end_wins_and_the_other_is_told(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with pytest.raises(UsageError, match="there already"), whole_file(target) as slow:
        write_at_once(target, slow)
    assert (names_in(tmp_path), target.read_text()) == (["new"], "fast")


def write_at_once(target: Path, slow: Path) -> None:
    slow.write_text("slow")
    with whole_file(target) as fast:
        fast.write_text("fast")


def test_a_new_file_has_the_mode_that_the_user_gives_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    link.symlink_to(real)
    with whole_file(link) as part:
        part.write_text("made")
    assert (link.is_symlink(), real.read_text()) == (True, "made")


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "stdout", "nowhere"])
def test_what_is_no_file_is_not_written_even_if_it_may_be_overwritten(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    targets = {
        "fifo": tmp_path / "fifo",
        "device": Path(os.devnull),
        "folder": tmp_path,
        "stdout": Path("-"),
        "nowhere": tmp_path / "no" / "file",
    }
    with pytest.raises(UsageError), whole_file(targets[kind], overwrites=True):
        pass
    assert names_in(tmp_path) == ["fifo"]


def test_a_source_is_not_written_over_though_it_goes_by_another_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("mine")
    (tmp_path / "link").symlink_to(source)
    writing = whole_file(tmp_path / "link", sources=[tmp_path / "other", source], overwrites=True)
    with pytest.raises(UsageError, match="read and written at once"), writing:
        pass
    assert source.read_text() == "mine"


def test_a_disk_without_room_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"new needs 1000000000\.0 GB; its disk has .+ left"):
        check_room(tmp_path / "new.part", tmp_path / "new", 10**18)
