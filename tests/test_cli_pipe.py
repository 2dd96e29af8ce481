"""In a pipe: what is read from stdin, what goes to stdout and what to stderr, and how the program ends."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.programs import (
    HYCHAT,
    ROOT,
    Ended,
    children_of,
    engine_of,
    environment,
    is_running,
    read_until,
    run_hychat,
    run_script,
    started,
    wait_until_gone,
)

LONG = ("-m", "starter", "--seed", "1", "Write a long story about a dragon and a princess.")
ESCAPES_AND_BELLS = "a\x1b[31mred\x1b[0m\x07\x08\x9b1mb\x7f \u202egnp.exe"


def ask_echo(*arguments: str | bytes, **changes: Any) -> Ended:
    return run_hychat("-m", "echo", *arguments, **changes)


def chats() -> Any:
    return run_hychat("history", "list", "--json").json


def newest_messages() -> Any:
    return run_hychat("history", "show", "--json", chats()[0]["id"]).json["messages"]


def prompt_of(*arguments: str | bytes, stdin: bytes = b"", **changes: Any) -> str:
    """What a model reads, with white space as one space each: the scripted one says it again."""
    ended = ask_echo(*arguments, stdin=stdin, **changes)
    assert (ended.code, ended.error) == (0, "")
    return ended.out.removesuffix("\n")


# What is asked


def test_the_question_is_the_arguments() -> None:
    assert prompt_of("why", "is", "the sky blue?") == "why is the sky blue?"


def test_the_question_is_an_option() -> None:
    assert prompt_of("-p", "history") == "history"


def test_the_question_follows_two_dashes() -> None:
    assert prompt_of("--", "--help", "history") == "--help history"


def test_without_a_question_the_data_is_the_question() -> None:
    assert prompt_of(stdin="是什么？\n".encode()) == "是什么？"


def test_data_comes_first_in_a_fence_and_the_question_last() -> None:
    assert prompt_of("summarise", stdin=b"some\ndata\n") == "```stdin some data ``` summarise"


def test_a_fence_is_longer_than_those_in_the_data() -> None:
    assert prompt_of("what?", stdin=b"````\nx\n````") == "`````stdin ```` x ```` ````` what?"


def test_files_come_in_order_and_before_piped_data(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_bytes("\ufeff二\r\n".encode())

    prompt = prompt_of("-f", "b.txt", "-f", "a.txt", "compare", stdin=b"three", cwd=tmp_path)

    assert prompt == "```b.txt 二 ``` ```a.txt one ``` ```stdin three ``` compare"


def test_a_dash_as_a_file_puts_stdin_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")

    prompt = prompt_of("-f", "-", "-f", "a.txt", "compare", stdin=b"two", cwd=tmp_path)

    assert prompt == "```stdin two ``` ```a.txt one ``` compare"


def test_a_file_alone_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("why?")

    assert prompt_of("-f", str(tmp_path / "question.txt")) == "```question.txt why? ```"


def test_what_was_asked_is_kept_with_its_data() -> None:
    prompt_of("-s", "You are terse.", "why?", stdin=b"data")

    question, answer = newest_messages()
    assert (question["text"], [file["text"] for file in question["files"]]) == ("why?", ["data"])
    assert (answer["role"], answer["stop"]) == ("assistant", "complete")


@pytest.mark.parametrize("stdin", [b"", b" \n\t\n", subprocess.DEVNULL])
def test_an_empty_stdin_is_none(stdin: bytes | int) -> None:
    assert ask_echo("hi", stdin=stdin).out == "hi\n"
    assert ask_echo(stdin=stdin).error.startswith("hychat: There is nothing to ask.\n")
    assert ask_echo(stdin=stdin).code == 2


def test_a_closed_stdin_is_none() -> None:
    assert run_script("$HYCHAT -m echo hi <&-") == Ended(0, b"hi\n", b"")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert prompt_of("hi", stdin=b"a\xff\xfeb \xe4\xbd") == "```stdin a\ufffd\ufffdb \ufffd ``` hi"


@pytest.mark.parametrize("arguments", [[], ["hi"], ["-f", "binary"]])
def test_nul_bytes_are_refused(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    stdin = b"" if "-f" in arguments else b"a\0b"

    ended = ask_echo(*arguments, stdin=stdin, cwd=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.splitlines()[0].endswith(": it holds NUL bytes.")


@pytest.mark.parametrize("script", ["$HYCHAT -m echo hi < /dev/zero", "$HYCHAT -m echo -f /dev/zero hi"])
def test_what_never_ends_and_is_no_text_is_not_read_to_its_end(script: str) -> None:
    assert run_script(script).code == 2


def test_a_file_may_be_a_pipe() -> None:
    assert "``` what" in run_script("$HYCHAT -m echo -f <(echo data) what").out


def test_a_files_name_may_be_no_text(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff"))).write_text("data")

    assert prompt_of("-f", b"a\xff", "what", cwd=tmp_path) == "```a\ufffd data ``` what"
    assert newest_messages()[0]["files"][0]["name"] == "a\ufffd"


def test_a_stdin_that_does_not_block_is_waited_for() -> None:
    nonblocking = "import os; os.set_blocking(0, False); os.execvp('sh', ['sh', '-c', '$HYCHAT -m echo what'])"

    ended = run_script(f'(sleep 0.3; echo data) | python3 -c "{nonblocking}"')

    assert (ended.out, ended.error) == ("```stdin data ``` what\n", "")


def test_a_stdin_that_is_open_for_writing_only_is_none() -> None:
    assert run_script("$HYCHAT -m echo hi 0> /dev/null") == Ended(0, b"hi\n", b"")


@pytest.mark.parametrize("option", ["-f", "-a"])
def test_a_file_that_cannot_be_read(option: str) -> None:
    missing = ask_echo(option, "missing.png", "hi")
    assert missing == Ended(2, b"", b"hychat: missing.png cannot be read: No such file or directory.\n")
    folder = ask_echo(option, ".", "hi")
    assert (folder.code, folder.out, folder.error.splitlines()[0]) == (2, "", "hychat: . is a folder.")


# Too much


TEN_MEGABYTES = b"the quick brown fox jumps " * 400_000


def test_ten_megabytes_are_too_much_and_the_numbers_are_told() -> None:
    began = time.monotonic()

    ended = run_hychat("-m", "starter", "summarise", stdin=TEN_MEGABYTES)

    assert (ended.code, ended.out) == (5, "")
    assert ended.error.startswith("hychat: The prompt has 20")
    assert " tokens; the context has room for 81" in ended.error
    assert "--truncate head, or --truncate tail" in ended.error
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("end", "kept"), [("head", "x x LAST ``` summarise"), ("tail", "```stdin FIRST x x")])
def test_data_that_is_too_much_is_cut_where_it_may_be(end: str, kept: str) -> None:
    ended = ask_echo("--truncate", end, "summarise", stdin=b"FIRST " + b"x " * 5_000_000 + b"LAST")

    assert ended.code == 0
    assert ended.out.strip().endswith(kept) if end == "head" else ended.out.startswith(kept)
    assert ended.error == "hychat: The data was cut: the prompt had 5000007 tokens and now has 4032.\n"


def test_a_question_that_is_too_long_is_told_without_data() -> None:
    ended = ask_echo("word " * 5000)

    assert (ended.code, ended.out) == (5, "")
    assert "The prompt has 5002 tokens; the context has room for 4032." in ended.error


def test_a_slow_producer_is_waited_for() -> None:
    slow = "(echo one; sleep 0.3; echo two)"

    assert run_script(f"{slow} | $HYCHAT -m echo what").out == "```stdin one two ``` what\n"


def waits_for_more(pipe: int) -> bool:
    """Whether all that was written to the pipe has been read."""
    unread = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread[0] == 0


def test_ctrl_c_ends_the_wait_for_a_producer_that_never_ends() -> None:
    with started("-m", "echo", "what", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"data\n")
        process.stdin.flush()
        while not waits_for_more(process.stdin.fileno()):
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        code = process.wait()
        assert process.stdout is not None
        assert process.stderr is not None
        assert (code, process.stdout.read(), process.stderr.read()) == (130, b"", b"")


# What comes out


def test_stdout_is_the_answer_alone() -> None:
    assert ask_echo("**raw** `Markdown` [red]") == Ended(0, b"**raw** `Markdown` [red]\n", b"")


def test_no_control_character_comes_through() -> None:
    assert ask_echo(ESCAPES_AND_BELLS).out == "a[31mred[0m1mb gnp.exe\n"


def test_colours_that_are_forced_do_not_reach_the_answer() -> None:
    assert ask_echo("**hi**", env={"FORCE_COLOR": "1"}) == Ended(0, b"**hi**\n", b"")


def test_colours_reach_stderr_only_where_they_are_asked_for() -> None:
    red = b"\x1b[1;31mhychat:\x1b[0m"
    assert run_hychat("-Z").stderr.startswith(b"hychat: ")
    assert run_hychat("-Z", env={"FORCE_COLOR": "1"}).stderr.startswith(red)
    assert run_hychat("-Z", env={"HYCHAT_COLOR": "always", "NO_COLOR": "1"}).stderr.startswith(red)
    assert run_hychat("-Z", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr.startswith(b"hychat: ")
    assert run_hychat("-Z", "--no-color", env={"HYCHAT_COLOR": "always"}).stderr.startswith(b"hychat: ")


def test_the_answer_is_the_same_when_it_comes_at_once() -> None:
    assert ask_echo("--no-stream", "one two") == Ended(0, b"one two\n", b"")


def test_stats_are_told_on_stderr_even_when_quiet() -> None:
    told = ask_echo("-q", "--stats", "one two")

    assert told.out == "one two\n"
    assert told.error.startswith("prompt 4 tokens (0 reused), ")
    assert told.error.count("\n") == 1


def test_verbose_tells_the_model_and_the_settings() -> None:
    told = ask_echo("-v", "-t", "0.4", "--seed", "7", "hi")

    model, settings, chat = told.error.splitlines()
    assert told.out == "hi\n"
    assert model.startswith("model: echo ")
    assert "temperature 0.4" in settings
    assert "seed 7" in settings
    assert chat == f"chat: {chats()[0]['id']}"


def test_quiet_keeps_the_notes_back_and_not_the_errors() -> None:
    assert ask_echo("--max-tokens", "1", "one two") == Ended(0, b"one\n", b"The answer was cut at its length limit.\n")
    assert ask_echo("-q", "--max-tokens", "1", "one two") == Ended(0, b"one\n", b"")
    assert ask_echo("-q", "-f", "missing", "hi").error.startswith("hychat: missing cannot be read")


def test_json_has_the_answer_and_what_it_was_made_with() -> None:
    answer = ask_echo("--json", "--style", "casual", "--seed", "7", "-t", "0.5", "--max-tokens", "3", "a b c d").json

    assert answer.keys() == {
        "answer",
        "thought",
        "model",
        "style",
        "stop",
        "seed",
        "settings",
        "usage",
        "timings",
        "adapters",
        "pictures",
        "safety",
    }
    assert answer["answer"].startswith("a b c")
    assert (answer["thought"], answer["model"], answer["style"]) == (None, "echo", "casual")
    assert (answer["stop"], answer["seed"]) == ("length", 7)
    assert answer["settings"].items() >= {"temperature": 0.5, "max_tokens": 3, "seed": 7, "think": False}.items()
    assert answer["usage"].keys() == {"prompt_tokens", "reused_tokens", "generated_tokens"}
    assert answer["usage"]["generated_tokens"] == 3
    assert all(seconds >= 0 for seconds in answer["timings"].values())


def test_json_is_ascii_where_stdout_is_not_unicode() -> None:
    ended = ask_echo("--json", "你好", env={"PYTHONIOENCODING": "latin-1"})

    assert ended.stdout.isascii()
    assert ended.json["answer"] == "你好"


def test_an_error_leaves_stdout_empty_under_json_too() -> None:
    ended = ask_echo("--json", "-f", "missing", "hi")

    assert (ended.code, ended.out) == (2, "")


# Streams that are closed, full or no longer read


@pytest.mark.parametrize(
    "command",
    ["-m echo $WORDS", "-m echo --json $WORDS", "-m echo --no-stream $WORDS", "--help", "config show", "--version"],
)
def test_a_reader_that_goes_away_ends_it_without_a_word(command: str) -> None:
    ended = run_script(f"$HYCHAT {command} | true; exit ${{PIPESTATUS[0]}}", WORDS="longword" * 3 + " word" * 4000)

    assert ended.error == ""
    assert ended.code in {0, 1}


def test_head_takes_what_it_wants() -> None:
    ended = run_script("$HYCHAT -m echo one two | head -c 3; exit ${PIPESTATUS[0]}")

    assert ended == Ended(0, b"one", b"")


def test_an_answer_that_nobody_reads_is_kept_as_far_as_it_came() -> None:
    run_script("$HYCHAT -m echo $WORDS | true", WORDS=" word" * 4000)

    question, answer = newest_messages()
    assert question["role"] == "user"
    assert answer["stop"] == "cancelled"
    assert answer["text"].startswith("word")


@pytest.mark.parametrize(
    "command", ["-m echo hi", "-m echo --json hi", "-m echo -x hi", "config show", "--help", "--version"]
)
def test_a_full_disk_is_told(command: str) -> None:
    ended = run_script(f"$HYCHAT {command} > /dev/full")

    assert ended.code == 1
    assert "No space left on device" in ended.error
    assert "Traceback" not in ended.error
    assert "unexpected" not in ended.error


@pytest.mark.parametrize("command", ["-m echo hi", "--help", "history list", "-m echo --json hi", "--version"])
def test_closed_streams_are_no_trouble(command: str) -> None:
    assert run_script(f"$HYCHAT {command} >&-") == Ended(0, b"", b"" if "list" not in command else ANY_BYTES)
    assert run_script(f"$HYCHAT {command} 2>&-").code == 0
    assert run_script(f"$HYCHAT {command} <&- >&- 2>&-") == Ended(0, b"", b"")


class AnyBytes(bytes):
    """Equal to all bytes."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes)

    __hash__ = bytes.__hash__


