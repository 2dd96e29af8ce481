"""Where files live."""

import stat
from pathlib import Path

import pytest

from hychat import paths
from hychat.domain.errors import ConfigError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_users_files_follow_the_xdg_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    assert paths.config_file() == tmp_path / "CONFIG/hychat/config.yaml"
    assert paths.user_catalogue_folder() == tmp_path / "CONFIG/hychat/catalogue"
    assert paths.user_themes_folder() == tmp_path / "CONFIG/hychat/themes"
    assert paths.history_file() == tmp_path / "DATA/hychat/history.sqlite3"
    assert paths.cache_folder() == tmp_path / "CACHE/hychat"
    assert paths.log_file() == tmp_path / "STATE/hychat/log/engine.log"


def test_asking_where_a_file_lives_creates_nothing(tmp_path: Path) -> None:
    for path in (paths.config_file, paths.data_folder, paths.history_file, paths.cache_folder, paths.log_file):
        path()
    assert not any(tmp_path.iterdir())


def test_a_private_folder_and_its_missing_parents_are_closed_to_others(tmp_path: Path) -> None:
    folder = paths.private_folder(tmp_path / "one/two")
    assert folder == tmp_path / "one/two"
    assert [mode_of(folder), mode_of(folder.parent)] == [0o700, 0o700]


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o750)
    paths.private_folder(folder)
    assert mode_of(folder) == 0o750


def test_a_file_in_a_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(FileExistsError):
        paths.private_folder(tmp_path / "taken")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up folder in which hychat is installed."""
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "hychat")
    return tmp_path / "hychat"


def test_bundled_files_of_a_wheel_win_over_those_beside_it(package: Path) -> None:
    (package / "_bundled/themes").mkdir(parents=True)
    (package.parent / "pyproject.toml").touch()
    assert paths.bundled("themes") == package / "_bundled/themes"


def test_a_checkout_has_its_bundled_files_beside_the_package(package: Path) -> None:
    (package.parent / "pyproject.toml").touch()
    assert paths.bundled("gguf/catalogue") == package.parent / "gguf/catalogue"


def test_a_folder_beside_an_installed_package_is_not_ours(package: Path) -> None:
    (package.parent / "themes").mkdir(parents=True)
    assert paths.bundled("themes") == package / "_bundled/themes"


def test_the_catalogue_is_found() -> None:
    assert (paths.bundled("gguf/catalogue") / "starter.yaml").is_file()


def test_a_home_folder_that_nobody_knows_is_told_with_the_variable() -> None:
    with pytest.raises(ConfigError, match="HOME is not set") as caught, paths.home_needed():
        raise RuntimeError("could not determine the home directory")
    assert caught.value.hint == "export HOME=/path/to/folder"
