"""The load audit: what is refused, what is corrected, and that damage never ends in anything but an error of ours."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hychat.domain.errors import HychatError, ModelDamaged, ModelRefused
from hychat.engine.audit import CHAT_ARCHITECTURES, EOS_KEY, ModelFamily, audit
from hychat.engine.gguf import GgufHeader, read_header
from hychat.engine.plan import plan
from tests import tiny_models
from tests.tiny_models import Faults

WRITERS: dict[str, Callable[..., Path]] = {
    "hunyuan-dense": tiny_models.write_hunyuan_dense,
    "hunyuan-moe": tiny_models.write_hunyuan_moe,
    "hy_v3": tiny_models.write_hy_v3,
    "llama": tiny_models.write_llama,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> GgufHeader:
    return read_header(str(tiny_models.write_llama(tmp_path_factory.mktemp("audit") / "llama.gguf")))


@pytest.fixture(scope="module")
def family_a(tmp_path_factory: pytest.TempPathFactory) -> GgufHeader:
    return read_header(str(tiny_models.write_hunyuan_dense(tmp_path_factory.mktemp("audit") / "a.gguf", "A")))


@pytest.fixture(scope="module")
def family_b(tmp_path_factory: pytest.TempPathFactory) -> GgufHeader:
    return read_header(str(tiny_models.write_hunyuan_dense(tmp_path_factory.mktemp("audit") / "b.gguf", "B")))


def changed(header: GgufHeader, **keys: Any) -> GgufHeader:
    """The header with keys changed (`__` for a dot), or left out where the value is None."""
    metadata = {**header.metadata, **{name.replace("__", "."): value for name, value in keys.items()}}
    return replace(header, metadata={name: value for name, value in metadata.items() if value is not None})


def with_type(header: GgufHeader, type_id: int) -> GgufHeader:
    first, *rest = header.tensors
    return replace(header, tensors=(replace(first, type_id=type_id), *rest))


@pytest.mark.parametrize("architecture", WRITERS)
def test_a_sound_model_passes_without_overrides(path: Path, architecture: str) -> None:
    verdict = audit(read_header(str(WRITERS[architecture](path))))
    assert verdict.family.architecture == architecture
    assert verdict.overrides == {}


def test_the_verdict_tells_the_prompt_builder_the_family(family_b: GgufHeader) -> None:
    assert audit(family_b).family == ModelFamily(
        architecture="hunyuan-dense",
        tokenizer_pre="hunyuan",
        template=family_b.chat_template,
        bos="<|startoftext|>",
        eos="<|eos|>",
    )


def test_an_unknown_architecture_is_refused_with_the_release_to_look_beyond(path: Path) -> None:
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(architecture="llama99"))))
    with pytest.raises(ModelRefused, match="'llama99'") as caught:
        audit(header)
    assert "llama-cpp-python newer than 0.3.36" in caught.value.hint


def test_a_build_that_knows_more_architectures_may_say_so(path: Path) -> None:
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(architecture="llama99"))))
    assert audit(header, known_architectures={"llama99"}).family.architecture == "llama99"


def test_the_hunyuan_architectures_are_known() -> None:
    assert {"hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "hy_v3", "hy_v4"} <= CHAT_ARCHITECTURES


@pytest.mark.parametrize("keys", [{"general__architecture": "clip"}, {"general__type": "mmproj"}])
def test_a_projector_is_not_a_model(llama: GgufHeader, keys: dict[str, str]) -> None:
    with pytest.raises(ModelRefused, match="projector"):
        audit(changed(llama, **keys))


def test_a_lora_adapter_is_not_a_model(llama: GgufHeader) -> None:
    with pytest.raises(ModelRefused, match="'adapter'"):
        audit(changed(llama, general__type="adapter"))


@pytest.mark.parametrize("architecture", ["bert", "t5encoder", "gemma-embedding"])
def test_an_encoder_does_not_chat(llama: GgufHeader, architecture: str) -> None:
    with pytest.raises(ModelRefused, match="encoder"):
        audit(changed(llama, general__architecture=architecture))


@pytest.mark.parametrize("architecture", ["llada", "eagle3", "wavtokenizer-dec"])
def test_models_for_other_tasks_do_not_chat(llama: GgufHeader, architecture: str) -> None:
    with pytest.raises(ModelRefused, match="does not chat"):
        audit(changed(llama, general__architecture=architecture))


def test_a_vocabulary_without_weights_is_refused(llama: GgufHeader) -> None:
    with pytest.raises(ModelRefused, match="vocabulary only"):
        audit(replace(llama, tensors=()))


@pytest.mark.parametrize("type_id", [4, 31, 38, 43, 255])
def test_a_tensor_type_that_ggml_does_not_know_is_refused(path: Path, type_id: int) -> None:
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(extra_tensor_type=type_id))))
    with pytest.raises(ModelRefused, match=f"type {type_id},"):
        audit(header)


@pytest.mark.parametrize("type_id", [40, 42])
def test_a_hunyuan_file_with_private_types_is_refused(path: Path, type_id: int) -> None:
    faults = Faults(extra_tensor_type=type_id)
    header = read_header(str(tiny_models.write_hunyuan_dense(path, faults=faults)))
    with pytest.raises(ModelRefused, match="private type"):
        audit(header)


def test_a_file_named_after_the_private_types_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Some-MIX-STQ1_0.gguf"
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(extra_tensor_type=42))))
    with pytest.raises(ModelRefused, match="private type"):
        audit(header)


def test_other_models_may_use_those_types(path: Path) -> None:
    assert audit(read_header(str(tiny_models.write_llama(path, faults=Faults(extra_tensor_type=40)))))


def test_a_plain_text_eos_is_overridden_by_the_familys_own(path: Path) -> None:
    faults = Faults(eos_is_plain_text=True, names_eot=False)
    header = read_header(str(tiny_models.write_hunyuan_dense(path, "B", faults=faults)))
    verdict = audit(header)
    assert header.token_text(header.eos_token_id) == "$"
    assert header.token_text(verdict.overrides[EOS_KEY]) == verdict.family.eos == "<|eos|>"


def test_a_plain_text_eos_is_overridden_by_the_eot_elsewhere(path: Path) -> None:
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(eos_is_plain_text=True))))
    verdict = audit(header)
    assert verdict.family.eos == "<|im_end|>"
    assert verdict.overrides == {EOS_KEY: header.integer("tokenizer.ggml.eot_token_id")}


def test_a_plain_text_eos_without_a_better_one_is_refused(path: Path) -> None:
    faults = Faults(eos_is_plain_text=True, names_eot=False)
    with pytest.raises(ModelRefused, match=r"'\$'"):
        audit(read_header(str(tiny_models.write_llama(path, faults=faults))))


@pytest.mark.parametrize("eos", [None, -1, 10**6])
def test_an_eos_that_is_missing_or_out_of_range_is_corrected(family_a: GgufHeader, eos: int | None) -> None:
    verdict = audit(changed(family_a, **{EOS_KEY.replace(".", "__"): eos}))
    assert verdict.family.eos == "<｜hy_place▁holder▁no▁2｜>"
    assert verdict.overrides == {EOS_KEY: family_a.eos_token_id}


def test_a_vocabulary_without_token_types_is_refused(llama: GgufHeader) -> None:
    with pytest.raises(ModelRefused, match="no control token"):
        audit(changed(llama, tokenizer__ggml__token_type=None))


@pytest.mark.parametrize("architecture", ["hunyuan-dense", "hunyuan-moe", "hy_v3"])
def test_a_hunyuan_model_may_lack_its_template(path: Path, architecture: str) -> None:
    header = read_header(str(WRITERS[architecture](path, faults=Faults(has_template=False))))
    assert audit(header).family.template is None


def test_any_other_model_without_a_template_is_refused(path: Path) -> None:
    with pytest.raises(ModelRefused, match="no chat template"):
        audit(read_header(str(tiny_models.write_llama(path, faults=Faults(has_template=False)))))


def test_a_hunyuan_model_of_neither_token_family_needs_its_template(family_a: GgufHeader) -> None:
    with pytest.raises(ModelRefused, match="no chat template"):
        audit(changed(family_a, tokenizer__ggml__pre="other", tokenizer__chat_template=None))


@pytest.mark.parametrize(
    "keys",
    [
        {"llama__block_count": None},
        {"llama__block_count": 0},
        {"llama__block_count": 513},
        {"llama__block_count": "2"},
        {"llama__context_length": None},
        {"llama__embedding_length": 0},
        {"llama__expert_count": 2000},
        {"llama__expert_count": 4},
        {"llama__expert_count": 4, "llama__expert_used_count": 5},
        {"llama__expert_used_count": 2},
        {"llama__rope__scaling__type": "sideways"},
        {"tokenizer__ggml__model": None},
        {"tokenizer__ggml__tokens": None},
        {"general__architecture": None},
    ],
    ids=str,
)
def test_counts_that_would_abort_llama_cpp_are_damage(llama: GgufHeader, keys: dict[str, Any]) -> None:
    with pytest.raises(ModelDamaged):
        audit(changed(llama, **keys))


@pytest.mark.parametrize("name", ["rope__dimension_count", "attention__key_length", "attention__value_length"])
def test_heads_that_hunyuans_graph_cannot_turn_are_damage(family_a: GgufHeader, name: str) -> None:
    with pytest.raises(ModelDamaged, match="dimension_count"):
        audit(changed(family_a, **{f"hunyuan-dense__{name}": 8}))


def test_a_file_cut_in_its_weights_names_the_missing_bytes(path: Path) -> None:
    tiny_models.write_llama(path)
    path.write_bytes(path.read_bytes()[:-1000])
    header = read_header(str(path))
    missing = header.data_offset + header.tensors[-1].offset + header.tensors[-1].bytes - header.file_bytes
    with pytest.raises(ModelDamaged, match=f"{missing} bytes are missing"):
        audit(header)


def test_tensors_must_stand_one_after_the_other(llama: GgufHeader) -> None:
    *rest, last = llama.tensors
    with pytest.raises(ModelDamaged, match="does not stand where"):
        audit(replace(llama, tensors=(*rest, replace(last, offset=last.offset + llama.alignment))))


def test_a_later_part_of_a_split_model_asks_for_the_first(llama: GgufHeader) -> None:
    with pytest.raises(ModelRefused, match="part 2 of a model in 3 files") as caught:
        audit(changed(llama, split__no=1, split__count=3))
    assert "-00001-of-00003.gguf" in caught.value.hint


def test_the_first_part_of_a_split_model_passes(llama: GgufHeader) -> None:
    assert audit(changed(llama, split__no=0, split__count=3))


def test_no_message_carries_control_characters_of_the_file(path: Path) -> None:
    header = read_header(str(tiny_models.write_llama(path, faults=Faults(architecture="\x1b[31mred"))))
    with pytest.raises(ModelRefused) as caught:
        audit(header)
    assert "\x1b" not in caught.value.message + caught.value.hint


def damaged_headers(data: bytes, header_bytes: int) -> list[bytes]:
    """300 copies, one third cut somewhere in the header, the others with one to four bytes of it changed."""
    chance = random.Random(7)  # noqa: S311 - the same damage in every run
    copies = [data[: chance.randrange(header_bytes)] for _case in range(100)]
    for _case in range(200):
        copy = bytearray(data)
        for _byte in range(chance.randint(1, 4)):
            copy[chance.randrange(header_bytes)] ^= 1 << chance.randrange(8)
        copies.append(bytes(copy))
    return copies


def test_a_damaged_header_ends_in_an_error_of_ours_or_a_plan_at_once(path: Path, family_a: GgufHeader) -> None:
    data = Path(family_a.path).read_bytes()
    for case, copy in enumerate(damaged_headers(data, family_a.data_offset)):
        path.write_bytes(copy)
        start = time.perf_counter()
        try:
            header = read_header(str(path))
            audit(header)
            plan(header, available_memory_bytes=1 << 30)
        except HychatError as error:
            assert "\n" not in error.message, case  # noqa: PT017 - some damage is harmless
        assert time.perf_counter() - start < 0.2, case