ANY_BYTES = AnyBytes()


def test_an_error_without_stderr_is_an_exit_code() -> None:
    assert run_script("$HYCHAT -m nonsense hi 2>&-") == Ended(3, b"", b"")


@pytest.mark.parametrize("limit", ["ulimit -n 20", "ulimit -v 4000000"])
def test_narrow_limits_cost_no_answer(limit: str) -> None:
    assert run_script(f"{limit}; $HYCHAT -m starter --max-tokens 2 -q hi").code == 0


# The history


def test_a_history_that_cannot_be_written_costs_no_answer() -> None:
    place = Path(os.environ["XDG_DATA_HOME"])
    place.parent.mkdir()
    place.write_text("a file where the folder should be")

    ended = ask_echo("hi")

    assert (ended.code, ended.out) == (0, "hi\n")
    assert ended.error.startswith("hychat: This chat is not saved. ")
    assert ended.error.count("\n") <= 2


def test_a_full_disk_costs_the_history_and_not_the_answer() -> None:
    ask_echo("before")

    ended = run_script("ulimit -f 0; $HYCHAT -m echo hi")

    assert (ended.code, ended.out) == (0, "hi\n")
    assert ended.error.startswith("hychat: This chat is not saved. ")
    assert chats()[0]["title"] == "before"


