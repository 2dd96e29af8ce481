"""Many random accidents: processes killed at any moment, model files damaged anywhere. `make trials` runs them all."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final, Literal

import pytest

from hychat.domain.errors import EngineCrashed, EngineError, HychatError, ModelUnusable
from hychat.domain.generation import GenerationSettings
from hychat.engine import child as child_module
from hychat.engine.gguf import GgufHeader, read_header
from hychat.engine.process import EngineProcess
from hychat.engine.protocol import EngineEvent
from tests.desk import chatml
from tests.engines import GREEDY, STORY, Heard, closing, engine_for, hear, starter_engine, starter_path
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe, write_hy_v3, write_llama

A_FEW: Final = 5
MESSAGE_CHARACTERS: Final = 600
"""A paragraph."""

Phase = Literal["load", "prefill", "decode"]
ANSWER: Final = GenerationSettings(temperature=0.8, seed=1, max_tokens=160)
SPAN_SECONDS: Final = {"load": 0.3, "prefill": 1.0}
"""The moment of the kill is drawn from this."""


@pytest.mark.parametrize("count", [A_FEW, pytest.param(50, marks=pytest.mark.trial)])
def test_whenever_the_child_is_killed_the_error_is_clear_and_the_next_answer_comes(count: int) -> None:
    outcomes: Counter[str] = Counter()
    with closing(starter_engine()) as engine:
        for case in range(count):
            heard, phase = killed_at_random(engine, Random(case))  # noqa: S311
            outcomes[f"{phase}: {type(heard.error).__name__ if heard.error else 'answered before'}"] += 1
            assert heard.error is None or is_clear(heard.error)
            assert "Paris" in hear(engine).text
    print(table(outcomes))
    assert sum(outcomes.values()) == count, outcomes
    assert not any("Silent" in outcome for outcome in outcomes), outcomes


def killed_at_random(engine: EngineProcess, random: Random) -> tuple[Heard, Phase]:
    """Ask something while the child is killed in some phase."""
    phase: Phase = random.choice(("load", "prefill", "decode"))
    if phase == "load":
        engine.close()
    if phase == "decode":
        return hear(engine, STORY, ANSWER, on_event=after(random.randint(1, 40), engine), catch=EngineCrashed), phase
    killer = threading.Timer(random.uniform(0, SPAN_SECONDS[phase]), kill, (engine,))
    killer.start()
    prompt = STORY if phase == "load" else chatml("The sea is wide and the wind is cold. " * 30 + str(random.random()))
    heard = hear(engine, prompt, ANSWER, catch=EngineCrashed)
    killer.join()
    return heard, phase


def after(events: int, engine: EngineProcess) -> Callable[[EngineEvent], None]:
    """Kills the child after so many events."""
    left = iter(range(events))

    def look(_event: EngineEvent) -> None:
        if next(left, None) is None:
            kill(engine)

    return look


def kill(engine: EngineProcess) -> None:
    child = engine._child
    if child is not None and child.is_alive:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def is_clear(error: Exception) -> bool:
    """Whether an error is one paragraph that can be shown."""
    message = str(error)
    return isinstance(error, HychatError) and 0 < len(message) < MESSAGE_CHARACTERS and "\n" not in message


@pytest.mark.parametrize("count", [2 * A_FEW, pytest.param(200, marks=pytest.mark.trial)])
def test_a_damaged_model_is_refused_or_answers(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SILENCE_SECONDS", 5.0)
    sources = [
        Path(starter_path()),
        write_hunyuan_dense(tmp_path / "a.gguf", "A"),
        write_hunyuan_moe(tmp_path / "moe.gguf"),
        write_hy_v3(tmp_path / "v3.gguf"),
        write_llama(tmp_path / "llama.gguf"),
    ]
    outcomes: Counter[str] = Counter()
    for case in range(count):
        random = Random(case)  # noqa: S311
        damaged, kind = damage(sources[case % len(sources)], tmp_path / "damaged.gguf", random)
        with closing(engine_for(damaged)) as engine:
            heard = hear(engine, chatml("hello"), GREEDY, catch=HychatError)
        outcomes[f"{kind}: {type(heard.error).__name__ if heard.error else 'answered'}"] += 1
        assert heard.error is None or is_clear(heard.error), heard.error
        assert isinstance(heard.error, ModelUnusable | EngineError | None), heard.error
    print(table(outcomes))
    assert sum(outcomes.values()) == count, outcomes


def table(outcomes: Counter[str]) -> str:
    """What came of how many cases."""
    return "\n" + "\n".join(f"{count:4}  {outcome}" for outcome, count in sorted(outcomes.items()))


def damage(source: Path, target: Path, random: Random) -> tuple[Path, str]:
    """A copy with something wrong: cut short, or bytes changed in one of its parts."""
    content = bytearray(source.read_bytes())
    header = read_header(str(source))
    kind = random.choice(("cut", "keys", "tensors", "weights"))
    if kind == "cut":
        del content[random.randrange(random.choice((100, header.data_offset, len(content)))) :]
    else:
        start, end = part(content, header)[kind]
        for _byte in range(random.choice((1, 1, 4, 32))):
            content[random.randrange(start, end)] = random.randrange(256)
    target.write_bytes(content)
    return target, kind


def part(content: bytearray, header: GgufHeader) -> dict[str, tuple[int, int]]:
    """Where the keys, the tensors' descriptions and their weights stand."""
    name = header.tensors[0].name.encode()
    tensors = content.index(len(name).to_bytes(8, "little") + name)
    return {
        "keys": (0, tensors),
        "tensors": (tensors, header.data_offset),
        "weights": (header.data_offset, len(content)),
    }
