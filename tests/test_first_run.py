"""The first question on a machine with no model: what is offered, and what happens in a pipe."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, nobody_listens
from tests.programs import Terminal, run_hychat
from tests.tiny_models import write_hunyuan_dense

REPOSITORY = "owner/tiny-GGUF"
QUESTION = ("--max-tokens", "4", "-n", "hello")
WIDE = 200
TOO_LARGE = "900_000_000_000_000"


def catalogue(*, has_starter: bool = True, size: str = "null") -> None:
    """The default model is one that the tests' hub has; a size can be claimed."""
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "catalogue"
    folder.mkdir(parents=True)
    text = f"""
family: tests
licences:
  - id: strict-2026-01-01
    title: Strict Licence
    terms: {{en: Do no harm., zh: 不可为恶。}}
models:
  - name: hunyuan-0.5b
    title: Tiny Hunyuan
    architecture: hunyuan-dense
    licence: strict-2026-01-01
    files: [{{repository: {REPOSITORY}, file: tiny-Q4_0.gguf, bytes: {size}}}]
"""
    if not has_starter:
        text += """
  - name: starter
    title: Starter
    architecture: llama
    extra: starter
    files: [{package: no_such_package, file: x.gguf}]
"""
    (folder / "tests.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPOSITORY, {"tiny-Q4_0.gguf": write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()})
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        yield made


def test_a_pipe_is_answered_by_the_starter_and_told_so() -> None:
    answered = run_hychat(*QUESTION)
    assert answered.code == 0
    assert "hychat models pull hunyuan-0.5b" in answered.error


def test_a_pipe_without_any_model_gets_the_one_command() -> None:
    catalogue(has_starter=False)
    refused = run_hychat(*QUESTION)
    assert refused.code == 3
    assert "hychat models pull hunyuan-0.5b" in refused.error
    assert refused.stdout == b""


def test_on_a_terminal_the_default_is_fetched_after_two_yeses_and_answers(hub: Hub) -> None:
    catalogue()
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        assert "Strict Licence" in terminal.written
        terminal.type("1\n")
        terminal.wait_for("Do you agree?")
        assert "Do no harm." in terminal.written
        terminal.type("y\n")
        assert terminal.end() == 0, terminal.rows
    assert hub.requests
    assert "pull" not in run_hychat(*QUESTION).error  # it is the default from now on


def test_a_no_to_the_licence_fetches_nothing(hub: Hub) -> None:
    catalogue()
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        terminal.type("\n")
        terminal.wait_for("Do you agree?")
        terminal.type("n\n")
        assert terminal.end() == 3
    assert not hub.requests


def test_the_end_of_input_chooses_nothing(hub: Hub) -> None:
    catalogue()
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        terminal.type("\x04")
        assert terminal.end() == 3
        assert "No model was chosen" in terminal.written
    assert not hub.requests


def test_the_starter_can_be_chosen_once_and_for_all() -> None:
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        terminal.type("2\n")
        assert terminal.end() == 0
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        assert terminal.end() == 0
        assert "choice" not in terminal.written


def test_the_offer_tells_what_memory_the_default_needs() -> None:
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice (Enter: 1")
        assert "Memory: needs" in terminal.written


def test_no_line_of_the_offer_breaks_inside_a_word() -> None:
    with Terminal.running(*QUESTION, columns=60, lines=18) as terminal:
        terminal.wait_for("Your choice")
        told = " ".join(row.strip() for row in terminal.rows)
        assert "Tencent Hunyuan Community License Agreement" in told
        assert "it is here, small, and knows English only." in told


def test_where_the_default_is_too_large_enter_takes_the_starter(hub: Hub) -> None:
    catalogue(size=TOO_LARGE)
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice (Enter: 2")
        assert "Too little memory" in terminal.written
        terminal.type("\n")
        assert terminal.end() == 0
    assert not hub.requests


def test_where_nothing_fits_enter_chooses_nothing_and_the_way_to_the_starter_is_told(hub: Hub) -> None:
    catalogue(has_starter=False, size=TOO_LARGE)
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        assert "hychat[starter]" in terminal.written
        terminal.type("\nq\n")
        assert terminal.end() == 3
    assert not hub.requests


def test_what_is_no_choice_is_asked_again() -> None:
    with Terminal.running(*QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Your choice")
        terminal.type("7\n2\n")
        assert terminal.end() == 0
        assert terminal.written.count("Your choice") == 2


def test_a_yes_does_not_fetch_what_is_too_large_where_the_starter_is_here(hub: Hub) -> None:
    catalogue(size=TOO_LARGE)
    answered = run_hychat("--yes", "--accept-licence", *QUESTION)
    assert answered.code == 0
    assert "Too little memory" in answered.error
    assert not hub.requests


def test_where_the_hub_cannot_be_reached_the_way_to_the_starter_is_told() -> None:
    catalogue(has_starter=False)
    with (
        nobody_listens() as nowhere,
        Terminal.running(*QUESTION, columns=WIDE, env={"HF_ENDPOINT": nowhere}) as terminal,
    ):
        terminal.wait_for("Your choice")
        terminal.type("\n")
        terminal.wait_for("Do you agree?")
        terminal.type("y\n")
        assert terminal.end() == 3
        assert "hychat[starter]" in terminal.written


def test_a_model_that_is_named_and_not_here_is_offered(hub: Hub) -> None:
    catalogue()
    with Terminal.running("-m", "hunyuan-0.5b", *QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Fetch it now?")
        terminal.type("n\n")
        assert terminal.end() == 3
    assert not hub.requests


@pytest.mark.parametrize(
    ("flags", "env"),
    [(["--offline"], {}), ([], {"HYCHAT_OFFLINE": "yes"}), ([], {"HF_HUB_OFFLINE": "1"})],
)
def test_offline_nothing_is_offered(flags: list[str], env: dict[str, str], hub: Hub) -> None:
    catalogue(has_starter=False)
    with Terminal.running(*flags, *QUESTION, columns=WIDE, env=env) as terminal:
        assert terminal.end() == 3
        assert "choice" not in terminal.written
        assert "hychat[starter]" in terminal.written
    assert not hub.requests


def test_offline_stands_in_the_config_file_too(hub: Hub) -> None:
    catalogue(has_starter=False)
    assert run_hychat("config", "set", "offline", "true").code == 0
    assert run_hychat("--yes", *QUESTION).code == 3
    assert not hub.requests


def test_offline_a_terminal_is_answered_by_the_starter() -> None:
    with Terminal.running("--offline", *QUESTION, columns=WIDE) as terminal:
        assert terminal.end() == 0
        assert "choice" not in terminal.written
        assert "When you are online again: hychat models pull hunyuan-0.5b" in terminal.written


def test_a_yes_fetches_and_answers_in_a_pipe_where_the_licence_is_accepted_too(hub: Hub) -> None:
    catalogue()
    answered = run_hychat("--yes", "--accept-licence", *QUESTION)
    assert answered.code == 0, answered.error
    assert "Strict Licence" in answered.error
    assert hub.requests


@pytest.mark.parametrize("named", [[], ["-m", "hunyuan-0.5b"]])
def test_a_yes_alone_agrees_to_no_licence(named: list[str], hub: Hub) -> None:
    catalogue()
    refused = run_hychat("--yes", *named, *QUESTION)
    assert refused.code == 3
    assert "--accept-licence" in refused.error
    assert not any("resolve" in request.path for request in hub.requests)


def test_a_yes_on_a_terminal_still_has_the_licence_asked(hub: Hub) -> None:
    catalogue()
    with Terminal.running("-y", *QUESTION, columns=WIDE) as terminal:
        terminal.wait_for("Do you agree?")
        terminal.type("n\n")
        assert terminal.end() == 3
        assert "choice" not in terminal.written
    assert not any("resolve" in request.path for request in hub.requests)
