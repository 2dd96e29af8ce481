"""Which experts a mixture chooses, and what is told of it."""

import math
import os
import re
import signal
import string
from contextlib import closing, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineCrashed, HychatError, UsageError
from hychat.domain.generation import GenerationSettings
from hychat.engine.experts import ExpertUse, LayerUse, heat_map
from hychat.engine.gguf import read_header
from hychat.engine.process import EngineProcess
from hychat.engine.prompt.segments import Segment
from hychat.engine.protocol import Piece
from hychat.engine.task import run_task
from hychat.tui.screens.experts import ExpertsScreen
from tests.engines import engine_for, pid_of
from tests.programs import Terminal, run_hychat
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe, write_hy_v3
from tests.tui import UNFILTERED, ask, running, shown, until

TEXT = "The river and the model say hello to the world, and you. " * 12
EXPERTS, USED, LAYERS = 4, 2, 2
LETTERS = {" ": "Ġ", "\n": "Ċ", "\t": "ĉ", "\r": "č", "\x0b": "ċ", "\x0c": "Č"}
"""As a byte-level vocabulary writes them."""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def routed(model: Path, text: str = TEXT, *, chunk_tokens: int = 32, chunks: int | None = None) -> dict[str, object]:
    arguments = {"model": str(model), "text": text, "experts": EXPERTS, "chunk_tokens": chunk_tokens}
    more = {"most_chunks": chunks, "gpu_layers": 0, "threads": 1}
    return run_task("experts", arguments | more, CancelToken())


@pytest.mark.parametrize("write", [write_hunyuan_moe, write_hy_v3])
def test_every_token_chooses_as_many_experts_as_the_model_uses(tmp_path: Path, write: object) -> None:
    assert callable(write)
    told = routed(write(tmp_path / "mixture.gguf"))
    rows, tokens = told["layers"], told["tokens"]
    assert isinstance(rows, list)
    assert isinstance(tokens, int)
    assert rows
    assert all(sum(row[1:]) == tokens * USED for row in rows)


def test_layers_without_experts_are_left_out(tmp_path: Path) -> None:
    rows = routed(write_hy_v3(tmp_path / "mixture.gguf"))["layers"]
    assert isinstance(rows, list)
    assert [row[0] for row in rows] == [1]  # the first one is dense


def test_the_same_text_is_sent_to_the_same_experts(tmp_path: Path) -> None:
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    assert routed(model) == routed(model)


def test_many_tokens_at_once_choose_as_each_of_them_would(tmp_path: Path) -> None:
    """One letter over and over, so that attention changes nothing: the view of many tokens is read with its strides."""
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    rows = routed(model, "a" * 40, chunk_tokens=32, chunks=1)["layers"]
    assert isinstance(rows, list)
    chosen = np.argsort(router_of(model, "a", layer=0))[-USED:]
    assert rows[0][1:] == [32 * (expert in chosen) for expert in range(EXPERTS)]


@pytest.mark.parametrize(("write", "layer"), [(write_hunyuan_moe, 0), (write_hy_v3, 1)])
def test_the_choice_for_every_token_is_that_of_its_router(tmp_path: Path, write: object, layer: int) -> None:
    """Read one by one: a token alone attends to itself, so all before the first router can be computed by hand."""
    assert callable(write)
    model = write(tmp_path / "mixture.gguf")
    letters = [letter for letter in string.printable if is_clear(router_of(model, letter, layer))]
    assert len(letters) > 80
    wanted = [0] * EXPERTS
    for letter in letters:
        for expert in np.argsort(router_of(model, letter, layer))[-USED:]:
            wanted[expert] += 1
    rows = routed(model, "".join(letters), chunk_tokens=1)["layers"]
    assert isinstance(rows, list)
    assert rows[0] == [layer, *wanted]


def is_clear(logits: NDArray[np.float32]) -> bool:
    """Whether the experts that are chosen lie so far before the others that rounding cannot change it."""
    ordered = np.sort(logits)
    return bool(ordered[-USED] - ordered[-USED - 1] > 0.02)


