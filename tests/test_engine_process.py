"""The engine's process: it is asked, stopped, killed, starved and closed, and the parent always knows what to say."""

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import (
    EngineCrashed,
    EngineError,
    EngineSilent,
    EngineUnavailable,
    HychatError,
    Interrupted,
    ModelDamaged,
    ModelTooLarge,
    ModelUnusable,
    PromptTooLong,
)
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import StopReason
from hychat.engine import child as child_module
from hychat.engine import wire
from hychat.engine.child import Child
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.protocol import Done, EngineEvent, Piece, result_of
from hychat.engine.spawn import Spawned
from tests.desk import chatml
from tests.engines import (
    CAPITAL,
    ENDLESS,
    GREEDY,
    LONG,
    STORY,
    closing,
    ends,
    engine_for,
    first,
    hear,
    in_thread,
    load_fractions,
    opened,
    pid_of,
    starter_engine,
    starter_path,
)
from tests.tiny_models import Faults, write_llama

ROOT: Final = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    """A loaded starter, for tests that leave it as it was."""
    with closing(starter_engine()) as made:
        opened(made)
        yield made


@pytest.fixture
def own_engine() -> Iterator[EngineProcess]:
    """An engine to break; not yet open."""
    with closing(starter_engine()) as made:
        yield made


@pytest.fixture
def tiny_path(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny.gguf")


# Loading


def test_loading_tells_how_far_it_is(own_engine: EngineProcess) -> None:
    fractions = load_fractions(own_engine)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_model_that_is_loaded_is_not_loaded_again(engine: EngineProcess) -> None:
    pid, model = pid_of(engine), opened(engine)
    assert load_fractions(engine) == []
    assert opened(engine) is model
    assert pid_of(engine) == pid


def test_a_loaded_model_says_what_it_is(engine: EngineProcess) -> None:
    model = opened(engine)
    assert model.name == "starter"
    assert model.context_tokens == 8192
    assert model.metadata["devices"] == "CPU"
    assert model.metadata["layers"] == "30"


def test_a_child_that_was_started_before_is_taken(tmp_path: Path) -> None:
    child = Child.start()
    with closing(EngineProcess(EngineOptions(str(write_llama(tmp_path / "tiny.gguf")), "tiny"), child)) as engine:
        opened(engine)
        assert pid_of(engine) == child.pid


def test_a_load_that_is_cancelled_is_interrupted_and_can_be_begun_again(own_engine: EngineProcess) -> None:
    child, cancel = stopped_before_it_loads(own_engine), CancelToken()
    raised: list[Interrupted] = []

    def load() -> None:
        try:
            result_of(own_engine.open(cancel))
        except Interrupted as error:
            raised.append(error)

    loading = in_thread(load)
    cancel.set()
    loading.join()
    assert len(raised) == 1
    assert ends(child.pid)
    assert "Paris" in hear(own_engine).text


def test_a_load_whose_reader_goes_away_can_be_begun_again(own_engine: EngineProcess) -> None:
    loading = own_engine.open(CancelToken())
    next(loading)
    pid = pid_of(own_engine)
    loading.close()
    assert ends(pid)
    assert "Paris" in hear(own_engine).text


def test_who_waits_for_the_load_of_another_thread_can_be_cancelled(own_engine: EngineProcess) -> None:
    loading = own_engine.open(CancelToken())
    next(loading)
    cancel = CancelToken()
    raised: list[Exception] = []

    def ask() -> None:
        try:
            own_engine.count([CAPITAL], cancel)
        except Interrupted as error:
            raised.append(error)

    waiting = in_thread(ask)
    cancel.set()
    waiting.join()
    assert len(raised) == 1
    result_of(loading)


def test_an_engine_can_be_closed_while_it_loads(own_engine: EngineProcess) -> None:
    loading = own_engine.open(CancelToken())
    next(loading)
    pid = pid_of(own_engine)
    own_engine.close()
    with suppress(EngineError):  # the load may have been over
        list(loading)
    assert ends(pid)


def test_a_path_of_odd_bytes_loads(tiny_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tiny_path.parent) + b"/m\xff\xe4 o'.gguf"))
    tiny_path.rename(odd)
    with closing(engine_for(odd)) as engine:
        assert opened(engine).context_tokens > 0


# Asking


def test_tokens_are_counted(engine: EngineProcess) -> None:
    one, none, many = engine.count([chatml("hello"), (), chatml("hello " * 100)], CancelToken())
    assert none == 0
    assert many == one + 100


