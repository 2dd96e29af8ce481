"""The command line: its help, its options, its commands, and what it says of mistakes."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hychat import __version__
from hychat.__main__ import wants_engine
from hychat.cli import help as help_pages
from hychat.cli import main
from hychat.cli.app import COMMANDS, app
from hychat.domain.text import readable
from tests.programs import ROOT, Ended, environment, run_hychat

PAGES = [
    *([name] for name in COMMANDS),
    *(["history", name] for name in ("list", "search", "show", "export", "rename", "rm")),
    *(["config", name] for name in ("path", "show", "set", "unset")),
]


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command in this process, where it starts no other: ten times as fast."""

    def run(*arguments: str) -> Ended:
        code = main.run(arguments)
        out, error = capsys.readouterr()
        return Ended(code, out.encode(), error.encode())

    return run


def ask_echo(*arguments: str, **changes: Any) -> Ended:
    return run_hychat("-m", "echo", *arguments, **changes)


def config_file() -> Path:
    return Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "config.yaml"


def write_config(text: str) -> Path:
    file = config_file()
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return file


def complete(words: str, index: int) -> list[str]:
    """What a bash would offer for the word of that number."""
    offered = run_hychat(env={"_HYCHAT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)})
    assert (offered.code, offered.error) == (0, "")
    return offered.out.split()


# Help


def test_help_names_every_option_and_every_command() -> None:
    shown = run_hychat("--help")

    tree: Any = get_command(app)
    options = [name for param in tree.commands["ask"].params for name in (*param.opts, *param.secondary_opts)]
    assert (shown.code, shown.error) == (0, "")
    assert len(options) > 25
    assert [option for option in options if option not in shown.out and option != "question"] == []
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", shown.out, re.MULTILINE)] == []


def test_help_is_the_same_wherever_in_a_question_it_is_asked_for() -> None:
    assert run_hychat("-m", "echo", "hi", "-h").out == run_hychat("--help").out


@pytest.mark.parametrize("command", PAGES, ids=" ".join)
def test_every_command_has_a_help_page(command: list[str], run_here: Callable[..., Ended]) -> None:
    shown = run_here(*command, "--help")

    assert (shown.code, shown.error) == (0, "")
    assert shown.out.startswith(f"Usage: hychat {' '.join(command)} ")


def test_the_word_help_alone_is_no_question(run_here: Callable[..., Ended]) -> None:
    assert run_here("help") == run_here("--help")


def test_help_says_how_to_ask_a_question_that_begins_with_a_commands_name() -> None:
    assert "hychat -- history of tea" in run_hychat("--help").out


def test_help_imports_nothing_heavy_and_starts_no_process() -> None:
    script = """
import os, sys
from hychat.__main__ import main
try:
    main()
except SystemExit:
    heavy = {"llama_cpp", "rich", "textual", "numpy", "yaml", "jinja2", "sqlite3", "hychat.runtime"}
    print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
try:
    print("child", os.waitpid(-1, 0), file=sys.stderr)
except ChildProcessError:
    pass
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        check=True,
        text=True,
    )

    assert ended.stdout.startswith("Usage: hychat")
    assert ended.stderr == "\n"


@pytest.mark.parametrize(
    ("arguments", "is_wanted"),
    [
        (["why?"], True),
        (["-m", "starter", "why?"], True),
        (["-p", "history"], True),
        (["bench"], True),
        (["why", "--", "--help"], True),
        (["--lang", "zh", "history", "list"], True),  # a wrong yes costs nothing but the start
        (["history", "list"], False),
        (["config", "show"], False),
        (["models", "list"], False),
        (["why", "--help"], False),
        (["-h"], False),
        (["--version"], False),
    ],
)
def test_the_engine_is_started_ahead_only_where_a_model_may_be_asked(arguments: list[str], is_wanted: bool) -> None:
    assert wants_engine(arguments) is is_wanted


def test_help_is_laid_out_by_the_width_of_chinese_characters() -> None:
    section = help_pages.Section(
        "选项", [("--语言 名称", "界面使用的语言，可以是英文或中文，也可以跟随系统。"), ("-x", "短")]
    )

    assert help_pages._laid_out(section, 41).splitlines() == [
        "选项:",
        "  --语言 名称  界面使用的语言，可以是英文",
        "               或中文，也可以跟随系统。",
        "  -x           短",
    ]


def test_the_help_of_a_chinese_user_is_chinese() -> None:
    assert "历史" not in run_hychat("--help").out
    assert re.search(r"\n  history +列出", run_hychat("--lang", "zh", "--help").out)


def test_version() -> None:
    assert run_hychat("--version") == Ended(0, f"hychat {__version__}\n".encode(), b"")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("-t 0.05 hi", "--temperature: temperature must be a number from 0.1 to 1.0, not 0.05."),
        ("-t 1.5 hi", "--temperature: temperature must be a number from 0.1 to 1.0, not 1.5."),
        ("-t abc hi", "--temperature: temperature must be a number from 0.1 to 1.0, not abc."),
        ("-t nan hi", "--temperature: temperature must be a number from 0.1 to 1.0, not nan."),
        ("--max-tokens 0 hi", "--max-tokens: max_tokens must be a whole number from 1 to 10000000, not 0."),
        ("--seed x hi", "--seed: seed must be a whole number from 0 to 4294967294, not x."),
        ("--lang fr hi", "--lang: language must be one of auto, en, zh, not fr."),
        ("--style rude hi", "--style must be one of formal, casual, friendly."),
        ("--truncate middle hi", "--truncate must be one of head, tail."),
        ("--stile casual hi", "There is no option --stile."),
        ("-Z hi", "There is no option -Z."),
        ("hi -t", "-t needs a value."),
        ("hi --lang", "--lang needs a value."),
        ("--json=yes hi", "--json takes no value."),
        ("-p hi hi", "Give the question once: as an argument, or with --prompt."),
        ("-c --resume 1234 hi", "Choose one of --continue and --resume."),
        ("-q -v hi", "Choose one of --quiet and --verbose."),
        ("-x --json hi", "--extract takes code from text, not from JSON."),
        ("--resume= hi", "No conversation has the id ."),
        ("-c hi", "There is no chat to go on with yet."),
        ("--resume 12345 hi", "No conversation has the id 12345."),
        ("history", "hychat history needs one of these commands: list, search, show, export, rename, rm."),
        ("history shwo", "There is no command hychat history shwo."),
        ("history show", "ID is missing."),
        ("history show 12345", "No conversation has the id 12345."),
        ("history list -l 0", "--limit must be a whole number from 1 on."),
        ("history list -l many", "--limit must be a whole number from 1 on."),
        ("history export --format odt 12345", "--format must be one of markdown, json, html."),
        ("config set temprature 0.5", "config set: there is no key temprature."),
        ("config set temperature 2", "config set: temperature must be a number from 0.1 to 1.0, not 2."),
        ("config show temperature", "hychat config show does not take temperature."),
        ("bench --threads none", "--threads: threads must be a whole number from 1 to 1024, not none."),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: str, told: str, run_here: Callable[..., Ended]) -> None:
    ended = run_here(*arguments.split())

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.splitlines()[0] == f"hychat: {told}"


@pytest.mark.parametrize(
    ("arguments", "next_step"),
    [
        ("--stile casual hi", "Nearest: --style, --file, --system."),
        ("history shwo", "Nearest: show."),
        ("history of tea", "To ask it as a question: hychat -- history of tea"),
        ("bench press tips", "To ask it as a question: hychat -- bench press tips"),
        ("-m echo history of tea", "To ask it as a question: hychat -- history of tea"),
        ("-q history list", "To call it, put it before its options: hychat history ..."),
        ("history rename", "See: hychat history rename --help"),
        ("-5+3", 'To ask a question that begins with a dash: hychat -- "..."'),
        ("--stile", "See: hychat --help"),
    ],
)
def test_a_mistake_comes_with_the_next_step(arguments: str, next_step: str, run_here: Callable[..., Ended]) -> None:
    assert f"  {next_step}" in run_here(*arguments.split()).error.splitlines()


@pytest.mark.parametrize(
    ("model", "code", "told"),
    [
        ("starte", 3, "There is no model named starte."),
        ("/no/such.gguf", 3, "There is no file /no/such.gguf."),
        ("/", 3, "/ is a folder, not a GGUF file."),
        (f"{ROOT}/Makefile", 4, f"{ROOT}/Makefile is not a GGUF: it does not begin like one."),
    ],
)
def test_a_model_that_cannot_be_had(model: str, code: int, told: str) -> None:
    ended = run_hychat("-m", model, "hi")

    assert (ended.code, ended.out) == (code, "")
    assert ended.error.splitlines()[0] == f"hychat: {told}"


@pytest.mark.parametrize(
    "arguments",
    [
        [b"a\xffb"],
        [b"-p", b"a\xff"],
        [b"-s", b"a\xff", b"hi"],
        [b"-m", b"a\xff", b"hi"],
        [b"-f", b"a\xff", b"hi"],
        [b"--resume", b"a\xff", b"hi"],
        [b"--schema", b"a\xff", b"hi"],
        [b"--\xff"],
        [b"--lang", b"\xff", b"hi"],
        [b"history", b"search", b"\xff"],
        [b"history", b"show", b"\xff\xff\xff\xff"],
        [b"config", b"set", b"model", b"a\xff"],
        [b"config", b"unset", b"\xff"],
        [b"x" * 100_000],
        [b"-m", b"x" * 100_000, b"hi"],
        [b"--" + b"x" * 100_000],
    ],
    ids=lambda arguments: b" ".join(arguments)[:30].decode(errors="replace"),
)
def test_no_argument_is_too_odd(arguments: list[bytes]) -> None:
    ended = run_hychat(*arguments, env={"HYCHAT_MODEL": "echo"})

    assert ended.code in {0, 1, 2, 3}
    assert "unexpected" not in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX", ""])
@pytest.mark.parametrize("encoding", ["", "ascii"])
def test_chinese_is_understood_and_written_without_a_locale(locale: str, encoding: str) -> None:
    ended = run_hychat(
        *("-m", "echo", "你好 世界"),
        env={"LC_ALL": locale, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )

    assert (ended.code, ended.out) == (0, "你好 世界\n")


def test_the_help_of_a_chinese_user_needs_no_locale() -> None:
    shown = run_hychat("--lang", "zh", "--help", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})

    assert (shown.code, shown.error) == (0, "")
    assert "对话" in shown.out


@pytest.mark.parametrize(
    "changes",
    [
        {"HOME": "/nonexistent/home"},
        {"HOME": ""},
        {"TERM": ""},
        {"COLUMNS": "1"},
        {"TZ": "nowhere"},
    ],
    ids=str,
)
def test_an_odd_environment_costs_no_answer(changes: dict[str, str]) -> None:
    if "HOME" in changes:  # the XDG folders are below it where nothing else is said
        changes |= {f"XDG_{kind}_HOME": "" for kind in ("CONFIG", "DATA", "CACHE", "STATE")}
    ended = ask_echo("hi", env=changes, cwd=Path("/"))

    assert (ended.code, ended.out) == (0, "hi\n")
    assert "Traceback" not in ended.error


def test_a_folder_that_is_gone_costs_no_answer(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["bash", "-c", f'mkdir gone && cd gone && rmdir ../gone && "{sys.executable}" -m hychat -m echo hi'],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )

    assert Ended(ended.returncode, ended.stdout, ended.stderr) == Ended(0, b"hi\n", b"")


# Settings


def test_a_config_file_with_a_mistake_is_named_with_line_and_nearest_key() -> None:
    file = write_config("style: formal\ntemprature: 0.3\n")

    ended = ask_echo("hi")

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(f"hychat: {file}:2: there is no key temprature.\n  The nearest key is temperature.")


@pytest.mark.parametrize("text", ["temperature: 3\n", "- a\n", "a: [\n", "style: {a: b}\n", "\0", "seed: 1\nseed: 2\n"])
def test_a_broken_config_file_is_a_mistake_of_its_own(text: str, run_here: Callable[..., Ended]) -> None:
    file = write_config(text)

    ended = run_here("hi")

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(f"hychat: {file}")


def test_a_folder_in_the_place_of_the_config_file() -> None:
    config_file().mkdir(parents=True)

    assert ask_echo("hi").error == f"hychat: {config_file()} cannot be read: Is a directory.\n"


def test_a_broken_config_file_breaks_neither_help_nor_history() -> None:
    write_config("temprature: 0.3\n")

    assert run_hychat("--help").code == 0
    assert run_hychat("history", "list").code == 0
    assert run_hychat("config", "unset", "temprature") == Ended(0, b"", b"")
    assert ask_echo("hi").code == 0


def test_config_sets_shows_and_unsets_and_keeps_the_comments() -> None:
    file = write_config("# mine\nstyle: casual  # always\n")

    assert run_hychat("config", "set", "temperature", "0.30") == Ended(0, b"", b"")
    assert run_hychat("config", "set", "style", "formal") == Ended(0, b"", b"")
    assert file.read_text(encoding="utf-8") == "# mine\nstyle: formal  # always\ntemperature: 0.30\n"
    assert run_hychat("config", "show", "--json").json["temperature"] == {"value": 0.3, "from": "file"}
    assert run_hychat("config", "unset", "temperature") == Ended(0, b"", b"")
    assert file.read_text(encoding="utf-8") == "# mine\nstyle: formal  # always\n"


def test_config_path_is_where_the_file_would_be() -> None:
    assert run_hychat("config", "path").out == f"{config_file()}\n"


def test_config_show_tells_where_a_value_comes_from() -> None:
    write_config("style: casual\n")

    lines = run_hychat("config", "show", env={"HYCHAT_STYLE": "formal", "HYCHAT_SEED": "7"}).out.splitlines()

    assert re.split(r"\s+", lines[2]) == ["style", "HYCHAT_STYLE", "formal"]
    assert "seed            HYCHAT_SEED            7" in lines


def test_an_option_wins_over_the_environment_and_that_over_the_file() -> None:
    write_config("temperature: 0.2\nseed: 2\nmax_tokens: 2\nmodel: echo\n")

    settings = run_hychat(
        "--json", "-t", "0.9", "hi", env={"HYCHAT_TEMPERATURE": "0.5", "HYCHAT_SEED": "5", "HYCHAT_STYLE": ""}
    ).json["settings"]

    assert (settings["temperature"], settings["seed"], settings["max_tokens"]) == (0.9, 5, 2)


@pytest.mark.parametrize("temperature", ["0.1", "1.0", "1", ".5", "1e-1"])
def test_the_bounds_of_the_temperature_belong_to_it(temperature: str) -> None:
    assert ask_echo("-t", temperature, "--json", "hi").json["settings"]["temperature"] == float(temperature)


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (("--lang", "zh"), {}),
        (("--lang=zh",), {}),
        ((), {"HYCHAT_LANGUAGE": "zh"}),
        ((), {"LANG": "zh_CN.UTF-8"}),
        (("--lang", "auto"), {"LC_ALL": "zh_TW.UTF-8", "HYCHAT_LANGUAGE": "en"}),
    ],
)
@pytest.mark.parametrize("command", [("history", "list"), ("history", "show", "1234567")], ids=" ".join)
def test_the_language_holds_for_every_command(
    arguments: tuple[str, ...], changes: dict[str, str], command: tuple[str, ...]
) -> None:
    before = run_hychat(*arguments, *command, env=changes)
    after = run_hychat(*command, *arguments, env=changes)

    assert before == after
    assert re.search("[\u4e00-\u9fff]", before.error)


# Chats


def test_a_chat_is_gone_on_with_and_found_again() -> None:
    ask_echo("first question")
    ask_echo("-c", "second question")
    ask_echo("另一个问题：翻译这句话")

    other, chat = run_hychat("history", "list", "--json").json
    assert (chat["title"], chat["model"], chat["messages"]) == ("first question", "echo", 4)
    assert (other["title"], other["messages"]) == ("另一个问题：翻译这句话", 2)
    ask_echo("--resume", chat["id"][:6], "third question")
    assert run_hychat("history", "list", "--json").json[0] == {**chat, "messages": 6, "updated": ANY_TEXT}


class AnyText(str):
    """Equal to every text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    __hash__ = str.__hash__


ANY_TEXT = AnyText()


def only_chat() -> Any:
    (chat,) = run_hychat("history", "list", "--json").json
    return chat


def test_a_chat_is_not_kept_with_no_save() -> None:
    ask_echo("-n", "a secret")
    ask_echo("another secret", env={"HYCHAT_SAVE": "no"})

    listed = run_hychat("history", "list")

    assert (listed.code, listed.out, listed.error) == (0, "", "There are no chats yet.\n")


def test_asking_for_the_chats_does_not_create_a_history() -> None:
    assert complete("hychat history show ", 3) == []

    assert not Path(os.environ["HOME"]).exists()


@pytest.mark.parametrize("words", [["翻译"], ["句话", "翻译"], ["TRANSLATE"], ["trans", "翻"]])
def test_search_finds_words_in_chats(words: list[str]) -> None:
    ask_echo("请翻译这句话: please translate")
    ask_echo("something else")

    (line, answer) = run_hychat("history", "search", *words).out.splitlines()
    hits = run_hychat("history", "search", *words, "--json").json

    assert "请翻译这句话" in line
    assert "请翻译这句话" in answer
    assert {hit["role"] for hit in hits} == {"user", "assistant"}
    assert {hit["conversation"]["title"] for hit in hits} == {"请翻译这句话: please translate"}


def test_a_search_that_finds_nothing_is_exit_code_one() -> None:
    ask_echo("hi")

    assert run_hychat("history", "search", "nothing") == Ended(1, b"", b"Nothing was found.\n")
    assert run_hychat("history", "search", "--json", "nothing").json == []


def test_a_chat_is_shown_and_exported() -> None:
    ask_echo("a question")
    chat = only_chat()["id"]

    shown = run_hychat("history", "show", chat[:5])
    exported = run_hychat("history", "export", chat, "--format", "JSON")

    assert shown == run_hychat("history", "export", chat)
    assert shown.out.count("a question") == 3  # the title, the question, the answer
    assert exported.json == run_hychat("history", "show", "--json", chat).json
    assert [message["role"] for message in exported.json["messages"]] == ["user", "assistant"]


def test_a_chat_gets_another_title() -> None:
    ask_echo("a question")
    chat = only_chat()["id"]

    renamed = run_hychat("history", "rename", chat, "two", "words")

    assert (renamed.code, renamed.out, renamed.error) == (0, "", f"{chat} is now: two words\n")
    assert only_chat()["title"] == "two words"


def test_a_title_stays_on_one_line() -> None:
    ask_echo("a question")

    run_hychat("history", "rename", only_chat()["id"], "two\nlines\x1b[31m\x07")

    assert only_chat()["title"] == "two lines[31m"


def test_chats_are_removed() -> None:
    ask_echo("one")
    ask_echo("two")
    ids = [chat["id"] for chat in run_hychat("history", "list", "--json").json]

    removed = run_hychat("history", "rm", *ids)

    assert removed.error.splitlines() == [f"Deleted {ids[0]}: two", f"Deleted {ids[1]}: one"]
    assert run_hychat("history", "list", "--json").json == []


# Completion


@pytest.mark.parametrize(
    ("words", "index", "offered"),
    [
        ("hychat ", 1, [*COMMANDS]),
        ("hychat hi", 1, ["history"]),
        ("hychat --st", 1, ["--style", "--stats"]),
        ("hychat why --st", 2, ["--style", "--stats"]),
        ("hychat -m st", 2, ["starter"]),
        ("hychat --style ", 2, ["formal", "casual", "friendly"]),
        ("hychat --lang ", 2, ["auto", "en", "zh"]),
        ("hychat -f ", 2, []),
        ('hychat "why is', 1, []),
        ("hychat history r", 2, ["rename", "rm"]),
        ("hychat history export --format ", 4, ["markdown", "json", "html"]),
        ("hychat config set to", 3, ["top_k", "top_p"]),
        ("hychat config set style f", 4, ["formal", "friendly"]),
        ("hychat config set save ", 4, ["true", "false"]),
        ("hychat config set seed ", 4, []),
        ("hychat bench -m st", 3, ["starter"]),
    ],
)
def test_bash_completes(words: str, index: int, offered: list[str]) -> None:
    assert complete(words, index) == offered


@pytest.mark.parametrize("words", ["hychat history show ", "hychat --resume ", "hychat history rm abcd "])
def test_ids_of_chats_are_completed(words: str) -> None:
    ask_echo("a question")

    chat = only_chat()["id"]
    assert complete(words + chat[:3], len(words.split())) == [chat]


@pytest.mark.parametrize(
    ("shell", "changes", "offered"),
    [
        ("zsh", {}, '"history":"List, search, show and export chats."'),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "history\tList, search, show and export chats."),
    ],
)
def test_other_shells_complete(shell: str, changes: dict[str, str], offered: str) -> None:
    ended = run_hychat(env={"_HYCHAT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "hychat hi", **changes})

    assert (ended.code, ended.error) == (0, "")
    assert offered in ended.out


def test_a_title_is_no_code_for_the_shell_that_completes() -> None:
    title = r"""\"$(rm x)`id` ) ; 'echo' [red] $HOME"""
    ask_echo(title)

    shown = run_hychat(env={"_HYCHAT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "hychat history show "}).out

    assert f'"{only_chat()["id"]}":"rm x id echo red HOME"' in shown


@pytest.mark.parametrize("path", ["hychat/history.sqlite3", "hychat"])
def test_a_shell_that_completes_hears_no_errors(path: str) -> None:
    file = Path(os.environ["XDG_DATA_HOME"]) / path
    file.parent.mkdir(parents=True)
    file.write_text("no database")

    ended = run_hychat(
        env={"_HYCHAT_COMPLETE": "complete_bash", "COMP_WORDS": "hychat history show ", "COMP_CWORD": "3"}
    )

    assert (ended.out.strip(), ended.error) == ("", "")


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -o default"), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_the_completion_script_is_shown(shell: str, sign: str) -> None:
    shown = run_hychat(env={"_HYCHAT_COMPLETE": f"source_{shell}"})

    assert (shown.code, shown.error) == (0, "")
    assert sign in shown.out


def test_completion_is_installed_for_the_shell_that_calls() -> None:
    home = Path(os.environ["HOME"])
    home.mkdir()

    installed = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m hychat --install-completion; exit $?'],
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        check=True,
    )

    assert installed.stderr == b""
    assert "hychat" in (home / ".bash_completions" / "hychat.sh").read_text()


# What a word of the command line means


@pytest.mark.parametrize(
    ("argument", "text"),
    [("hi", "hi"), ("你好", "你好"), ("a\udcffb", "a\ufffdb"), ("\udce4\udcbd\udca0", "你"), ("", "")],
)
def test_an_argument_is_read_as_utf8(argument: str, text: str) -> None:
    assert readable(argument) == text
