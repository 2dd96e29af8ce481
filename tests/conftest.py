"""What all tests share: a home folder of their own and a clean environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hychat import messages


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the developer's own files, variables or language."""
    for name in [*os.environ]:
        if name.startswith(("HYCHAT_", "HF_", "LC_", "LANG", "XDG_")) or name in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "home" / kind.lower()))
    messages.choose_language("en")
    yield
    messages.choose_language("en")
