"""A GGUF's header: its keys and its tensors' names, shapes and places; never the weights.

The format is told in ggml's `docs/gguf.md` and, where that is silent, by `ggml/src/gguf.cpp`; the limits here are
llama.cpp's. Arrays are passed over, and read only when an item of them is asked for.

PyPI's `gguf` reads such files as well, but importing it takes 0.16 s (numpy) and its reader 1.9 s more on the starter
model; here the header of that file (1.8 MB, 97,000 strings) takes 9 ms.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from hychat.domain.errors import ModelDamaged, ModelRefused
from hychat.domain.generation import GenerationSettings
from hychat.engine.gguf_cursor import MARK_EVERY, UINT32, UINT64, Cursor, damaged, opened, shown
from hychat.messages import _, ngettext

F16: Final = 1

_VERSIONS: Final = (2, 3)
_FIRST_BYTES: Final = 24  # magic, version, two counts
_STRING, _ARRAY = 8, 9
_NUMBERS: Final = {
    code: Struct("<" + letter) for code, letter in (*enumerate("BbHhIif?"), (10, "Q"), (11, "q"), (12, "d"))
}
_KEYS_LIMIT: Final = 1 << 16
_KEY_BYTES_LEAST: Final = 14
_KEY_BYTES_LIMIT: Final = 65_535
_TENSORS_LIMIT: Final = 1 << 17
_TENSOR_BYTES_LEAST: Final = 33
_TENSOR_NAME_BYTES_LIMIT: Final = 63
_TENSOR_DIMENSIONS_LIMIT: Final = 4
_TENSOR_ELEMENTS_LIMIT: Final = 1 << 63
_TOP_K_LIMIT: Final = 1 << 20


class TensorType(NamedTuple):
    """One of ggml's number formats: so many elements stand in a block of so many bytes."""

    name: str
    block_elements: int
    block_bytes: int


