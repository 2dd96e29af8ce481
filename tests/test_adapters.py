"""LoRA adapters: what they do to the logits, how they come and go, and which are refused."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ModelDamaged, ModelNotFound, ModelUnusable, UsageError
from hychat.domain.generation import GenerationSettings
from hychat.engine.adapters import Adapter, adapter_of, adapters_of
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import Segment
from hychat.engine.protocol import Piece, result_of
from tests.programs import run_hychat
from tests.tiny_adapters import write_adapter, write_merged
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe

GREEDY = GenerationSettings(temperature=0.0, seed=1, max_tokens=16)
PROMPT = (Segment("The river and the model", is_control=False),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_hunyuan_dense(folder / "model.gguf")


@pytest.fixture(scope="module")
def adapter(folder: Path, model: Path) -> Path:
    return write_adapter(folder / "poet.gguf", model)


@pytest.fixture
def engine(model: Path) -> Iterator[EngineProcess]:
    with closing(EngineProcess(EngineOptions(str(model), "tiny", threads=1))) as engine:
        yield engine


def answer(engine: EngineProcess) -> str:
    events = engine.stream(PROMPT, GREEDY, CancelToken())
    return "".join(event.text for event in events if isinstance(event, Piece))


def logits(path: Path, *adapters: tuple[str, float]) -> NDArray[np.float32]:
    """Of the token after a prompt of five."""
    from hychat.engine.llama.adapters import Adapters
    from hychat.engine.llama.bindings import lib
    from hychat.engine.llama.context import AbortFlag, Context, Entry
    from hychat.engine.llama.model import Model

    model = Model.load(str(path))
    with closing(Context(model, tokens=512, slots=1, threads=1, abort=AbortFlag())) as context:
        over = Adapters(model)
        over.use(adapters)
        over.put_over(context)
        entry = Entry(0, 0, [10, 20, 30, 40, 50], wants_logits=True)
        context.decode([entry])
        row = lib.llama_get_logits_ith(context.handle, entry.logits_index)
        return np.array(row[: model.vocab_size], dtype=np.float32)


@pytest.mark.parametrize("scale", [1.0, 0.5, -1.0])
def test_an_adapter_changes_the_logits_as_its_product_in_the_weights_does(
    folder: Path, model: Path, adapter: Path, scale: float
) -> None:
    merged = write_merged(folder / f"merged{scale}.gguf", model, scale)
    plain, over, inside = logits(model), logits(model, (str(adapter), scale)), logits(merged)
    assert np.abs(over - plain).max() > 0.1 * np.abs(plain).max()
    assert np.abs(over - inside).max() <= 0.01 * np.abs(inside).max()


def test_adapters_come_and_go_without_a_reload(engine: EngineProcess, adapter: Path) -> None:
    plain = answer(engine)
    child = engine._child
    engine.adapt([Adapter(str(adapter))])
    with_it = answer(engine)
    engine.adapt([Adapter(str(adapter), -2.0)])
    with_less = answer(engine)
    engine.adapt([])
    assert answer(engine) == plain
    assert len({plain, with_it, with_less}) == 3
    assert engine._child is child


def test_an_adapter_is_there_from_the_first_answer_on_and_after_a_crash(
    model: Path, adapter: Path, engine: EngineProcess
) -> None:
    engine.adapt([Adapter(str(adapter))])
    wanted = answer(engine)
    options = EngineOptions(str(model), "tiny", threads=1, adapters=(Adapter(str(adapter)),))
    with closing(EngineProcess(options)) as another:
        assert answer(another) == wanted
        child = another._child
        assert child is not None
        child.close()
        assert answer(another) == wanted


def test_no_kv_state_is_kept_of_what_was_read_with_an_adapter(
    engine: EngineProcess, adapter: Path, tmp_path: Path
) -> None:
    engine.adapt([Adapter(str(adapter))])
    answer(engine)
    assert not engine.keep(str(tmp_path / "state"))


def test_an_adapter_of_another_architecture_is_refused_by_both_names(
    engine: EngineProcess, folder: Path, tmp_path: Path
) -> None:
    other = write_hunyuan_moe(tmp_path / "mixture.gguf")
    stranger = write_adapter(
        folder / "stranger.gguf", folder / "model.gguf", architecture="hunyuan-moe", base="Some A13B"
    )
    assert other.exists()
    with pytest.raises(ModelUnusable, match="made for Some A13B, not for tiny: its architecture is hunyuan-moe"):
        engine.adapt([Adapter(str(stranger))])
    assert engine.adapters == ()


def test_a_model_is_no_adapter(engine: EngineProcess, model: Path) -> None:
    with pytest.raises(ModelUnusable, match="is no LoRA adapter"):
        engine.adapt([Adapter(str(model))])


def test_a_missing_adapter_is_named(engine: EngineProcess) -> None:
    with pytest.raises(ModelNotFound, match="nowhere"):
        engine.adapt([Adapter("nowhere.gguf")])


def test_one_that_is_refused_leaves_those_there_in_use(engine: EngineProcess, adapter: Path, model: Path) -> None:
    engine.adapt([Adapter(str(adapter))])
    wanted = answer(engine)
    with pytest.raises(ModelUnusable):
        engine.adapt([Adapter(str(adapter)), Adapter(str(model))])
    assert answer(engine) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a.gguf", Adapter("a.gguf")), ("a.gguf:0.5", Adapter("a.gguf", 0.5)), ("b/a.gguf:-1", Adapter("b/a.gguf", -1.0))],
)
def test_a_scale_follows_the_file(text: str, wanted: Adapter) -> None:
    assert adapter_of(text) == wanted._replace(path=str(Path(wanted.path).absolute()))


@pytest.mark.parametrize("text", ["a.gguf:much", "a.gguf:nan", "a.gguf:1000"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no scale"):
        adapter_of(text)


def test_several_are_named_with_commas_or_lines() -> None:
    assert adapters_of("/a:1, /b:0.5") == adapters_of("/a:1\n/b:0.5") == (Adapter("/a"), Adapter("/b", 0.5))
    assert adapters_of("") == ()


def test_a_name_on_a_line_of_its_own_may_hold_a_comma() -> None:
    assert adapters_of("/a,b.gguf:0.5\n") == (Adapter("/a,b.gguf", 0.5),)


def test_the_last_one_of_a_file_counts_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poet.gguf").touch()
    (tmp_path / "link.gguf").symlink_to("poet.gguf")
    file = str(tmp_path / "poet.gguf")
    assert adapters_of(f"{file}:1\npoet.gguf:2\n~/poet.gguf:0.5\n") == (Adapter(file, 0.5),)
    assert adapters_of("poet.gguf\nlink.gguf:2\n") == (Adapter(str(tmp_path / "link.gguf"), 2.0),)
    assert adapter_of("poet:3", [Adapter(file)]) == Adapter(file, 3.0)


def test_an_adapter_that_was_cut_is_told_in_our_words(engine: EngineProcess, adapter: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(adapter.read_bytes()[:-1_000])
    with pytest.raises(ModelDamaged, match=r"cut\.gguf is not whole: \d+ bytes are missing"):
        engine.adapt([Adapter(str(cut))])


def test_the_command_line_takes_an_adapter(model: Path, adapter: Path) -> None:
    asked = ("-m", str(model), "-n", "--max-tokens", "8", "--seed", "1", "-t", "0.1", "hello")
    plain, with_it = run_hychat(*asked), run_hychat(*asked, "--lora", f"{adapter}:2", "-v")
    assert (plain.code, with_it.code) == (0, 0)
    assert plain.out != with_it.out
    assert "adapters: poet (2)\n" in with_it.error


def test_an_answer_in_json_tells_what_was_over_the_model(model: Path, adapter: Path) -> None:
    asked = ("-m", str(model), "-n", "--max-tokens", "8", "hello", "--json")
    assert run_hychat(*asked).json["adapters"] == []
    told = run_hychat(*asked, "--lora", f"{adapter}:0.5").json["adapters"]
    assert told == [{"path": str(adapter), "scale": 0.5}]


def test_the_command_line_takes_the_last_scale_of_a_file_and_names_with_commas(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a,b.gguf"
    odd.write_bytes(adapter.read_bytes())
    asked = ("-m", str(model), "-n", "--max-tokens", "8", "--seed", "1", "-t", "0.1", "hello")
    twice = run_hychat(*asked, "--lora", f"{odd}:0.1", "--lora", f"{odd}:2")
    assert (twice.code, twice.out) == (0, run_hychat(*asked, "--lora", f"{adapter}:2").out)


def test_the_command_line_refuses_what_is_none(model: Path) -> None:
    ended = run_hychat("-m", str(model), "-n", "hello", "--lora", str(model))
    assert ended.code == 4
    assert re.search("is no LoRA adapter", ended.error)


def test_an_open_engine_has_its_adapters_checked_before_it_loads(model: Path) -> None:
    options = EngineOptions(str(model), "tiny", threads=1, adapters=(Adapter(str(model)),))
    with closing(EngineProcess(options)) as engine, pytest.raises(ModelUnusable):
        result_of(engine.open(CancelToken()))
