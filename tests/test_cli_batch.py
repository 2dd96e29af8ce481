"""`hychat batch`: a file of questions in, one JSON line an answer out."""

import json
from pathlib import Path
from typing import Any

from tests.programs import Ended, run_hychat


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
