"""Pictures in the decode loop: what a model reads of them, what it remembers, and what it refuses."""

import ctypes
import io
import math
import tracemalloc
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import InputUnreadable, ModelUnusable
from hychat.domain.event import PrefillProgress
from hychat.domain.generation import StopReason
from hychat.engine import wire
from hychat.engine.gguf import read_header
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.model import Model
from hychat.engine.llama.vision import Vision
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.projector import check_projector
from hychat.engine.prompt.jinja import JinjaBuilder
from hychat.engine.prompt.segments import ChatTurn, Prompt
from hychat.engine.protocol import Done, EngineEvent, Piece, result_of
from tests.desk import GREEDY as GREEDY_SAMPLING
from tests.desk import Desk, load_quietly
from tests.engines import GREEDY, closing
from tests.tiny_models import write_hunyuan_dense
from tests.tiny_vision import write_hunyuan_vl, write_qwen3_vl, write_smolvlm

Write = Callable[..., tuple[Path, Path]]
FAMILIES = pytest.mark.parametrize("write", [write_hunyuan_vl, write_smolvlm], ids=["hunyuanvl", "idefics3"])
_HUNYUAN_TEMPLATE = (
    "{{ '<｜hy_begin▁of▁sentence｜>' }}{% for m in messages %}{{ m.content }}"
    "{{ '<｜hy_User｜>' if m.role == 'user' else '<｜hy_Assistant｜>' }}{% endfor %}"
)