def test_an_answer_is_progress_then_pieces_then_its_end(engine: EngineProcess) -> None:
    heard = hear(engine)
    kinds = [type(event) for event in heard.events]
    assert kinds == [PrefillProgress] * kinds.count(PrefillProgress) + [Piece] * kinds.count(Piece) + [Done]
    assert "Paris" in heard.text
    assert heard.done.stop is StopReason.COMPLETE


def test_figures_of_an_answer_are_told(engine: EngineProcess) -> None:
    usage = hear(engine, STORY, GREEDY).done.usage
    assert usage.generated_tokens == GREEDY.max_tokens
    assert usage.prefill_tokens_per_second > 0
    assert usage.decode_tokens_per_second > 0
    assert usage.first_token_seconds >= usage.prefill_seconds > 0


def test_answers_to_several_threads_do_not_mix(engine: EngineProcess) -> None:
    countries = ("France", "Italy", "Spain", "Japan", "Germany", "Egypt")
    answers: dict[str, str] = {}

    def ask(country: str) -> None:
        answers[country] = hear(engine, chatml(f"What is the capital of {country}?"), GREEDY).text

    threads = [threading.Thread(target=ask, args=(country,)) for country in countries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [country in answers[country] for country in countries] == [True] * len(countries)


def test_a_prompt_that_does_not_fit_is_told_with_both_numbers(tiny_path: Path) -> None:
    with closing(EngineProcess(EngineOptions(str(tiny_path), "tiny", context_tokens=512))) as engine:
        heard = hear(engine, chatml("x" * 600), catch=PromptTooLong)
        assert isinstance(heard.error, PromptTooLong)
        assert heard.error.prompt_tokens > 600
        assert heard.error.context_tokens == 512
        assert hear(engine, chatml("x")).done


def test_an_answer_that_must_follow_a_schema_does(engine: EngineProcess) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    settings = replace(GREEDY, json_schema=json.dumps(schema))
    heard = hear(engine, chatml("Which city is the capital of France? Answer in JSON."), settings)
    assert set(json.loads(heard.text)) == {"city"}


def test_speed_is_measured(engine: EngineProcess) -> None:
    result = engine.bench(prompt_tokens=16, generated_tokens=4, repetitions=2)
    assert len(result.prefill) == len(result.decode) == 2
    assert min(*result.prefill, *result.decode) > 0


# Stopping


def test_a_cancelled_answer_keeps_what_was_said(engine: EngineProcess) -> None:
    cancel = CancelToken()
    heard = hear(engine, STORY, ENDLESS, cancel=cancel, on_event=first(Piece, cancel.set))
    assert heard.done.stop is StopReason.CANCELLED
    assert heard.text


def test_an_answer_can_be_cancelled_before_it_is_asked(engine: EngineProcess) -> None:
    cancel = CancelToken()
    cancel.set()
    heard = hear(engine, STORY, ENDLESS, cancel=cancel)
    assert heard.done.stop is StopReason.CANCELLED
    assert heard.done.usage.generated_tokens < 20


def test_a_prompt_that_is_read_can_be_cancelled(engine: EngineProcess) -> None:
    cancel = CancelToken()
    heard = hear(engine, LONG, ENDLESS, cancel=cancel, on_event=first(PrefillProgress, cancel.set))
    assert heard.done.stop is StopReason.CANCELLED
    assert heard.done.usage.generated_tokens == 0
    assert heard.progress[-1].done < heard.progress[-1].total


def test_a_reader_that_goes_away_frees_the_slot(engine: EngineProcess) -> None:
    for _reader in range(4):
        with going_away(engine.stream(STORY, ENDLESS, CancelToken())) as events:
            assert any(isinstance(event, Piece) for event in events)
    assert "Paris" in hear(engine).text  # would wait for four long stories


def going_away(events: Iterator[EngineEvent]) -> contextlib.closing[Generator[EngineEvent, None, None]]:
    """A stream whose reader closes it at the end of the block."""
    return contextlib.closing(cast("Generator[EngineEvent, None, None]", events))


def test_cancelling_one_answer_leaves_the_others_alone(engine: EngineProcess) -> None:
    cancel, texts = CancelToken(), []
    other = in_thread(lambda: texts.append(hear(engine).text))
    hear(engine, STORY, ENDLESS, cancel=cancel, on_event=first(Piece, cancel.set))
    other.join()
    assert "Paris" in texts[0]


# Dying


def killed(engine: EngineProcess, with_signal: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid_of(engine), with_signal)


def test_a_child_that_dies_before_it_loads_is_told(own_engine: EngineProcess) -> None:
    child = Child.start()
    own_engine._child = child
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed, match="SIGKILL"):
        opened(own_engine)
    assert "Paris" in hear(own_engine).text


