"""What a model can be quantized to: llama.cpp's names of its mixes, and the number format that most of each mix is in."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hychat.domain.errors import UsageError
from hychat.engine.gguf import TENSOR_TYPES, TensorType
from hychat.messages import _


class FileType(NamedTuple):
    """A mix of number formats."""

    id: int
    """`llama_ftype` (`llama.h`)."""
    format: str
    """Of most matrices."""
    needs_imatrix: bool = False
    """Whether llama.cpp refuses it without an importance matrix."""


FILE_TYPES: Final[Mapping[str, FileType]] = {
    "F32": FileType(0, "F32"),
    "BF16": FileType(32, "BF16"),
    "F16": FileType(1, "F16"),
    "Q8_0": FileType(7, "Q8_0"),
    "Q6_K": FileType(18, "Q6_K"),
    "Q5_K_M": FileType(17, "Q5_K"),
    "Q5_K_S": FileType(16, "Q5_K"),
    "Q5_1": FileType(9, "Q5_1"),
    "Q5_0": FileType(8, "Q5_0"),
    "Q4_K_M": FileType(15, "Q4_K"),
    "Q4_K_S": FileType(14, "Q4_K"),
    "Q4_1": FileType(3, "Q4_1"),
    "Q4_0": FileType(2, "Q4_0"),
    "IQ4_NL": FileType(25, "IQ4_NL"),
    "IQ4_XS": FileType(30, "IQ4_XS"),
    "MXFP4_MOE": FileType(38, "MXFP4"),
    "Q3_K_L": FileType(13, "Q3_K"),
    "Q3_K_M": FileType(12, "Q3_K"),
    "Q3_K_S": FileType(11, "Q3_K"),
    "IQ3_M": FileType(27, "IQ3_S"),
    "IQ3_S": FileType(26, "IQ3_S"),
    "IQ3_XS": FileType(22, "IQ3_S"),
    "IQ3_XXS": FileType(23, "IQ3_XXS", needs_imatrix=True),
    "Q2_K": FileType(10, "Q2_K"),
    "Q2_K_S": FileType(21, "Q2_K", needs_imatrix=True),
    "IQ2_M": FileType(29, "IQ2_S", needs_imatrix=True),
    "IQ2_S": FileType(28, "IQ2_XS", needs_imatrix=True),
    "IQ2_XS": FileType(20, "IQ2_XS", needs_imatrix=True),
    "IQ2_XXS": FileType(19, "IQ2_XXS", needs_imatrix=True),
    "IQ1_M": FileType(31, "IQ1_M", needs_imatrix=True),
    "IQ1_S": FileType(24, "IQ1_S", needs_imatrix=True),
}
"""By llama-quantize's names, from large to small, as of llama-cpp-python 0.3.36; without those that need training."""

_FORMATS: Final = tuple(dict.fromkeys(kind.format for kind in FILE_TYPES.values()))
_TYPE_IDS: Final = {kind.name: type_id for type_id, kind in TENSOR_TYPES.items()}


def file_type(name: str) -> FileType:
    """The mix of that name, in capitals or not.

    Raises:
        UsageError: There is none.
    """
    found = FILE_TYPES.get(name.upper())
    if found is None:
        raise UsageError(
            _("There is no quantization {name}.").format(name=name),
            hint=_("Known here: {keys}.").format(keys=", ".join(FILE_TYPES)),
        )
    return found


def formats_by_pattern(said: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Wishes such as `attn_v=Q8_0`: patterns of tensors' names, and number formats.

    Raises:
        UsageError: One is no such wish, or of no format that llama.cpp quantizes to.
    """
    wishes = [wish.rpartition("=") for wish in said]
    for pattern, _equals, name in wishes:
        if not pattern or name.upper() not in _FORMATS:
            raise UsageError(
                _("{wish} is no pattern of names and number format.").format(wish=f"{pattern}={name}"),
                hint=_("Write it as attn_v=Q8_0; known formats: {keys}.").format(keys=", ".join(_FORMATS)),
            )
    return tuple((pattern, name.upper()) for pattern, _equals, name in wishes)


def tensor_type(name: str) -> TensorType:
    """A number format by ggml's name of it, in capitals or not. Raises KeyError where there is none."""
    return TENSOR_TYPES[_TYPE_IDS[name.upper()]]


def type_id(name: str) -> int:
    """Its number in ggml."""
    return _TYPE_IDS[name.upper()]
