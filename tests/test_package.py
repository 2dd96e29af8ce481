"""What a user installs: the wheel and the sdist hold what hychat needs, and nothing heavy."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> set[str]:
    (path,) = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_catalogue(wheel: set[str]) -> None:
    shipped = {path.name for path in (ROOT / "gguf" / "catalogue").glob("*.yaml")}

    assert shipped
    assert {f"hychat/_bundled/gguf/catalogue/{name}" for name in shipped} <= wheel


def test_the_wheel_holds_the_themes(wheel: set[str]) -> None:
    shipped = {path.name for path in (ROOT / "themes").iterdir()}

    assert "README.md" in shipped
    assert {f"hychat/_bundled/themes/{name}" for name in shipped} <= wheel


def test_the_wheel_holds_both_languages(wheel: set[str]) -> None:
    folder = "hychat/messages/locale"

    assert {f"{folder}/{language}/LC_MESSAGES/hychat.mo" for language in ("en", "zh_CN")} <= wheel


def test_the_wheel_holds_the_type_marker_and_the_licence(wheel: set[str]) -> None:
    assert "hychat/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_neither_weights_nor_tests(wheel: set[str]) -> None:
    assert not [name for name in wheel if name.endswith(".gguf") or name.startswith("tests/")]


def test_the_sdist_builds_the_same_package(distributions: Path, wheel: set[str]) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    modules = {name for name in wheel if name.startswith("hychat/") and "_bundled" not in name}
    assert modules <= names
    assert {"gguf/catalogue/starter.yaml", "themes/night.yaml"} <= names