def test_a_child_that_dies_while_it_loads_is_told(own_engine: EngineProcess) -> None:
    child = stopped_before_it_loads(own_engine)
    raised: list[EngineCrashed] = []

    def load() -> None:
        try:
            opened(own_engine)
        except EngineCrashed as error:
            raised.append(error)

    loading = in_thread(load)
    os.kill(child.pid, signal.SIGKILL)
    loading.join()
    assert "SIGKILL" in raised[0].message
    assert "Paris" in hear(own_engine).text


def stopped_before_it_loads(engine: EngineProcess) -> Child:
    """Give an engine a child that said hello, and hangs."""
    child = engine._child = Child.start()
    assert isinstance(child.hello(CancelToken()), wire.Hello)
    os.kill(child.pid, signal.SIGSTOP)
    return child


def test_a_child_that_dies_while_it_reads_is_told(own_engine: EngineProcess) -> None:
    heard = hear(own_engine, LONG, on_event=first(PrefillProgress, lambda: killed(own_engine)), catch=EngineCrashed)
    assert isinstance(heard.error, EngineCrashed)
    assert "SIGKILL" in heard.error.message
    assert "Paris" in hear(own_engine).text


def test_a_child_that_dies_while_it_writes_is_told_and_what_was_said_stands(own_engine: EngineProcess) -> None:
    heard = hear(own_engine, STORY, ENDLESS, on_event=first(Piece, lambda: killed(own_engine)), catch=EngineCrashed)
    assert isinstance(heard.error, EngineCrashed)
    assert heard.text
    assert "memory" in heard.error.hint  # what ends a process with this signal most often
    assert "Paris" in hear(own_engine).text


def test_a_child_that_died_unasked_is_replaced_without_a_word(own_engine: EngineProcess) -> None:
    opened(own_engine)
    child = own_engine._child
    assert child is not None
    killed(own_engine)
    child._reader.join()
    assert "Paris" in hear(own_engine).text


def test_a_crash_is_told_with_the_last_words_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with closing(starter_engine(log_file=log)) as engine:
        crash = first(Piece, lambda: killed(engine, signal.SIGSEGV))
        heard = hear(engine, STORY, ENDLESS, on_event=crash, catch=HychatError)
    assert isinstance(heard.error, EngineCrashed)
    assert "SIGSEGV" in heard.error.message
    _hint, *last_words = heard.error.hint.splitlines()
    assert last_words
    assert set(last_words) <= {line.strip() for line in log.read_text().splitlines()}


def test_two_streams_of_a_child_that_dies_are_both_told(own_engine: EngineProcess) -> None:
    opened(own_engine)
    heard = []
    other = in_thread(lambda: heard.append(hear(own_engine, STORY, ENDLESS, catch=EngineCrashed)))
    heard.append(
        hear(own_engine, STORY, ENDLESS, on_event=first(Piece, lambda: killed(own_engine)), catch=EngineCrashed)
    )
    other.join()
    assert [type(one.error) for one in heard] == [EngineCrashed, EngineCrashed]


def test_how_a_child_died_is_known_after_it_was_replaced(own_engine: EngineProcess) -> None:
    opened(own_engine)
    dead = own_engine._child
    assert dead is not None
    killed(own_engine, signal.SIGBUS)
    dead._reader.join()
    opened(own_engine)
    assert "SIGBUS" in dead.ended().message


def test_an_engine_that_is_closed_ends_its_streams(own_engine: EngineProcess) -> None:
    heard = hear(own_engine, STORY, ENDLESS, on_event=first(Piece, own_engine.close), catch=EngineError)
    assert isinstance(heard.error, EngineError)
    assert "closed" in heard.error.message
    assert heard.text


def test_closing_twice_does_nothing(own_engine: EngineProcess) -> None:
    opened(own_engine)
    pid = pid_of(own_engine)
    own_engine.close()
    own_engine.close()
    assert ends(pid)


# Silence


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SILENCE_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
def test_a_child_that_hangs_while_it_writes_is_given_up(own_engine: EngineProcess) -> None:
    heard = hear(
        own_engine,
        STORY,
        ENDLESS,
        on_event=first(Piece, lambda: killed(own_engine, signal.SIGSTOP)),
        catch=EngineSilent,
    )
    assert isinstance(heard.error, EngineSilent)
    assert heard.text
    assert "Paris" in hear(own_engine).text


