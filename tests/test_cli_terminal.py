"""On a terminal: what a person sees, and that the terminal is as it was when the program has ended."""

import re
import shlex
from pathlib import Path

import pytest

from tests.programs import HYCHAT, Terminal, run_hychat

LONG = ("-m", "starter", "--seed", "1", "Write a long story about a dragon and a princess.")
MARKDOWN = "some **bold** and *italic* and `code` 世界 [red] :smile:"
SELECT_GRAPHIC_RENDITION = re.compile(r"\x1b\[([\d;]*)m")


def in_shell(script: str) -> tuple[str, ...]:
    """A shell that runs a script, in which `hychat` is the program."""
    return ("/bin/bash", "-c", script.replace("hychat", shlex.join(HYCHAT)))


def colours(written: str) -> set[str]:
    """The colours that were set, of letters or of what is behind them."""
    codes = {code for found in SELECT_GRAPHIC_RENDITION.findall(written) for code in found.split(";")}
    return {code for code in codes if re.fullmatch(r"[349]\d|10\d", code)}


def test_an_answer_is_rendered_and_the_terminal_left_as_it_was() -> None:
    with Terminal.running("-m", "echo", MARKDOWN) as terminal:
        assert terminal.end() == 0
        assert terminal.rows == ["some bold and italic and code 世界 [red] :smile:"]
        assert "\x1b[1mbold" in terminal.written
        assert terminal.screen.cursor_column == 0
        assert terminal.screen.is_sane
        assert terminal.has_its_modes_back


def test_a_model_answers_on_a_terminal() -> None:
    with Terminal.running("-m", "starter", "--max-tokens", "8", "--stats", "hi", columns=120) as terminal:
        assert terminal.end() == 0
        assert terminal.rows[-2] == "The answer was cut at its length limit."
        assert terminal.rows[-1].startswith("prompt 31 tokens")
        assert terminal.screen.is_sane


def test_without_a_question_a_pipe_gets_none_and_it_says_what_to_type() -> None:
    with Terminal.running(*in_shell("hychat | cat; exit ${PIPESTATUS[0]}"), columns=100) as terminal:
        assert terminal.end() == 2
        assert terminal.rows[0] == "hychat: There is nothing to ask."
        assert 'Give a question: hychat "why is the sky blue?"' in terminal.rows[1]


def test_errors_are_signed_in_colour() -> None:
    with Terminal.running("-Z") as terminal:
        assert terminal.end() == 2
        assert terminal.written.startswith("\x1b[1;31mhychat:\x1b[0m There is no option -Z.")


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [((), {"NO_COLOR": "1"}), (("--no-color",), {}), ((), {"HYCHAT_COLOR": "never"})],
)
def test_no_colours_where_they_are_not_wanted(arguments: tuple[str, ...], changes: dict[str, str]) -> None:
    with Terminal.running(*arguments, "-m", "echo", "--stats", MARKDOWN, env=changes) as terminal:
        assert terminal.end() == 0
        assert colours(terminal.written) == set()
        assert "\x1b[1mbold" in terminal.written
    with Terminal.running(*arguments, "-Z", env=changes) as terminal:
        assert terminal.end() == 2
        assert "\x1b" not in terminal.written


@pytest.mark.parametrize("changes", [{"TERM": "dumb"}, {"ACCESSIBLE": "1"}])
def test_nothing_is_painted_over_where_that_cannot_be_read(changes: dict[str, str]) -> None:
    with Terminal.running("-m", "echo", MARKDOWN, env=changes) as terminal:
        assert terminal.end() == 0
        assert terminal.written == f"{MARKDOWN}\r\n"


def test_json_is_laid_out_for_a_person() -> None:
    with Terminal.running("-m", "echo", "--json", "hi") as terminal:
        assert terminal.end() == 0
        assert terminal.rows[:2] == ["{", '  "answer": "hi",']
        assert "\x1b" not in terminal.written


def test_ctrl_c_ends_the_answer_in_order() -> None:
    with Terminal.running(*LONG) as terminal:
        terminal.wait_for("dragon")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "^C" not in "".join(terminal.rows)
        assert terminal.screen.cursor_column == 0
        assert terminal.screen.is_sane
        assert terminal.has_its_modes_back


