"""What a command writes to stdout and stderr, and how it copes with both."""

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.cli.output import Output, Verbosity
from hychat.cli.plain import PlainWriter
from hychat.cli.progress import PATIENCE_SECONDS, ProgressLine
from hychat.cli.streams import OutputClosed, Stream
from hychat.domain.errors import HychatError, ModelNotFound
from hychat.domain.text import printable
from tests.terminals import FakeTerminal

ROOT = Path(__file__).parents[1]
HEADER = "from hychat.cli.output import Output\nout = Output.of_process()\n"


class FileOfTerminal(io.StringIO):
    """A text file that is a terminal."""

    def __init__(self, terminal: FakeTerminal) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write(text)
        return len(text)

    def isatty(self) -> bool:
        return True


class Scene:
    """An output whose stdout and stderr are one terminal, or two files."""

    def __init__(self, verbosity: Verbosity = Verbosity.NORMAL, **environment: str) -> None:
        self.out_file, self.error_file = io.StringIO(), io.StringIO()
        self.output = Output(Stream(self.out_file, environment), Stream(self.error_file, environment), verbosity)

    @property
    def out(self) -> str:
        return self.out_file.getvalue()

    @property
    def error(self) -> str:
        return self.error_file.getvalue()


def output_on(terminal: FakeTerminal, **environment: str) -> Output:
    """An output whose stdout and stderr are both this terminal."""
    file = FileOfTerminal(terminal)
    return Output(Stream(file, environment), Stream(file, environment))