@pytest.mark.usefixtures("impatient")
def test_a_child_that_hangs_while_it_loads_is_given_up(own_engine: EngineProcess) -> None:
    stopped_before_it_loads(own_engine)
    with pytest.raises(EngineSilent):
        opened(own_engine)


@pytest.mark.usefixtures("impatient")
def test_a_child_that_takes_no_more_is_given_up(own_engine: EngineProcess) -> None:
    opened(own_engine)
    killed(own_engine, signal.SIGSTOP)
    heard = hear(own_engine, chatml("x" * 1_000_000), catch=EngineSilent)
    assert isinstance(heard.error, EngineSilent)


@pytest.mark.usefixtures("impatient")
def test_a_child_that_hangs_can_be_closed(own_engine: EngineProcess) -> None:
    opened(own_engine)
    pid = pid_of(own_engine)
    killed(own_engine, signal.SIGSTOP)
    own_engine.close()
    assert ends(pid)


@pytest.mark.usefixtures("impatient")
def test_a_child_that_works_in_silence_is_waited_for(own_engine: EngineProcess) -> None:
    long_silence = chatml("The sea is wide and the wind is cold. " * 25)
    heard = hear(own_engine, long_silence, replace(GREEDY, max_tokens=1))
    assert heard.done.usage.prefill_seconds > 0.3  # without a word


def test_a_request_that_waits_while_another_is_answered_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SILENCE_SECONDS", 0.25)
    voice = Voice()
    with voice.child.request() as (number, inbox):

        def speak() -> None:
            for _word in range(30):
                voice.say(wire.Piece(number + 1, "to somebody else"))
                select.select([], [], [], 0.025)
            voice.say(wire.Piece(number, "to us"))

        speaker = in_thread(speak)
        assert voice.child.next_reply(inbox) == wire.Piece(number, "to us")  # three times the patience later
        speaker.join()
    voice.close()


class Voice:
    """A child that uses no processor and says what the test says."""

    def __init__(self) -> None:
        reads, child_writes = os.pipe()
        child_reads, writes = os.pipe()
        self._process = subprocess.Popen(["sleep", "60"])
        self._wire = wire.Wire(child_reads, child_writes)
        self.child = Child(Spawned(self._process.pid, reads, writes))

    def say(self, frame: wire.Frame) -> None:
        self._wire.send(frame)

    def close(self) -> None:
        self._wire.close_writing()
        self._wire.close_reading()
        self._process.kill()
        self._process.wait()
        self.child.close()


# Bad files and small machines