def test_two_ctrl_cs_leave_a_sane_terminal() -> None:
    with Terminal.running(*LONG) as terminal:
        terminal.wait_for("dragon")
        terminal.type("\x03\x03\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.written
        assert terminal.screen.is_sane
        assert terminal.has_its_modes_back


def test_ctrl_c_while_the_prompt_is_read_leaves_no_progress_behind() -> None:
    with Terminal.running(*LONG[:-1], "word " * 2000) as terminal:
        terminal.wait_for("Reading the prompt")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "Reading" not in "".join(terminal.rows)
        assert "Traceback" not in terminal.written
        assert terminal.screen.is_sane


def test_progress_is_not_mixed_into_a_redirected_answer(tmp_path: Path) -> None:
    answer = tmp_path / "answer.txt"
    words = "word " * 700
    with Terminal.running(*in_shell(f"hychat -m starter --max-tokens 4 '{words}' > {answer}")) as terminal:
        assert terminal.end() == 0
        assert "Reading the prompt: " in terminal.written
        assert terminal.rows[0] in {"The answer was cut at its length limit.", "The model answered nothing."}
        assert len(terminal.rows) == 1
        assert terminal.screen.is_sane
    text = answer.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "Reading" not in text


def test_what_is_told_goes_to_a_file_without_escape_codes(tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    with Terminal.running(*in_shell(f"hychat -m echo --max-tokens 2 --stats a b c 2> {told}")) as terminal:
        assert terminal.end() == 0
        assert terminal.rows == ["a b"]
    text = told.read_text(encoding="utf-8")
    assert text.startswith("The answer was cut at its length limit.\nprompt 5 tokens")
    assert "\x1b" not in text


def test_piped_data_and_a_terminal_go_together() -> None:
    with Terminal.running(*in_shell("echo data | hychat -m echo what")) as terminal:
        assert terminal.end() == 0
        assert "data" in "".join(terminal.rows)
        assert "what" in "".join(terminal.rows)


@pytest.mark.parametrize(("flags", "is_told"), [((), True), (("-q",), False)])
def test_a_file_is_told_with_its_length(tmp_path: Path, flags: tuple[str, ...], is_told: bool) -> None:
    (tmp_path / "note.txt").write_text("买茶叶。" * 3, encoding="utf-8")
    with Terminal.running("-m", "echo", *flags, "-f", str(tmp_path / "note.txt"), "hello") as terminal:
        assert terminal.end() == 0
        assert ("note.txt: ~8 tokens" in "\n".join(terminal.rows)) is is_told


def test_what_is_typed_meanwhile_is_left_for_the_shell() -> None:
    with Terminal.running(*in_shell("hychat -m echo hi; read line; echo got $line")) as terminal:
        terminal.type("typed ahead\n")
        assert terminal.end() == 0
        assert terminal.rows[-1] == "got typed ahead"


def test_a_terminal_that_changes_its_width_is_followed() -> None:
    with Terminal.running(*LONG, "--max-tokens", "120") as terminal:
        terminal.wait_for("dragon")
        terminal.resize(30)
        assert terminal.end() == 0
        assert terminal.screen.is_sane


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_terminal_may_be_very_narrow(columns: int) -> None:
    with Terminal.running("-m", "echo", "你好 **world**", columns=columns, lines=3) as terminal:
        assert terminal.end() == 0
        assert "Traceback" not in terminal.written


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("columns", [44, 80, 100])
def test_help_is_as_wide_as_the_terminal(language: str, columns: int) -> None:
    with Terminal.running("--help", "--lang", language, columns=columns, lines=200) as terminal:
        assert terminal.end() == 0
        unfolded = terminal.written.replace("\r\n", "\n").split("\n")
        rows = len(terminal.rows)

    too_long_to_break = [line for line in unfolded if line.startswith("  ") and "hychat" in line]
    assert rows <= len(unfolded) + len(too_long_to_break)


def test_a_chat_is_shown_rendered() -> None:
    run_hychat("-m", "echo", "some **bold** words")
    chat = run_hychat("history", "list", "--json").json[0]["id"]

    with Terminal.running("history", "show", chat) as terminal:
        assert terminal.end() == 0
        assert "some bold words" in terminal.rows
        assert terminal.screen.is_sane


def test_closing_the_terminal_ends_it() -> None:
    with Terminal.running(*LONG) as terminal:
        terminal.wait_for("dragon")
        terminal.hang_up()
        assert terminal.end() != 0