def router_of(model: Path, letter: str, layer: int) -> NDArray[np.float32]:
    """What the router of this layer makes of a letter that stands alone; the layers before it are dense."""
    weights, tokens = read_model(model)
    stream = weights["token_embd.weight"][tokens.index(LETTERS.get(letter, letter))]
    for number in range(layer + 1):
        block = f"blk.{number}"
        values = weights[f"{block}.attn_v.weight"] @ normed(stream)
        heads = np.repeat(values.reshape(2, 16), 2, axis=0).ravel()  # 4 heads share 2
        stream = stream + weights[f"{block}.attn_output.weight"] @ heads
        if number < layer:
            gate, up = (weights[f"{block}.ffn_{name}.weight"] @ normed(stream) for name in ("gate", "up"))
            stream = stream + weights[f"{block}.ffn_down.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    logits: NDArray[np.float32] = weights[f"blk.{layer}.ffn_gate_inp.weight"] @ normed(stream)
    return logits


@cache
def read_model(path: Path) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Weights, and the vocabulary's texts."""
    reader = GGUFReader(path)
    field = reader.fields["tokenizer.ggml.tokens"]
    tokens = [bytes(field.parts[index]).decode() for index in field.data]
    return {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}, tokens


def normed(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """RMSNorm with weights of 1."""
    scaled: NDArray[np.float32] = row / np.sqrt(np.mean(row**2) + 1e-5)
    return scaled


def test_people_see_a_map_and_json_has_the_counts(tmp_path: Path, text: Path) -> None:
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    shown = run_hychat("gguf", "experts", str(model), "--text", str(text), "--ctx", "32")
    assert shown.code == 0
    assert "Experts in use:" in shown.out
    assert "92%" in shown.out
    told = run_hychat("gguf", "experts", str(model), "--text", "-", "--ctx", "32", "--json", stdin=TEXT.encode())
    assert [layer["layer"] for layer in told.json["layers"]] == [0, 1]
    assert told.json["layers"][0]["counts"] == routed(model)["layers"][0][1:]  # type: ignore[index]


def test_a_dense_model_is_refused_by_name(tmp_path: Path, text: Path) -> None:
    ended = run_hychat("gguf", "experts", str(write_hunyuan_dense(tmp_path / "dense.gguf")), "--text", str(text))
    assert ended.code == 2
    assert "is no mixture of experts" in ended.error


def test_a_short_text_is_read_to_its_last_token(tmp_path: Path) -> None:
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    ended = run_hychat("gguf", "experts", str(model), "--text", "-", "--json", stdin=b"ABC")
    assert ended.json["tokens"] == 3
    assert [sum(layer["counts"]) for layer in ended.json["layers"]] == [3 * USED] * LAYERS


def test_pieces_are_no_longer_than_the_text_and_than_the_model_was_trained_for(tmp_path: Path) -> None:
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    short = run_hychat("gguf", "experts", str(model), "--text", "-", "--ctx", "1000000000", "--json", stdin=b"ABC")
    assert short.json["tokens"] == 3
    trained = read_header(str(model)).context_tokens
    assert trained
    long = routed(model, "A" * (trained + 100), chunk_tokens=1_000_000_000)
    assert long == routed(model, "A" * (trained + 100), chunk_tokens=trained)


@pytest.mark.parametrize("layers", ["1", "99", "-1"])
def test_layers_on_a_gpu_are_refused_where_there_is_none(tmp_path: Path, text: Path, layers: str) -> None:
    model = str(write_hunyuan_moe(tmp_path / "mixture.gguf"))
    commands = (
        ("experts", model, "--text", str(text)),
        ("imatrix", model, "-f", str(text), "-o", str(tmp_path / "matrix.gguf")),
        ("compare", model, model, "--text", str(text), "--ctx", "32"),
    )
    for command in commands:
        ended = run_hychat("gguf", *command, "--gpu-layers", layers)
        assert ended.code == 1
        assert f"--gpu-layers {layers}: there is no GPU that llama.cpp can use." in ended.error
    assert not (tmp_path / "matrix.gguf").exists()


def test_what_llama_cpp_would_abort_at_is_refused_before(tmp_path: Path, text: Path) -> None:
    model = write_hunyuan_moe(tmp_path / "mixture.gguf")
    data, key = bytearray(model.read_bytes()), b"hunyuan-moe.expert_used_count"
    start = data.index(key) + len(key) + 4
    data[start : start + 4] = (9).to_bytes(4, "little")
    model.write_bytes(data)
    for command in (("experts", str(model)), ("compare", str(model), str(model))):
        ended = run_hychat("gguf", *command, "--text", str(text))
        assert ended.code == 4
        assert "expert_used_count" in ended.error
    with pytest.raises(EngineCrashed) as caught:
        routed(model)
    assert "GGML_ASSERT" in caught.value.hint.splitlines()[-1]  # and no debugger's look at it


def test_what_is_left_over_behind_whole_chunks_is_read(tmp_path: Path) -> None:
    told = routed(write_hunyuan_moe(tmp_path / "mixture.gguf"), "A" * 70, chunk_tokens=32)
    assert told["tokens"] == 70


def test_an_empty_text_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    ended = run_hychat("gguf", "experts", str(write_hunyuan_moe(tmp_path / "mixture.gguf")), "--text", str(empty))
    assert ended.code in {1, 2}
    assert "Traceback" not in ended.error
    assert "hychat:" in ended.error


@pytest.mark.parametrize(
    ("counts", "balance", "in_use"),
    [((5, 5, 5, 5), 1.0, 4), ((20, 0, 0, 0), 0.0, 1), ((10, 10, 0, 0), 0.5, 2), ((0, 0, 0, 0), 0.0, 0)],
)
def test_balance_is_the_entropy_of_the_choices(counts: tuple[int, ...], balance: float, in_use: int) -> None:
    layer = LayerUse(0, counts)
    assert math.isclose(layer.balance, balance, abs_tol=1e-9)
    assert layer.in_use == in_use


def test_the_share_in_use_is_that_of_all_layers() -> None:
    assert ExpertUse.of([[0, 5, 5, 0, 0], [1, 1, 1, 1, 1]]).share_in_use == 0.75


def test_the_map_is_folded_to_the_columns_and_reads_without_colour() -> None:
    use = ExpertUse.of([[3, *([0] * 10), *([5] * 10)]])
    assert [row.shaded() for row in heat_map(use, 15)] == ["   3 " + " " * 10, "     " + "█" * 10]


def test_the_map_is_folded_into_rows_of_one_length() -> None:
    use = ExpertUse.of([[0, *([1] * 128)]])
    assert [len(row.levels) for row in heat_map(use, 80)] == [64, 64]


def test_the_map_is_told_in_colour_on_a_terminal(tmp_path: Path, text: Path) -> None:
    model = str(write_hunyuan_moe(tmp_path / "mixture.gguf"))
    with Terminal.running("gguf", "experts", model, "--text", str(text), columns=80) as terminal:
        assert terminal.end() == 0
        assert re.search(r"   0 (\x1b\[38;5;\d+m[░▒▓█]){4}\x1b\[0m", terminal.written)


def test_experts_are_watched_from_the_first_look_on(tmp_path: Path) -> None:
    with closing(engine_for(write_hunyuan_moe(tmp_path / "mixture.gguf"))) as engine:
        plain = answer(engine)
        assert engine.watch_experts().layers == ()
        assert answer(engine) == plain
        use = engine.watch_experts()
        assert [layer.layer for layer in use.layers] == [0, 1]
        assert answer(engine) == plain
        assert sum(engine.watch_experts().layers[0].counts) > sum(use.layers[0].counts)


def test_experts_are_watched_where_that_was_asked_before_the_model_was_loaded_and_after_a_crash(tmp_path: Path) -> None:
    with closing(engine_for(write_hunyuan_moe(tmp_path / "mixture.gguf"))) as engine:
        assert engine.watch_experts().layers == ()
        answer(engine)
        counted = engine.watch_experts()
        assert counted.layers
        os.kill(pid_of(engine), signal.SIGKILL)
        with suppress(HychatError):
            answer(engine)
        answer(engine)
        assert engine.watch_experts() == counted


def answer(engine: EngineProcess) -> str:
    prompt = (Segment("The river and the model", is_control=False),)
    settings = GenerationSettings(temperature=0.0, seed=1, max_tokens=8)
    events = engine.stream(prompt, settings, CancelToken())
    return "".join(event.text for event in events if isinstance(event, Piece))


def test_the_experts_of_a_dense_model_cannot_be_watched(tmp_path: Path) -> None:
    with closing(engine_for(write_hunyuan_dense(tmp_path / "dense.gguf"))) as engine:
        answer(engine)
        with pytest.raises(UsageError, match="no mixture"):
            engine.watch_experts()
        answer(engine)


async def test_a_question_that_is_asked_on_the_map_is_answered_in_the_chat_and_seen_on_the_map(tmp_path: Path) -> None:
    path = write_hunyuan_moe(tmp_path / "mixture.gguf")
    config = replace(UNFILTERED, model=str(path), save=False, max_tokens=8)
    with closing(engine_for(path)) as engine:
        async with running(engine, config) as (app, pilot):
            await until(pilot, lambda: app.desk.session.model is not None)
            await ask(pilot, "/experts")
            await until(pilot, lambda: isinstance(app.screen, ExpertsScreen))
            assert "From now on it is counted" in shown(app)
            await pilot.press(*"hello", "enter")
            await until(pilot, lambda: "Experts in use: " in shown(app))
            await pilot.press("escape")
            await until(pilot, lambda: len(app.desk.branch) == 2 and not app.desk.is_busy)
            assert app.desk.branch[0].text == "hello"


async def test_what_was_asked_between_two_looks_is_on_the_map(tmp_path: Path) -> None:
    path = write_hunyuan_moe(tmp_path / "mixture.gguf")
    config = replace(UNFILTERED, model=str(path), save=False, max_tokens=8)
    with closing(engine_for(path)) as engine:
        async with running(engine, config) as (app, pilot):
            await until(pilot, lambda: app.desk.session.model is not None)
            for _look in range(2):
                await ask(pilot, "/experts")
                await until(pilot, lambda: isinstance(app.screen, ExpertsScreen))
                await pilot.press("escape")
                await until(pilot, lambda: not isinstance(app.screen, ExpertsScreen))
            await ask(pilot, "hello")
            await until(pilot, lambda: len(app.desk.branch) == 2 and not app.desk.is_busy)
            await ask(pilot, "/experts")
            await until(pilot, lambda: "Experts in use: " in shown(app))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, ExpertsScreen))