def test_several_processes_keep_their_chats_at_once() -> None:
    run_script("for n in 1 2 3 4 5 6; do $HYCHAT -m echo question $n & done; wait")

    assert {chat["title"] for chat in chats()} == {f"question {n}" for n in range(1, 7)}
    assert {chat["messages"] for chat in chats()} == {2}


# Signals


def test_ctrl_c_keeps_the_text_so_far_on_stdout_and_in_the_history() -> None:
    with started(*LONG) as process:
        so_far = read_until(process, b" ")
        os.killpg(process.pid, signal.SIGINT)
        rest, error = process.communicate()

    (question, answer) = newest_messages()
    text = (so_far + rest).decode()
    assert (process.returncode, error) == (130, b"")
    assert text.endswith("\n")
    assert question["text"] == LONG[-1]
    assert (answer["text"], answer["stop"]) == (text.removesuffix("\n"), "cancelled")


def test_json_is_whole_after_ctrl_c() -> None:
    with started(*LONG, "--json", "--stats") as process:
        engine = engine_when_it_is_there(process)
        busy_until(engine, seconds=0.3)
        process.send_signal(signal.SIGINT)
        out, _error = process.communicate()

    assert process.returncode == 130
    if out:  # it may have come before the prompt was read
        assert json.loads(out)["stop"] == "cancelled"