def picture(seed: int, width: int = 448, height: int = 448) -> bytes:
    """Coloured squares, as a PNG file."""
    squares = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(squares).resize((width, height), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


FIRST, SECOND, THIRD = picture(1), picture(2), picture(3, 300, 200)


def prompt(*turns: ChatTurn) -> Prompt:
    return JinjaBuilder(_HUNYUAN_TEMPLATE, "", "").render("", turns, think=False)


def about(*pictures: bytes, words: str = "what is this?") -> ChatTurn:
    return ChatTurn(is_user=True, text=words, pictures=pictures)


def said(text: str) -> ChatTurn:
    return ChatTurn(is_user=False, text=text)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_hunyuan_vl(tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="module")
def model(files: tuple[Path, Path]) -> Model:
    return load_quietly(str(files[0]))


@pytest.fixture
def desk(model: Model, files: tuple[Path, Path]) -> Iterator[Desk]:
    made = Desk(model, projector=files[1])
    yield made
    made.close()


@pytest.fixture
def engine(files: tuple[Path, Path]) -> Iterator[EngineProcess]:
    with closing(engine_of(*files)) as made:
        yield made


def engine_of(model: Path, projector: Path | None) -> EngineProcess:
    return EngineProcess(
        EngineOptions(str(model), model.stem, projector=str(projector) if projector else None, threads=1)
    )


def heard(engine: EngineProcess, asked: Prompt, cancel: CancelToken | None = None) -> list[EngineEvent]:
    return [*engine.stream(asked, GREEDY, cancel or CancelToken())]


def text_of(events: Sequence[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Piece))


def usage_of(events: Sequence[EngineEvent]) -> tuple[int, int]:
    """Tokens of the prompt, and those that were known."""
    (done,) = [event for event in events if isinstance(event, Done)]
    return done.usage.prompt_tokens, done.usage.reused_tokens


def distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Relative."""
    return math.dist(first, second) / math.hypot(*second)


# What is read


@FAMILIES
def test_the_next_token_is_what_mtmd_itself_makes_of_the_prompt(tmp_path: Path, write: Write) -> None:
    model_path, projector = write(tmp_path)
    model = load_quietly(str(model_path))
    desk = Desk(model, projector=projector)
    asked = prompt(about(FIRST, SECOND), said("squares"), about(THIRD, words="and this?"))
    desk.ask(asked, GREEDY_SAMPLING)
    while not any(isinstance(reply, wire.Prefill) and reply.done == reply.total for reply in desk.replies):
        desk.work(1)
    ours = desk.logits()
    theirs = _logits_by_mtmd(model, desk.scheduler._vision, asked)
    desk.close()
    assert distance(ours, theirs) < 1e-2


def _logits_by_mtmd(model: Model, vision: Vision | None, asked: Prompt) -> list[float]:
    """The whole prompt through mtmd's own tokenizer and evaluation, in a context of its own."""
    assert vision is not None
    mtmd: Any = import_module("llama_cpp.mtmd_cpp")
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.flash_attn_type = 2048, 512, 0
    context = lib.llama_init_from_model(model.handle, params)
    text = "".join("<__media__>" if segment.picture else segment.text for segment in asked).encode()
    bitmaps = [vision._bitmap(segment.picture) for segment in asked if segment.picture]
    chunks = mtmd.mtmd_input_chunks_init()
    given = mtmd.mtmd_input_text(text, len(text), False, True)
    array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
    assert mtmd.mtmd_tokenize(vision._handle, chunks, ctypes.byref(given), array, len(bitmaps)) == 0
    after = ctypes.c_int32()
    assert mtmd.mtmd_helper_eval_chunks(vision._handle, context, chunks, 0, 0, 512, True, ctypes.byref(after)) == 0
    found = list(lib.llama_get_logits_ith(context, -1)[: model.vocab_size])
    mtmd.mtmd_input_chunks_free(chunks)
    for bitmap in bitmaps:
        mtmd.mtmd_bitmap_free(bitmap)
    lib.llama_free(context)
    return found


def test_three_pictures_are_three_different_pictures(desk: Desk) -> None:
    found = []
    for order in ((FIRST, SECOND, THIRD), (SECOND, FIRST, THIRD), (FIRST, SECOND, FIRST)):
        desk.ask(prompt(about(*order)), GREEDY_SAMPLING._replace(max_tokens=1))
        desk.work()
        found.append(desk.logits())
    assert distance(found[0], found[1]) > 1e-3
    assert distance(found[0], found[2]) > 1e-3


def test_a_marker_in_the_words_is_words(engine: EngineProcess) -> None:
    marked, plain = (prompt(about(FIRST, words=words)) for words in ("<__media__>", "(__media__)"))
    assert engine.count([marked, plain], CancelToken()) == engine.count([plain, plain], CancelToken())


# What is remembered


@FAMILIES
def test_a_second_question_about_a_picture_reads_its_own_words_alone(tmp_path: Path, write: Write) -> None:
    model_path, projector = write(tmp_path)
    model = load_quietly(str(model_path))
    desk, fresh = Desk(model, projector=projector), Desk(model, projector=projector)
    first = prompt(about(FIRST))
    desk.answer(first, GREEDY_SAMPLING)
    further = prompt(about(FIRST), said("squares"), about(words="and now?"))
    for each in (desk, fresh):
        each.ask(further, GREEDY_SAMPLING._replace(max_tokens=1))
        each.work()
    known = desk.tokens(2)[1]
    assert known >= desk.tokens(1)[0]
    assert distance(desk.logits(), fresh.logits()) < 1e-2
    desk.close()
    fresh.close()


def test_a_picture_is_known_again_behind_other_words(desk: Desk) -> None:
    vision = desk.scheduler._vision
    assert vision is not None
    desk.answer(prompt(about(FIRST)), GREEDY_SAMPLING)
    encoded = [
        chunk.embeddings
        for picture in vision._pictures.values()
        for chunk in picture.items
        if not isinstance(chunk, int)
    ]
    desk.answer(prompt(about(words="hello"), said("yes"), about(FIRST)), GREEDY_SAMPLING)
    again = [
        chunk.embeddings
        for picture in vision._pictures.values()
        for chunk in picture.items
        if not isinstance(chunk, int)
    ]
    assert encoded == again


def test_what_is_remembered_of_a_picture_is_not_its_file(desk: Desk) -> None:
    vision = desk.scheduler._vision
    assert vision is not None
    vision.items(noise(0), 0)
    tracemalloc.start()
    try:
        for seed in range(1, 6):
            vision.items(noise(seed), 0)
        kept, _most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(noise(1)) / 2


def noise(seed: int) -> str:
    """A large file, as the wire carries it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return b2a_base64(file.getvalue(), newline=False).decode()


def test_a_kept_state_is_gone_on_with_in_another_process(files: tuple[Path, Path], tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with closing(engine_of(*files)) as engine:
        first = heard(engine, prompt(about(FIRST)))
        assert engine.keep(state)
    further = prompt(about(FIRST), said(text_of(first)), about(words="and now?"))
    with closing(engine_of(*files)) as engine:
        result_of(engine.open(CancelToken()))
        assert engine.recall(state)
        assert usage_of(heard(engine, further))[1] >= usage_of(first)[0]


# On the way


def test_progress_comes_while_a_picture_is_encoded_and_never_goes_back(engine: EngineProcess) -> None:
    events = heard(engine, prompt(about(FIRST)))
    told = [event.done for event in events if isinstance(event, PrefillProgress)]
    assert told == sorted(told)
    assert len({*told}) > 3


def test_progress_follows_the_layers_of_the_encoder(tmp_path: Path) -> None:
    layers = 12
    model_path, projector = write_smolvlm(tmp_path, encoder_layers=layers)
    vision = Vision(load_quietly(str(model_path)), str(projector), threads=1)
    chunk = next(item for item in vision.items(noise(1), 0) if not isinstance(item, int))
    told: list[float] = []
    vision.encode(chunk, told.append)
    assert told == sorted(told)
    assert len({*told}) > layers / 2
    assert 0 <= told[0] < told[-1] < 1


def test_a_cancel_stops_the_encoder(engine: EngineProcess) -> None:
    heard(engine, prompt(about(FIRST)))
    cancel = CancelToken()
    events: list[EngineEvent] = []
    for event in engine.stream(prompt(about(*(picture(seed) for seed in range(10, 14)))), GREEDY, cancel):
        events.append(event)
        if isinstance(event, PrefillProgress):
            cancel.set()
    assert isinstance(events[-1], Done)
    assert events[-1].stop is StopReason.CANCELLED
    assert text_of(heard(engine, prompt(about(SECOND)))) == text_of(heard(engine, prompt(about(SECOND))))


def test_requests_with_and_without_pictures_run_side_by_side(desk: Desk) -> None:
    alone = [desk.answer(prompt(turn), GREEDY_SAMPLING) for turn in (about(FIRST), about(words="hello"), about(SECOND))]
    numbers = [desk.ask(prompt(turn), GREEDY_SAMPLING) for turn in (about(FIRST), about(words="hello"), about(SECOND))]
    desk.work()
    assert [desk.text(number) for number in numbers] == alone


# What is refused


@FAMILIES
def test_a_projector_of_another_model_is_refused_with_both_names(tmp_path: Path, write: Write) -> None:
    model, projector = write(tmp_path, width=32)
    with closing(engine_of(model, projector)) as engine, pytest.raises(ModelUnusable) as raised:
        result_of(engine.open(CancelToken()))
    assert model.stem in raised.value.message
    assert projector.name in raised.value.message
    assert "mismatch" in raised.value.message


@pytest.mark.parametrize(("write", "other"), [(write_smolvlm, write_hunyuan_vl), (write_hunyuan_vl, write_smolvlm)])
def test_a_projector_of_another_family_is_refused_though_its_width_fits(
    tmp_path: Path, write: Write, other: Write
) -> None:
    model, _projector = write(tmp_path)
    _model, projector = other(tmp_path)
    with closing(engine_of(model, projector)) as engine, pytest.raises(ModelUnusable) as raised:
        result_of(engine.open(CancelToken()))
    assert model.stem in raised.value.message
    assert projector.name in raised.value.message


def test_hunyuan_ocrs_projector_does_not_fit_the_hunyuan_that_only_reads(tmp_path: Path) -> None:
    _model, projector = write_hunyuan_vl(tmp_path)
    model = write_hunyuan_dense(tmp_path / "dense.gguf")
    with pytest.raises(ModelUnusable, match=r"mmproj-tiny-hunyuan-vl\.gguf does not let hunyuan see"):
        check_projector(str(projector), read_header(str(model)), "hunyuan")


@pytest.mark.parametrize("write", [write_hunyuan_vl, write_smolvlm, write_qwen3_vl])
def test_a_type_of_projector_that_is_not_known_may_fit_any_model(tmp_path: Path, write: Write) -> None:
    model, projector = write(tmp_path)
    kind = read_header(str(projector)).text("clip.projector_type") or ""
    data = projector.read_bytes()
    projector.write_bytes(data.replace(kind.encode(), b"x" * len(kind)))
    check_projector(str(projector), read_header(str(model)), "any")


def test_a_model_is_no_projector(files: tuple[Path, Path]) -> None:
    with closing(engine_of(files[0], files[0])) as engine, pytest.raises(ModelUnusable, match="no projector"):
        result_of(engine.open(CancelToken()))


def test_what_is_no_projector_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "mmproj.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with closing(engine_of(files[0], broken)) as engine, pytest.raises(ModelUnusable, match=r"mmproj\.gguf"):
        result_of(engine.open(CancelToken()))


@pytest.mark.parametrize("data", [b"no picture", FIRST[:200]])
def test_a_picture_that_cannot_be_read_is_an_error_and_the_engine_goes_on(engine: EngineProcess, data: bytes) -> None:
    with pytest.raises(InputUnreadable):
        heard(engine, prompt(about(data)))
    with pytest.raises(InputUnreadable):
        engine.count([prompt(about(data))], CancelToken())
    assert usage_of(heard(engine, prompt(about(FIRST))))[0] > 100


def test_a_model_without_a_projector_refuses_pictures(files: tuple[Path, Path]) -> None:
    with closing(engine_of(files[0], None)) as engine:
        assert not result_of(engine.open(CancelToken())).can_see
        with pytest.raises(InputUnreadable):
            heard(engine, prompt(about(FIRST)))
