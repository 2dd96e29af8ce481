"""What of a model went where, told after it was loaded."""

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


def test_the_doctor_loads_nothing_unasked() -> None:
    ended = run_hychat("doctor", "--json")
    assert not {"plan", "load"} & {finding["check"] for finding in ended.json}


def test_a_model_that_cannot_be_loaded_is_an_error() -> None:
    ended = run_hychat("doctor", "--load", "no-such-model", "--json")
    (problem,) = [finding for finding in ended.json if finding["check"] == "load"]
    assert (ended.code, problem["status"]) == (1, "error")


def test_memories_that_hold_nothing_are_left_out() -> None:
    places = {"CPU_Mapped": {"model": 92 * MIB}, "CPU": {"KV": 45 * MIB, "compute": 0}, "CUDA0": {}}
    assert places_in_words(places) == "CPU_Mapped: weights 92 MiB; CPU: KV cache 45 MiB"
