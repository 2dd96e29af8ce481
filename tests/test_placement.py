"""What of a model went where, told after it was loaded."""

import re
import socket

import pytest

from hychat.engine.plan import places_in_words
from tests.programs import run_hychat

MIB = 1 << 20


def test_the_doctor_loads_a_model_and_tells_what_each_memory_holds() -> None:
    ended = run_hychat("doctor", "--load", "starter", "--json")
    found = {finding["check"]: finding for finding in ended.json}
    assert "All 30 layers on the CPU." in found["plan"]["message"]
    assert found["load"]["status"] == "ok"
    held = found["load"]["details"]["places"]
    assert sum(uses.get("model", 0) for uses in held.values()) == pytest.approx(96 * MIB, rel=0.1)
    assert all(held["CPU"][use] > 0 for use in ("KV", "compute"))


def test_the_doctor_loads_as_a_question_would_with_the_same_flags() -> None:
    ended = run_hychat("doctor", "--load", "starter", "--ctx", "1024", "--kv-type", "q8_0", "--json")
    found = {finding["check"]: finding for finding in ended.json}
    assert "Context up to 1024 tokens (KV cache in q8_0" in found["plan"]["message"]
    assert "grow with the chat" in found["load"]["message"]


def test_flags_for_loading_are_refused_where_nothing_is_loaded() -> None:
    ended = run_hychat("doctor", "--gpu-layers", "3")
    assert ended.code == 2
    assert "--gpu-layers says how a model is loaded" in ended.error


def test_layers_on_a_gpu_that_is_not_there_are_told() -> None:
    ended = run_hychat("doctor", "--load", "starter", "--gpu-layers", "99", "--json")
    (problem,) = [finding for finding in ended.json if finding["check"] == "load"]
    assert "--gpu-layers 99: there is no GPU" in problem["message"]


def test_workers_of_the_settings_that_do_not_answer_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        here, gone = (f"127.0.0.1:{there.getsockname()[1]}", "127.0.0.1:1")
        told = [
            finding
            for rpc in (here, f"{here},{gone}")
            for finding in run_hychat("doctor", "--json", env={"HYCHAT_RPC": rpc}).json
            if finding["check"] == "workers"
        ]
    assert [finding["status"] for finding in told] == ["ok", "error"]
    assert told[1]["details"] == {"answering": [here], "silent": [gone]}
    assert gone in told[1]["message"]


def test_there_is_nothing_to_say_of_workers_where_none_are_used() -> None:
    assert "workers" not in {finding["check"] for finding in run_hychat("doctor", "--json").json}


def test_the_doctor_loads_nothing_unasked() -> None:
    ended = run_hychat("doctor", "--json")
    assert not {"plan", "load"} & {finding["check"] for finding in ended.json}


def test_a_model_that_cannot_be_loaded_is_an_error() -> None:
    ended = run_hychat("doctor", "--load", "no-such-model", "--json")
    (problem,) = [finding for finding in ended.json if finding["check"] == "load"]
    assert (ended.code, problem["status"]) == (1, "error")


def test_a_question_with_details_tells_what_really_lies_where() -> None:
    ended = run_hychat("-m", "starter", "-n", "-v", "--max-tokens", "2", "hi")
    (line,) = [line for line in ended.error.splitlines() if "in memory: " in line]
    assert re.search(r"CPU: KV cache \d+ MiB, compute \d+ MiB; CPU_Mapped: weights \d+ MiB", line)


def test_memories_that_hold_nothing_are_left_out() -> None:
    places = {"CPU_Mapped": {"model": 92 * MIB}, "CPU": {"KV": 45 * MIB, "compute": 0}, "CUDA0": {}}
    assert places_in_words(places) == "CPU_Mapped: weights 92 MiB; CPU: KV cache 45 MiB"
