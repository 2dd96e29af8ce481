"""`hychat batch`: a file of questions in, one JSON line an answer out."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hychat.cli.batch import line_of
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel
from hychat.domain.generation import GenerationSettings
from hychat.engine.echo import EchoEngine
from hychat.safety.guard import Guard, Layers
from hychat.safety.words import Entry, Tier, WordList
from hychat.session.batch import Outcome, Task, answer_all
from tests.programs import Ended, run_hychat
from tests.tiny_vision import write_hunyuan_vl

DATA = Path(__file__).parent / "data"


def answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def batch(*arguments: str, stdin: bytes = b"") -> Ended:
    return run_hychat("batch", "-m", "echo", *arguments, stdin=stdin)


def test_every_kind_of_line_is_a_question(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('plain words\n"a JSON string"\n\n{"prompt": "an object", "id": "seven"}\n', encoding="utf-8")
    ended = batch(str(file))

    assert ended.code == 0
    assert [(a["id"], a["answer"]) for a in answers(ended.out)] == [
        ("1", "plain words"),
        ("2", "a JSON string"),
        ("seven", "an object"),
    ]


def test_questions_come_from_stdin() -> None:
    assert [a["answer"] for a in answers(batch("-", stdin="一\n二\n".encode()).out)] == ["一", "二"]


def test_a_line_that_is_no_question_stops_it_before_the_first_is_asked(tmp_path: Path) -> None:
    ended = batch("-", "-o", str(tmp_path / "out.jsonl"), stdin=b'good\n{"prompt": 7}\n')

    assert ended.code == 2
    assert "line 2" in ended.error
    assert not (tmp_path / "out.jsonl").exists()


def test_a_line_in_more_brackets_than_can_be_read_is_no_question() -> None:
    ended = batch("-", stdin=b'good\n{"prompt": ' + b"[" * 200_000)

    assert ended.code == 2
    assert "line 2 is no question: it is nested too deeply" in ended.error


def test_a_second_run_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "1", "answer": "kept"}\n{"id": "2", "ans', encoding="utf-8")
    ended = batch("-", "-o", str(out), stdin=b"one\ntwo\nthree\n")

    assert ended.code == 0
    assert [a["answer"] for a in answers(out.read_text(encoding="utf-8"))] == ["kept", "two", "three"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    ended = batch("-", "-o", str(tmp_path), stdin=b"one\n")

    assert ended.code == 1
    assert str(tmp_path) in ended.error


def test_no_questions_give_no_answers() -> None:
    ended = batch("-")

    assert (ended.code, ended.out) == (0, "")


def row(prompt: str, *attach: str) -> str:
    return json.dumps({"prompt": prompt, "attach": attach}) + "\n"


def test_files_of_a_question_are_found_beside_the_file_of_questions(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text(row("what is to do?", "a.txt", "b.txt"), encoding="utf-8")
    for name, text in (("a.txt", "buy tea"), ("b.txt", "boil water")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    [answer] = answers(batch(str(tmp_path / "questions.jsonl")).out)

    assert answer["answer"] == "```a.txt buy tea ``` ```b.txt boil water ``` what is to do?"


def test_a_file_that_cannot_be_read_is_the_error_of_its_question_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    questions = row("one", "missing.png") + row("two", "broken.png") + row("three")
    (tmp_path / "questions.jsonl").write_text(questions, encoding="utf-8")
    ended = batch(str(tmp_path / "questions.jsonl"))
    first, second, third = answers(ended.out)

    assert ended.code == 1
    assert ("missing.png" in first["error"], first["exit_code"]) == (True, 2)
    assert ("broken.png" in second["error"], second["exit_code"]) == (True, 2)
    assert third["answer"] == "three"


def test_a_picture_for_a_model_that_cannot_see_is_told_with_who_read_it() -> None:
    ended = batch("-", stdin=row("translate", str(DATA / "chinese.png")).encode())
    [answer] = answers(ended.out)

    assert "湖上有一条船" in answer["answer"]
    [picture] = answer["pictures"]
    assert (picture["name"], picture["read_by"]) == ("chinese.png", "OCR")
    assert "湖上有一条船" in picture["text"]
    assert "1: chinese.png: this model cannot see; OCR read" in ended.error


def test_what_is_no_list_of_files_is_no_question() -> None:
    ended = batch("-", stdin=b'{"prompt": "look", "attach": 7}\n')

    assert ended.code == 2
    assert '"attach"' in ended.error


def test_a_model_that_sees_gets_the_pictures_of_many_questions(tmp_path: Path) -> None:
    model, _projector = write_hunyuan_vl(tmp_path)
    for name in ("red", "blue", "green"):
        Image.new("RGB", (64, 64), name).save(tmp_path / f"{name}.png")
    lines = "".join(row("What is this?", f"{name}.png") for name in ("red", "blue", "green"))
    (tmp_path / "questions.jsonl").write_text(lines, encoding="utf-8")
    ended = run_hychat("batch", "-m", str(model), "--max-tokens", "3", str(tmp_path / "questions.jsonl"))

    assert ended.code == 0
    found = answers(ended.out)
    assert len(found) == 3
    assert all("pictures" not in answer and answer["usage"]["prompt_tokens"] > 10 for answer in found)


GUARD = Guard(
    SafetyLevel.STANDARD,
    Layers(
        lambda: WordList(
            [Entry("sell a stolen boat", "fraud", Tier.BLOCK), Entry("i feel like sinking", "self-harm", Tier.SUPPORT)]
        ),
        lambda: None,
    ),
)


def outcome_of(engine: EchoEngine, prompt: str, settings: GenerationSettings) -> Outcome:
    (outcome,) = answer_all(engine, [Task(prompt)], settings, parallel=1, cancel=CancelToken(), guard=GUARD)
    return outcome


def test_an_answer_that_the_filter_ended_is_an_error_with_what_was_shown_and_the_verdict() -> None:
    outcome = outcome_of(EchoEngine([["Good. ", "sell a stolen boat"]]), "hello", GenerationSettings())
    line = line_of(outcome, must_parse=False)
    assert (line["answer"], line["stop"], line["exit_code"]) == ("Good. ", "blocked", 6)
    assert "fraud" in line["error"]
    assert [verdict["action"] for verdict in line["safety"]] == ["block"]


@pytest.mark.parametrize("prompt", ["hello", "I feel like sinking"])
def test_what_the_filter_leaves_after_a_schema_is_an_error_and_no_answer(prompt: str) -> None:
    engine = EchoEngine([['{"a": "Good. ', 'sell a stolen boat"}']])
    line = line_of(outcome_of(engine, prompt, GenerationSettings(json_schema="{}")), must_parse=True)
    assert (line.get("answer"), line["exit_code"]) == (None, 6)
    assert line["error"]


def test_a_line_that_was_blocked_makes_the_exit_code_of_the_batch() -> None:
    ended = batch("-", "--safety", "standard", stdin=b"hello\nHow do I build a pipe bomb?\n")
    lines = answers(ended.out)
    assert ended.code == 1
    assert [line["safety"] == [] for line in lines] == [True, False]
    assert "2: The safety filter did not send this" in ended.error
