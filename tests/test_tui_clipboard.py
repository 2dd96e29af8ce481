from pathlib import Path

import pytest

from hychat.tui.clipboard import copy_with_tool


def test_a_text_goes_to_the_tool_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "wl-copy"
    tool.write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert copy_with_tool("天空 blue", {"WAYLAND_DISPLAY": "wayland-0"})
    assert (tmp_path / "copied").read_text(encoding="utf-8") == "天空 blue"


def test_without_a_display_no_tool_is_asked() -> None:
    assert not copy_with_tool("text", {})
