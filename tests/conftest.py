"""What all tests share: a home folder of their own and a clean environment."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hychat import messages

if TYPE_CHECKING:
    from hychat.engine.llama.model import Model
    from tests.middling_models import Middling

SHELL_WORDS = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
"""What a shell may say of its terminal; pytest-xdist's workers inherit the last two from readline."""


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the developer's own files, variables or language."""
    for name in [*os.environ]:
        if name.startswith(("HYCHAT_", "HF_", "LC_", "LANG", "XDG_")) or name in SHELL_WORDS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "home" / kind.lower()))
    messages.choose_language("en")
    yield
    messages.choose_language("en")


@pytest.fixture(scope="session")
def starter_model() -> Iterator["Model"]:
    """The starter in this process, for tests of the decode loop itself."""
    from hychat.catalogue.find import locate

    yield from _loaded(locate("starter").path)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Model"]:
    """A Llama of random weights with ChatML tokens: hundreds of tokens in a moment, none of them with a meaning."""
    from tests.tiny_models import write_llama

    yield from _loaded(str(write_llama(tmp_path_factory.mktemp("tiny") / "llama.gguf")))


def _loaded(path: str) -> Iterator["Model"]:
    from tests.desk import load_quietly  # imports llama.cpp, for the tests that need it

    model = load_quietly(path)
    yield model
    model.close()


@pytest.fixture(scope="session")
def middling(tmp_path_factory: pytest.TempPathFactory) -> "Middling":
    """Models whose bytes can be told from those of the process."""
    from tests.middling_models import write_middling

    return write_middling(tmp_path_factory.mktemp("middling"))
