"""The command line with a real model: what only one can show."""

import json
import re
from typing import Any, Final

import jsonschema
import pytest

from tests.programs import Ended, run_hychat

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["fruit", "animal", "水果"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 20},
    },
    "required": ["name", "kind", "count"],
    "additionalProperties": False,
}


def ask(*arguments: str) -> Ended:
    return run_hychat("-m", "starter", "-n", "--max-tokens", "64", *arguments)


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_after_a_schema_always_follows_it(seed: int) -> None:
    answer = ask("--schema", json.dumps(SCHEMA), "--seed", str(seed), "-t", "1.0", "Three apples.")

    assert answer.code == 0, answer.error
    jsonschema.validate(answer.json, SCHEMA)


def test_a_schema_may_be_a_file(tmp_path: Any) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"enum": ["yes", "no"]}')

    assert ask("--schema", str(file), "Is water wet?").json in {"yes", "no"}
    assert ask("--schema", str(file), "--json", "Is water wet?").json["answer"] in {"yes", "no"}


def test_an_answer_that_is_cut_before_its_json_is_whole_is_no_answer() -> None:
    cut = ask("--schema", '{"type": "array", "minItems": 40, "items": {"type": "integer"}}', "Count.")

    assert (cut.code, cut.out) == (1, "")
    assert cut.error.startswith("hychat: The answer was cut before its JSON was whole, after 64 tokens.\n")


@pytest.mark.parametrize("schema", ["{", '{"type": "nothing"}', "no-such-file.json", "", "[]"])
def test_a_schema_that_cannot_be_used_is_a_mistake(schema: str) -> None:
    ended = ask("--schema", schema, "hi")

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith("hychat: ")


def test_the_same_seed_gives_the_same_answer() -> None:
    one, again, other = (
        ask("--seed", seed, "-t", "1.0", "--max-tokens", "24", "Tell me a story.").out for seed in ("7", "7", "8")
    )

    assert one == again
    assert one != other


def test_json_figures_are_sensible() -> None:
    answer = ask("--json", "--max-tokens", "12", "Tell me a story.").json

    usage, timings = answer["usage"], answer["timings"]
    assert (answer["model"], answer["stop"], answer["thought"]) == ("starter", "length", None)
    assert 20 < usage["prompt_tokens"] < 60
    assert (usage["reused_tokens"] <= usage["prompt_tokens"], usage["generated_tokens"]) == (True, 12)
    assert 0 < timings["prefill_seconds"] <= timings["first_token_seconds"]
    assert timings["decode_tokens_per_second"] == pytest.approx(11 / timings["decode_seconds"], rel=0.05)
    assert answer["settings"]["seed"] == answer["seed"]
    assert 0.1 <= answer["settings"]["temperature"] <= 1.0


def test_verbose_tells_what_runs_where() -> None:
    told = ask("-v", "--max-tokens", "2", "hi").error

    assert re.search(r"^model: starter \(llama .*\), context \d+ tokens, on .+, 1 thread$", told, re.MULTILINE)


def test_bench_prints_a_table_and_json() -> None:
    figures = ("-p", "32", "-g", "8", "-r", "1")

    head, reading, writing = run_hychat("bench", "-m", "starter", *figures).out.splitlines()
    as_json = run_hychat("bench", "-m", "starter", *figures, "--json").json

    assert head == "starter, 1 thread"
    assert re.fullmatch(r" +pp32 +[\d.]+ ± 0.00 tok/s", reading)
    assert re.fullmatch(r" +tg8 +[\d.]+ ± 0.00 tok/s", writing)
    assert as_json["model"] == "starter"
    assert [test["test"] for test in as_json["tests"]] == ["pp32", "tg8"]
    assert all(test["tokens_per_second"] > 0 for test in as_json["tests"])


def test_bench_of_no_model_is_told() -> None:
    assert run_hychat("bench", "-m", "none").code == 3