TENSOR_TYPES: Final[Mapping[int, TensorType]] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}
"""Tensor types by id, from `ggml.h` and `ggml-common.h` of the ggml 0.25.3 inside llama-cpp-python 0.3.36."""


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array that was passed over: where its items stand in the file."""

    item_type: int
    count: int
    offset: int
    """Of the first item, from the start of the file."""
    marks: tuple[int, ...] = ()
    """Of every 1,024th string; empty for numbers."""


MetadataValue = int | float | bool | str | GgufArray


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the header says of one tensor."""

    name: str
    shape: tuple[int, ...]
    """Elements in each dimension, the one that is contiguous in memory first."""
    type_id: int
    offset: int
    """From `data_offset`."""
    bytes: int
    """0 when the type is not in `TENSOR_TYPES`."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """All that stands before the weights. Properties are None where the key is missing or of another type."""

    path: str
    version: int
    metadata: Mapping[str, MetadataValue]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    """Where the weights start, from the start of the file."""
    file_bytes: int

    def text(self, key: str) -> str | None:
        """The string under this key."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """The whole number under this key."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """The finite number under this key."""
        value = self.metadata.get(key)
        is_finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_finite and isinstance(value, int | float) else None

    def array(self, key: str, *, of_strings: bool) -> GgufArray | None:
        """The array of strings, or of numbers, under this key."""
        value = self.metadata.get(key)
        return value if isinstance(value, GgufArray) and (value.item_type == _STRING) is of_strings else None

    def array_item(self, key: str, index: int) -> float | bool | str:
        """One item of an array, read from the file.

        Raises:
            KeyError: There is no array under this key.
            IndexError: The array is shorter.
            ModelDamaged: The file has changed since.
        """
        array = self._array(key)
        if not 0 <= index < array.count:
            raise IndexError(index)
        with opened(self.path) as cursor:
            if array.item_type == _STRING:
                mark, rest = divmod(index, MARK_EVERY)
                cursor.position = array.marks[mark]
                cursor.skip_texts(rest)
                return cursor.text(errors="replace")
            cursor.position = array.offset + index * _NUMBERS[array.item_type].size
            return cursor.number(_NUMBERS[array.item_type])

    def array_items(self, key: str) -> tuple[float | bool | str, ...]:
        """All items of an array, read from the file; raises as `array_item` does."""
        array = self._array(key)
        with opened(self.path) as cursor:
            cursor.position = array.offset
            if array.item_type == _STRING:
                return tuple(cursor.text(errors="replace") for _item in range(array.count))
            return cursor.numbers(_NUMBERS[array.item_type], array.count)

    def _array(self, key: str) -> GgufArray:
        array = self.metadata.get(key)
        if not isinstance(array, GgufArray):
            raise KeyError(key)
        return array

    @property
    def architecture(self) -> str | None:
        """Which of llama.cpp's models this is; it names the keys below as well."""
        return self.text("general.architecture")

    @property
    def context_tokens(self) -> int | None:
        """The context the model was trained for, or what its converter wrote."""
        return self.integer(f"{self.architecture}.context_length")

    @property
    def block_count(self) -> int | None:
        """Layers."""
        return self.integer(f"{self.architecture}.block_count")

    @property
    def embedding_length(self) -> int | None:
        """Width of the residual stream."""
        return self.integer(f"{self.architecture}.embedding_length")

    @property
    def feed_forward_length(self) -> int | tuple[int, ...] | None:
        """Width of the feed-forward layers."""
        return self._per_layer("feed_forward_length")

    @property
    def head_count(self) -> int | tuple[int, ...] | None:
        """Attention heads of every layer, or of each."""
        return self._per_layer("attention.head_count")

    @property
    def head_count_kv(self) -> int | tuple[int, ...] | None:
        """Key and value heads of every layer, or of each; as many as attention heads when not said."""
        counts = self._per_layer("attention.head_count_kv")
        return self.head_count if counts is None else counts

    @property
    def key_length(self) -> int | None:
        """Elements of one head's key."""
        return self._head_length("attention.key_length")

    @property
    def value_length(self) -> int | None:
        """Elements of one head's value."""
        return self._head_length("attention.value_length")

    @property
    def expert_count(self) -> int:
        """Experts of each mixture layer; 0 for a dense model."""
        return self.integer(f"{self.architecture}.expert_count") or 0

    @property
    def expert_used_count(self) -> int:
        """Experts that one token passes through, in the layer that uses most."""
        return largest(self._per_layer("expert_used_count"))

    @property
    def expert_shared_count(self) -> int:
        """Experts that every token passes through."""
        return self.integer(f"{self.architecture}.expert_shared_count") or 0

    @property
    def vocabulary_size(self) -> int:
        """Tokens in the vocabulary."""
        tokens = self.array("tokenizer.ggml.tokens", of_strings=True)
        return tokens.count if tokens else 0

    @property
    def chat_template(self) -> str | None:
        """The Jinja text that lays out a chat."""
        return self.text("tokenizer.chat_template") or None

    @property
    def tokenizer_pre(self) -> str | None:
        """How text is cut before byte pairs are merged; it tells Hunyuan's two token families apart."""
        return self.text("tokenizer.ggml.pre")

    @property
    def bos_token_id(self) -> int | None:
        """The token a prompt begins with."""
        return self.integer("tokenizer.ggml.bos_token_id")

    @property
    def eos_token_id(self) -> int | None:
        """The token an answer ends with."""
        return self.integer("tokenizer.ggml.eos_token_id")

    def token_text(self, token_id: int | None) -> str:
        """A token as the vocabulary writes it; empty when there is no such token."""
        if token_id is None or not 0 <= token_id < self.vocabulary_size:
            return ""
        return str(self.array_item("tokenizer.ggml.tokens", token_id))

    def token_type(self, token_id: int) -> int | None:
        """What kind of token this is: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte."""
        types = self.array("tokenizer.ggml.token_type", of_strings=False)
        if types is None or not 0 <= token_id < types.count:
            return None
        kind = self.array_item("tokenizer.ggml.token_type", token_id)
        return kind if isinstance(kind, int) else None

    @property
    def split_count(self) -> int:
        """Files that the model is spread over."""
        return max(1, self.integer("split.count") or 1)

    @property
    def split_number(self) -> int:
        """Which of them this is, from 0."""
        return self.integer("split.no") or 0

    @property
    def total_tensors(self) -> int:
        """Tensors in all files together."""
        return self.integer("split.tensors.count") or len(self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the weights in this file."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def missing_bytes(self) -> int:
        """How much of the weights the file lacks, by the places of its tensors."""
        end = max((self.data_offset + tensor.offset + tensor.bytes for tensor in self.tensors), default=0)
        return max(0, end - self.file_bytes)

    def kv_bytes_per_token(self, type_id: int = F16) -> int:
        """Bytes that one token takes in the KV cache: layers x KV heads x (key + value length) x bytes of an element.

        An upper bound for models with sliding windows or compressed keys; nothing for layers without attention.
        """
        layers, heads = self.block_count or 0, self.head_count_kv or 0
        all_heads = sum(heads[:layers]) if isinstance(heads, tuple) else heads * layers
        elements = all_heads * ((self.key_length or 0) + (self.value_length or 0))
        kind = TENSOR_TYPES[type_id]
        return elements * kind.block_bytes // kind.block_elements

    @property
    def sampling_defaults(self) -> GenerationSettings:
        """What the model's makers advise (`general.sampling.*`); llama-cpp-python does not look at it."""
        top_k = self._advice("top_k", _TOP_K_LIMIT, least=-1)  # -1 keeps all
        return GenerationSettings(
            temperature=self._advice("temp", 10),
            top_k=None if top_k is None else int(top_k),
            top_p=self._advice("top_p", 1),
            min_p=self._advice("min_p", 1),
            repeat_penalty=self._advice("penalty_repeat", 10),
        )

    def _advice(self, name: str, most: float, *, least: float = 0) -> float | None:
        """A sampling figure, to the digits that a 32-bit float holds; None where it makes no sense."""
        value = self.number(f"general.sampling.{name}")
        return None if value is None or not least <= value <= most else float(f"{value:.7g}")

    def _per_layer(self, name: str) -> int | tuple[int, ...] | None:
        key = f"{self.architecture}.{name}"
        if self.array(key, of_strings=False):
            return tuple(int(item) for item in self.array_items(key) if math.isfinite(float(item)))
        return self.integer(key)

    def _head_length(self, name: str) -> int | None:
        said = self.integer(f"{self.architecture}.{name}")
        heads = largest(self.head_count)
        return said if said is not None or not heads else (self.embedding_length or 0) // heads


def read_header(path: str) -> GgufHeader:
    """The header of a GGUF, version 2 or 3, little endian.

    Raises:
        ModelNotFound: There is no such file.
        ModelDamaged: It cannot be read, is no GGUF, or breaks the format; the error says where.
        ModelRefused: It is of another version or byte order.
    """
    with opened(path) as cursor:
        return header_at(cursor)


def check_whole(header: GgufHeader) -> None:
    """Whether the file holds all of its weights.

    Raises:
        ModelDamaged: It was cut.
    """
    if missing := header.missing_bytes:
        message = ngettext(
            "{path} is not whole: {missing} byte is missing.",
            "{path} is not whole: {missing} bytes are missing.",
            missing,
        )
        raise damaged(message, header.path, missing=missing)


def header_at(cursor: Cursor) -> GgufHeader:
    """The header of the file that a cursor stands at the start of. Raises as `read_header`."""
    version = _read_version(cursor)
    tensor_count = cursor.count(item_bytes=_TENSOR_BYTES_LEAST, most=_TENSORS_LIMIT)
    key_count = cursor.count(item_bytes=_KEY_BYTES_LEAST, most=_KEYS_LIMIT)
    metadata = _read_metadata(cursor, key_count)
    alignment = _alignment(metadata, cursor.path)
    tensors = _read_tensors(cursor, tensor_count, alignment)
    data_offset = -(-cursor.position // alignment) * alignment
    return GgufHeader(cursor.path, version, metadata, tensors, alignment, data_offset, cursor.file_bytes)


def _read_version(cursor: Cursor) -> int:
    path = cursor.path
    if cursor.file_bytes == 0:
        raise damaged(_("{path} is empty."), path)
    if cursor.file_bytes < _FIRST_BYTES or cursor.take(4) != b"GGUF":
        raise damaged(_("{path} is not a GGUF: it does not begin like one."), path)
    raw = cursor.take(4)
    version = int.from_bytes(raw, "little")
    if version in _VERSIONS:
        return version
    if int.from_bytes(raw, "big") in _VERSIONS:
        message = _("{path} is a big-endian GGUF, which cannot be run here.")
        raise ModelRefused(message.format(path=path), hint=_("Take the model's little-endian file."))
    message = _("{path} is a GGUF of version {version}; versions 2 and 3 can be read.")
    raise ModelRefused(message.format(path=path, version=version), hint=_("Take another file of the model."))


def _read_metadata(cursor: Cursor, count: int) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {}
    for _key in range(count):
        key = cursor.text(most_bytes=_KEY_BYTES_LIMIT)
        if key in metadata:
            raise damaged(_("{path} is damaged: the key {key} stands in it twice."), cursor.path, key=shown(key))
        metadata[key] = _read_value(cursor, key)
    return metadata


def _read_value(cursor: Cursor, key: str) -> MetadataValue:
    code = int(cursor.number(UINT32))
    if code == _STRING:
        return cursor.text()
    if code == _ARRAY:
        return _pass_array(cursor, key)
    return cursor.number(_number_kind(cursor, key, code))


def _pass_array(cursor: Cursor, key: str) -> GgufArray:
    """An array. The format knows arrays of arrays, llama.cpp takes none."""
    code = int(cursor.number(UINT32))
    if code == _STRING:
        count = cursor.count(item_bytes=UINT64.size)
        return GgufArray(code, count, cursor.position, cursor.skip_texts(count))
    item_bytes = _number_kind(cursor, key, code).size
    count = cursor.count(item_bytes=item_bytes)
    array = GgufArray(code, count, cursor.position)
    cursor.skip(count * item_bytes)
    return array


def _number_kind(cursor: Cursor, key: str, code: int) -> Struct:
    if code not in _NUMBERS:
        message = _("{path} is damaged: the value of its key {key} is of the impossible type {code}.")
        raise damaged(message, cursor.path, key=shown(key), code=code)
    return _NUMBERS[code]


def _alignment(metadata: Mapping[str, MetadataValue], path: str) -> int:
    alignment = metadata.get("general.alignment", 32)
    if isinstance(alignment, int) and alignment > 0 and alignment.bit_count() == 1:
        return alignment
    raise damaged(_("{path} is damaged: its alignment is not a power of two."), path)


def _read_tensors(cursor: Cursor, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    tensors: dict[str, TensorInfo] = {}
    for _tensor in range(count):
        tensor = _read_tensor(cursor)
        name = shown(tensor.name)
        if tensor.name in tensors:
            raise damaged(_("{path} is damaged: the tensor {name} stands in it twice."), cursor.path, name=name)
        if tensor.offset % alignment:
            raise damaged(_("{path} is damaged: the tensor {name} is not aligned."), cursor.path, name=name)
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _read_tensor(cursor: Cursor) -> TensorInfo:
    name = cursor.text(most_bytes=_TENSOR_NAME_BYTES_LIMIT)
    dimensions = min(int(cursor.number(UINT32)), _TENSOR_DIMENSIONS_LIMIT + 1)
    shape = tuple(int(elements) for elements in cursor.numbers(UINT64, dimensions))
    type_id, offset = int(cursor.number(UINT32)), int(cursor.number(UINT64))
    kind = TENSOR_TYPES.get(type_id, TensorType("", 1, 0))
    elements = math.prod(shape)
    is_sound = 1 <= dimensions <= _TENSOR_DIMENSIONS_LIMIT and 0 < elements < _TENSOR_ELEMENTS_LIMIT
    if not is_sound or shape[0] % kind.block_elements:
        raise damaged(_("{path} is damaged: the tensor {name} has an impossible shape."), cursor.path, name=shown(name))
    return TensorInfo(name, shape, type_id, offset, elements // kind.block_elements * kind.block_bytes)


def largest(counts: int | tuple[int, ...] | None) -> int:
    """Of a figure that a header gives for every layer, or for each: the largest; 0 where it gives none."""
    return max(counts, default=0) if isinstance(counts, tuple) else counts or 0


def all_parts(header: GgufHeader) -> tuple[GgufHeader, ...]:
    """The headers of all files of a split model, found beside its first by llama.cpp's naming; of one file, its own.

    Raises:
        ModelDamaged: It is not the first, or not named as one, or another is missing, cut or damaged.
    """
    first, count, parts = Path(header.path), header.split_count, [header]
    ending = f"-00001-of-{count:05}.gguf"
    if count > 1 and (header.split_number or not first.name.endswith(ending)):
        message = _("{path} is one of {count} files of a model, and not named as the first.")
        hint = _("Give the first of them: its name ends in -00001-of-{count:05}.gguf.").format(count=count)
        raise ModelDamaged(message.format(path=header.path, count=count), hint=hint)
    for number in range(2, count + 1):
        part = first.with_name(f"{first.name.removesuffix(ending)}-{number:05}-of-{count:05}.gguf")
        if not part.is_file():
            raise damaged(_("{path} is not whole: its part {part} is missing."), header.path, part=part.name)
        parts.append(read_header(str(part)))
        if parts[-1].split_number != number - 1:
            raise damaged(_("{path} is damaged: it is not the part that its name says."), str(part))
        check_whole(parts[-1])
    return tuple(parts)
