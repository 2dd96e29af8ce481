"""Long work on model files that is stopped: by signals and by Ctrl+C, as a script and as a person stops it."""

import signal
from pathlib import Path

import pytest

from hychat.cli.interrupt import cancelled_by_any_signal
from tests.programs import ROOT, Terminal, children_of, started, wait_until_gone
from tests.whole_models import SHAPES, write_whole

TEXT = str(ROOT / "gguf/recipes/calibration.md")


def command(name: str, folder: Path) -> tuple[str, ...]:
    """One that writes a file for minutes."""
    match name:
        case "quantize":
            whole = write_whole(folder / "whole.gguf", SHAPES["hunyuan-7b"])
            return ("quantize", str(whole), str(folder / "new.gguf"), "--allow-requantize", "--threads", "1")
        case "imatrix":
            return ("imatrix", "starter", "-f", TEXT, "-o", str(folder / "new.gguf"), "--threads", "1")
        case _:
            return ("build", "starter-iq4_xs", "-o", str(folder), "--threads", "1")


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("quantize", signal.SIGTERM, 143),
        ("imatrix", signal.SIGHUP, 129),
        ("build", signal.SIGTERM, 143),
        ("build", signal.SIGINT, 130),
    ],
)
def test_a_signal_leaves_no_file_and_no_process(name: str, number: signal.Signals, code: int, tmp_path: Path) -> None:
    with started("gguf", *command(name, tmp_path)) as process:
        while not ([*tmp_path.glob("*.part")] and children_of(process.pid)):
            assert process.poll() is None
        workers = children_of(process.pid)
        process.send_signal(number)
        _out, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert b"Traceback" not in error
    assert not [*tmp_path.glob("*.part")]
    for worker in workers:
        wait_until_gone(worker)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cancelled_by_any_signal() as cancel:
            signal.raise_signal(signal.SIGHUP)
            assert not cancel.is_set
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["quantize", "imatrix", "build"])
def test_ctrl_c_takes_the_line_of_progress_off_the_screen(name: str, tmp_path: Path) -> None:
    with Terminal.running("gguf", *command(name, tmp_path), columns=100) as terminal:
        terminal.wait_until_shown("%")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "%" not in "\n".join(terminal.rows)