def engine_when_it_is_there(process: subprocess.Popen[bytes]) -> int:
    while not children_of(process.pid):
        os.sched_yield()
    return engine_of(process)


def busy_until(pid: int, seconds: float) -> None:
    """Wait until a process has used so much processor time."""
    ticks = os.sysconf("SC_CLK_TCK")
    while is_running(pid):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks >= seconds:
            return
        os.sched_yield()


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with started(*LONG) as process:
        read_until(process, b" ")
        engine = engine_of(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _out, error = process.communicate()
        wait_until_gone(engine)

    assert process.returncode == 130
    assert error == b""


@pytest.mark.parametrize("milliseconds", range(0, 200, 20))
def test_ctrl_c_at_any_moment_leaves_no_traceback(milliseconds: int) -> None:
    with started("-m", "echo", "hi") as process:
        time.sleep(milliseconds / 1000)  # a moment is what is tested here, not a fact to wait for
        process.send_signal(signal.SIGINT)
        _out, error = process.communicate()

    came_before_hychat = b"in _run\n" not in error  # Python itself was still starting
    assert error == b"" or came_before_hychat
    assert process.returncode in {0, 130, -signal.SIGINT, *([1] if error else [])}  # a shell says 130 of both


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_program_that_is_ended_leaves_no_engine_behind(number: signal.Signals) -> None:
    with started("-m", "starter", "what", stdin=subprocess.PIPE) as process:
        engine = engine_when_it_is_there(process)
        process.send_signal(number)
        process.wait()
        wait_until_gone(engine)

    assert process.returncode == -number


def test_an_engine_that_is_killed_costs_one_answer() -> None:
    with started(*LONG) as process:
        so_far = read_until(process, b" ")
        os.kill(engine_of(process), signal.SIGKILL)
        rest, error = process.communicate()

    (_question, answer) = newest_messages()
    assert process.returncode == 1
    assert error.startswith(b"hychat: The engine ended unexpectedly (SIGKILL).\n")
    assert (answer["text"], answer["stop"]) == ((so_far + rest).decode().removesuffix("\n"), "cancelled")
    assert run_hychat("-m", "starter", "-c", "--max-tokens", "2", "Go on.").code == 0


def test_a_program_in_the_background_does_not_read_the_terminal() -> None:
    ended = subprocess.run(
        [*HYCHAT, "-m", "echo", "hi"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        check=True,
    )

    assert ended.stdout == b"hi\n"