def test_a_file_that_is_cut_short_is_damaged(tiny_path: Path) -> None:
    whole = tiny_path.read_bytes()
    tiny_path.write_bytes(whole[: len(whole) * 2 // 3])
    with closing(engine_for(tiny_path)) as engine, pytest.raises(ModelDamaged):
        opened(engine)


def test_a_file_without_its_tensors_is_told_with_llama_cpps_reason(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "tiny.gguf", faults=Faults(architecture="gemma2"))
    with closing(engine_for(path)) as engine, pytest.raises(ModelUnusable) as caught:
        opened(engine)
    assert "not found" in caught.value.message
    assert "failed to load model" not in caught.value.message
    assert caught.value.exit_code == 4


def test_a_model_that_does_not_fit_the_memory_is_told(own_engine: EngineProcess) -> None:
    child = Child.start()
    own_engine._child = child
    assert isinstance(child.hello(CancelToken()), wire.Hello)
    starve(child, spare_bytes=40 << 20)
    with pytest.raises(ModelTooLarge):
        opened(own_engine)


def test_a_context_that_does_not_fit_the_memory_is_told(own_engine: EngineProcess) -> None:
    opened(own_engine)
    child = own_engine._child
    assert child is not None
    starve(child, spare_bytes=60 << 20)
    heard = hear(own_engine, chatml("word " * 4_000), catch=HychatError)
    assert isinstance(heard.error, ModelTooLarge)
    assert "Paris" in hear(own_engine).text


def starve(child: Child, *, spare_bytes: int) -> None:
    """Let a process have only so much more memory."""
    pages = int(Path(f"/proc/{child.pid}/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + spare_bytes
    resource.prlimit(child.pid, resource.RLIMIT_AS, (limit, limit))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ('raise OSError("libcuda.so.1: cannot open shared object file")', "libcuda.so.1"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ('raise RuntimeError("Failed to load shared library")', "Failed to load"),
    ],
)
def test_a_llama_cpp_that_does_not_load_is_told(
    module: str, reason: str, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llama_cpp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "llama_cpp.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with closing(engine_for(tiny_path)) as engine, pytest.raises(EngineUnavailable, match=reason) as caught:
        opened(engine)
    assert "pip install" in caught.value.hint


def test_a_missing_llama_cpp_is_told(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama_cpp.py").touch()  # in the place of the package
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with closing(engine_for(tiny_path)) as engine, pytest.raises(EngineUnavailable, match="not installed"):
        opened(engine)


def test_a_library_made_for_another_processor_is_told(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llama_cpp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "llama_cpp.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with closing(engine_for(tiny_path)) as engine, pytest.raises(EngineUnavailable, match="SIGILL"):
        opened(engine)


# The log


def test_the_log_is_the_users_alone(tiny_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with closing(engine_for(tiny_path, log_file=log)) as engine:
        opened(engine)
    assert log.stat().st_mode & 0o777 == 0o600
    assert "llama" in log.read_text()


def test_a_log_that_grew_large_is_put_aside(tiny_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("old\n" * 300_000)
    with closing(engine_for(tiny_path, log_file=log)) as engine:
        opened(engine)
        child = engine._child
        assert child is not None
        assert "old" not in child.log_tail()
        assert child.log_tail()
    assert (tmp_path / "engine.log.1").read_text().startswith("old\n")
    assert log.stat().st_size < 1 << 20


@pytest.mark.parametrize("log", ["missing/folder/engine.log", "."])
def test_a_log_that_cannot_be_written_costs_nothing_else(log: str, tiny_path: Path, tmp_path: Path) -> None:
    with closing(engine_for(tiny_path, log_file=tmp_path / log)) as engine:
        assert opened(engine)


# Processes


SPEAK: Final = """
import sys
from hychat.domain.generation import GenerationSettings
from hychat.engine.spawn import Spawned
from hychat.engine.protocol import Piece
from tests.engines import ENDLESS, GREEDY, STORY, CAPITAL, first, hear, opened, pid_of, starter_engine
engine = starter_engine()
opened(engine)
"""


def parent(script: str) -> subprocess.Popen[str]:
    """A process that has an engine."""
    return subprocess.Popen(
        [sys.executable, "-c", SPEAK + script],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "script",
    [
        "print(pid_of(engine), flush=True)\nsys.stdin = None\nimport signal\nsignal.pause()",
        "hear(engine, STORY, ENDLESS, on_event=first(Piece, lambda: print(pid_of(engine), flush=True)))",
    ],
    ids=["idle", "writing"],
)
def test_an_engine_ends_with_its_parent(script: str) -> None:
    with parent(script) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        assert ends(pid)


def test_nothing_that_llama_cpp_prints_reaches_our_output() -> None:
    with parent("print(hear(engine).text)\nengine.close()") as process:
        out, error = process.communicate(timeout=60)
    assert error == ""
    assert out.count("\n") == 1
    assert "Paris" in out


def test_opening_and_closing_leaves_nothing_behind(tiny_path: Path) -> None:
    with closing(engine_for(tiny_path)) as engine:
        hear(engine)
    before = things_held()
    for _cycle in range(30):
        with closing(engine_for(tiny_path)) as engine:
            hear(engine, chatml("hello"), GREEDY)
    assert things_held() == before


def things_held() -> tuple[int, int, str]:
    """Open files, threads, and children, the dead ones included."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return len(os.listdir("/proc/self/fd")), threading.active_count(), children  # noqa: PTH208


def test_a_child_takes_little_more_than_model_and_cache(engine: EngineProcess) -> None:
    hear(engine, LONG, GREEDY)
    status = Path(f"/proc/{pid_of(engine)}/status").read_text(encoding="ascii")
    peak_bytes = int(status.partition("VmHWM:")[2].split()[0]) << 10
    cache_bytes = 8192 * 30 * 2 * 192 * 2  # at most: tokens, layers, keys and values, their length, bytes of each
    assert peak_bytes < Path(starter_path()).stat().st_size + cache_bytes + (200 << 20)


def test_engines_that_start_at_the_same_time_do_not_hold_one_another(tiny_path: Path) -> None:
    engines = [engine_for(tiny_path) for _engine in range(4)]
    with ThreadPoolExecutor(len(engines)) as threads:
        assert len([*threads.map(opened, engines)]) == len(engines)
    for engine in engines:
        child = engine._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child._reader.join(10)  # would go on while another process holds the pipe
        assert not child.is_alive
        engine.close()


def test_load_progress_is_told_before_the_first_answer(own_engine: EngineProcess) -> None:
    heard = hear(own_engine)
    assert isinstance(heard.events[0], LoadProgress)
    assert "Paris" in heard.text