def run(script: str, command: str = '"$0" -c "$1"', **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script that has an output `out`, through a shell so that its streams can be redirected."""
    return subprocess.run(
        ["sh", "-c", command, sys.executable, HEADER + script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]52;c;aGk=\x07", "]52;c;aGk="),
        ("\x9b31mred\x85", "31mred"),
        ("a\r\nb\rc", "a\nbc"),
        ("\x00\x08\x7f", ""),
        ("\u202eevil\u2069", "evil"),
        ("\ud83d", "\N{REPLACEMENT CHARACTER}"),
        ("混元 🙂 é", "混元 🙂 é"),
    ],
)
def test_printable_keeps_text_and_drops_what_terminals_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(), st.text())
def test_printable_may_be_used_piece_by_piece(one: str, other: str) -> None:
    assert printable(one) + printable(other) == printable(one + other)


@given(st.lists(st.text(st.sampled_from("ab\n"))))
def test_plain_text_ends_in_exactly_one_newline(pieces: list[str]) -> None:
    written: list[str] = []
    writer = PlainWriter(written.append)
    for piece in pieces:
        writer.feed(piece)
    writer.finish()
    text = "".join(pieces).rstrip("\n")
    assert "".join(written) == (f"{text}\n" if text else "")


def test_a_piped_answer_is_raw_text_without_escape_codes() -> None:
    scene = Scene(FORCE_COLOR="1", TERM="xterm-256color")
    for piece in ("# Ti", "tle\n\n**bo", "ld**\x1b[31m\n\n"):
        scene.output.answer(piece)
    scene.output.end()
    assert scene.out == "# Title\n\n**bold**[31m\n"
    assert scene.error == ""


def test_an_answer_on_a_terminal_is_rendered() -> None:
    terminal = FakeTerminal()
    output = output_on(terminal)
    output.answer("Some **bold** text")
    output.end()
    assert terminal.rows() == ["Some bold text", ""]
    assert "\x1b[1mbold" in terminal.written


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"ACCESSIBLE": "1"}])
def test_an_answer_is_plain_where_rows_cannot_be_painted_over(environment: dict[str, str]) -> None:
    terminal = FakeTerminal()
    output = output_on(terminal, **environment)
    output.answer("Some **bold** text")
    output.end()
    assert terminal.written == "Some **bold** text\n"


def test_no_answer_leaves_stdout_empty() -> None:
    scene = Scene()
    scene.output.answer("")
    scene.output.end()
    assert scene.out == ""


def test_a_thought_stands_above_its_answer_on_a_terminal() -> None:
    terminal = FakeTerminal()
    output = output_on(terminal)
    for piece in ("Let me ", "think.\n"):
        output.thought(piece)
    output.answer("Done.")
    output.end()
    assert terminal.rows() == ["Let me think.", "", "Done.", ""]
    assert "\x1b[2;3mLet me \x1b[0m" in terminal.written


def test_a_thought_never_gets_into_a_piped_answer() -> None:
    scene = Scene()
    scene.output.thought("Let me think.")
    scene.output.answer("Done.")
    scene.output.end()
    assert (scene.out, scene.error) == ("Done.\n", "Let me think.\n")


def test_a_warning_during_an_answer_has_its_own_line() -> None:
    terminal = FakeTerminal()
    output = output_on(terminal, TERM="dumb")
    output.answer("some")
    output.warn("careful")
    output.answer(" text")
    output.end()
    assert terminal.rows() == ["some", "hychat: careful", " text", ""]


def test_a_warning_does_not_break_a_piped_answer() -> None:
    scene = Scene()
    scene.output.answer("some")
    scene.output.warn("careful")
    scene.output.answer(" text")
    scene.output.end()
    assert (scene.out, scene.error) == ("some text\n", "hychat: careful\n")


def test_an_error_says_what_and_what_next() -> None:
    scene = Scene(Verbosity.QUIET)
    scene.output.error(ModelNotFound("No model named \x1b[1mx.", hint="Nearest: y.\nSee `hychat models list`."))
    assert scene.error == "hychat: No model named [1mx.\n  Nearest: y.\n  See `hychat models list`.\n"


def test_an_error_leaves_the_answer_as_far_as_it_came() -> None:
    terminal = FakeTerminal()
    output = output_on(terminal)
    output.answer("some text")
    output.error(HychatError("It broke."))
    assert terminal.rows() == ["some text", "hychat: It broke.", ""]


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [
        (Verbosity.QUIET, ["report"]),
        (Verbosity.NORMAL, ["report", "note", "hychat: warning"]),
        (Verbosity.VERBOSE, ["report", "note", "hychat: warning", "detail"]),
    ],
)
def test_verbosity_chooses_what_is_told(verbosity: Verbosity, told: list[str]) -> None:
    scene = Scene(verbosity)
    scene.output.report("report")
    scene.output.note("note")
    scene.output.warn("warning")
    scene.output.detail("detail")
    assert scene.error.splitlines() == told


@pytest.mark.parametrize(
    ("environment", "has_colour"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_on_a_terminal(environment: dict[str, str], has_colour: bool) -> None:
    assert Stream(FileOfTerminal(FakeTerminal()), environment).has_colour is has_colour


@pytest.mark.parametrize(("environment", "has_colour"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_colour_in_a_file(environment: dict[str, str], has_colour: bool) -> None:
    assert Stream(io.StringIO(), environment).has_colour is has_colour


def test_json_is_one_line_that_says_what_it_was_given() -> None:
    scene = Scene()
    value = {"answer": "混元\x1b[31m\x9b\x7f\u202e\ud83d\n"}
    scene.output.json(value)
    assert scene.out.count("\n") == 1
    assert "混元" in scene.out
    assert printable(scene.out) == scene.out
    assert json.loads(scene.out) == value


def test_json_is_laid_out_on_a_terminal() -> None:
    terminal = FakeTerminal()
    output_on(terminal).json({"a": 1})
    assert terminal.rows() == ["{", '  "a": 1', "}", ""]


def test_other_text_ends_in_one_newline() -> None:
    scene = Scene()
    scene.output.text("a\n\n")
    scene.output.text("b")
    assert scene.out == "a\nb\n"


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_quick_step_is_not_spoken_of(clock: Clock) -> None:
    file = io.StringIO()
    progress = ProgressLine(Stream(file, {}), clock)
    progress.show("Reading", 1, 2)
    clock.now = PATIENCE_SECONDS / 2
    progress.show("Reading", 2, 2)
    progress.clear()
    assert file.getvalue() == ""


def test_a_slow_step_is_told_once_in_a_file(clock: Clock) -> None:
    file = io.StringIO()
    progress = ProgressLine(Stream(file, {}), clock)
    for done in range(5):
        progress.show("Reading", done, 5)
        clock.now += PATIENCE_SECONDS
    progress.clear()
    assert file.getvalue() == "Reading\n"


def test_a_slow_step_counts_on_a_terminal_and_then_vanishes(clock: Clock) -> None:
    terminal = FakeTerminal()
    progress = ProgressLine(Stream(FileOfTerminal(terminal), {}), clock)
    seen = []
    for done in range(4):
        progress.show("Reading", done, 4)
        seen.append(terminal.rows())
        clock.now += PATIENCE_SECONDS
    progress.clear()
    assert seen == [[""], ["Reading: 25%"], ["Reading: 50%"], ["Reading: 75%"]]
    assert (terminal.rows(), terminal.cursor_column) == ([""], 0)


def test_a_step_that_is_wider_than_the_terminal_stays_on_its_row(clock: Clock) -> None:
    terminal = FakeTerminal(columns=10)
    progress = ProgressLine(Stream(FileOfTerminal(terminal), {}), clock)
    for done in range(4):
        progress.show("Reading a long prompt", done, 4)
        clock.now += PATIENCE_SECONDS
    assert len(terminal.rows()) == 1


def test_progress_is_gone_before_the_answer_and_not_shown_during_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hychat.cli.progress.PATIENCE_SECONDS", 0.0)
    terminal = FakeTerminal()
    output = output_on(terminal)
    output.progress("Reading", 1, 2)
    assert terminal.rows() == ["Reading: 50%"]
    output.answer("Hi")
    output.progress("Reading", 2, 2)
    output.end()
    assert terminal.rows() == ["Hi", ""]


def test_progress_is_kept_from_quiet_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hychat.cli.progress.PATIENCE_SECONDS", 0.0)
    scene = Scene(Verbosity.QUIET)
    scene.output.progress("Reading", 1, 2)
    assert scene.error == ""


def test_a_closed_pipe_ends_the_program_without_a_word() -> None:
    script = """
from hychat.cli.streams import OutputClosed
try:
    while True:
        out.answer("text " * 1000)
except OutputClosed:
    out.end()
    raise SystemExit(7)
"""
    done = run(script, '{ "$0" -c "$1"; echo $? >&2; } | head -c 1')
    assert (done.stdout, done.stderr) == (b"t", b"7\n")


def test_a_pipe_closed_after_the_last_word_leaves_no_complaint_of_python() -> None:
    script = """
import os, sys
from hychat.cli.streams import OutputClosed
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
try:
    out.answer("text")
except OutputClosed:
    print("closed", file=sys.stderr)
"""
    assert run(script).stderr == b"closed\n"


def test_a_full_disk_is_an_error_with_a_reason() -> None:
    script = """
from hychat.domain.errors import HychatError
try:
    out.answer("text")
except HychatError as error:
    out.error(error)
    raise SystemExit(error.exit_code)
"""
    done = run(script, 'exec "$0" -c "$1" >/dev/full')
    assert done.returncode == 1
    assert done.stderr == b"hychat: Cannot write to standard output: No space left on device.\n"


def test_closed_streams_are_no_error() -> None:
    script = "out.note('a'); out.progress('b', 1, 2); out.answer('text'); out.end(); out.json({}); out.prepare()"
    done = run(script, 'exec "$0" -c "$1" >&- 2>&-')
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_nobody_reading_stderr_does_not_stop_the_answer() -> None:
    done = run("out.note('a'); out.note('b'); out.answer('text'); out.end()", 'exec "$0" -c "$1" 2>/dev/full')
    assert (done.returncode, done.stdout) == (0, b"text\n")


def test_closed_descriptors_are_filled_before_a_file_takes_their_place() -> None:
    script = """
from hychat.cli.streams import fill_closed_descriptors
fill_closed_descriptors()
import os
raise SystemExit(os.open("/dev/null", os.O_RDONLY))
"""
    assert run(script, 'exec "$0" -c "$1" <&- >&- 2>&-').returncode >= 3


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}]
)
def test_chinese_is_written_where_the_locale_knows_ascii_only(environment: dict[str, str]) -> None:
    done = run("out.answer('混元'); out.end(); out.note('翻译')", **environment)
    assert (done.stdout.decode(), done.stderr.decode()) == ("混元\n", "翻译\n")


def test_another_encoding_is_kept_and_unknown_characters_replaced() -> None:
    done = run("out.answer('混元 🙂'); out.end(); out.json('🙂')", PYTHONIOENCODING="gbk")
    assert done.stdout.decode("gbk") == '混元 ?\n"\\ud83d\\ude42"\n'


def test_importing_the_output_stays_light() -> None:
    script = "import sys; out.text(' '.join({'rich', 'markdown_it', 'typer', 'pygments'} & set(sys.modules)))"
    assert run(script).stdout == b""


@pytest.fixture
def pseudo_terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of 60 columns and 10 lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
    yield ours, theirs
    os.close(ours)


def read_to_end(descriptor: int) -> str:
    """All that is written to a terminal until its last user closes it (then Linux answers EIO)."""
    data = b""
    try:
        while piece := os.read(descriptor, 65536):
            data += piece
    except OSError:
        pass
    return data.decode()


def test_an_answer_on_a_real_terminal(pseudo_terminal: tuple[int, int]) -> None:
    ours, theirs = pseudo_terminal
    text = (
        "# 标题\n\nSome **bold** text.\n\n"
        + "".join(f"{n}. item\n" for n in range(1, 16))
        + "\n```python\nx = 1\n```\n"
    )
    script = f"{HEADER}\nfor character in {text!r}:\n    out.answer(character)\nout.end()\nout.note('bye')"
    program = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    terminal = FakeTerminal(columns=60, lines=10)
    terminal.write(read_to_end(ours))
    assert program.wait(10) == 0
    items = [f"{n:3} item" for n in range(1, 16)]
    assert terminal.rows()[1:] == ["", "Some bold text.", "", *items, "", "x = 1", "bye", ""]
    assert terminal.is_sane


def test_what_cannot_be_written_is_told_by_the_kind_of_its_error() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device", text[:0])

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text[:0])

    with pytest.raises(HychatError):
        Output(Stream(Full(), {}), Stream(None, {})).answer("x")
    with pytest.raises(OutputClosed):
        Output(Stream(Closed(), {}), Stream(None, {})).answer("x")
