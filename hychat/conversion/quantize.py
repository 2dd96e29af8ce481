"""Quantizing a GGUF: what is asked for, whether it makes sense, and what came of it."""

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hychat.conversion.file_types import file_type, tensor_type, type_id
from hychat.conversion.whole_file import check_room, whole_file
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, ModelDamaged, ModelRefused, UsageError
from hychat.engine.audit import audit
from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, TensorType, all_parts, read_header
from hychat.engine.imatrix import ImportanceMatrix, read_imatrix
from hychat.engine.task import Progress, run_task
from hychat.messages import _

_SHARED: Final = r"(attn_(q|k|v|qkv|output)|ffn_(gate|up|down)(_shexp)?)\.weight"
_SHARED_FORMAT: Final = "Q8_0"
"""What every token of a mixture goes through is a small part of it. In the Hunyuan mixtures this adds three percent to the file,
and saves more quality than Q4_K_M's finer down projections, which add six (`tests/bench/int4.py` measures it).

The router (`ffn_gate_inp`) llama.cpp never quantizes (`tensor_allows_quantization` in `llama-quant.cpp`)."""
_TEMPLATE_KEY: Final = "tokenizer.chat_template"
_F16_BYTES, _F32_BYTES = 2, 4
_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Quantization:
    """What is to be made of which model."""

    source: Path
    file_type: str
    """A name of `FILE_TYPES`."""
    imatrix: Path | None = None
    keeps_shared: bool = True
    """Whether what every token of a mixture goes through, attention and shared experts, is kept in more bits than the others."""
    allows_requantizing: bool = False
    """Whether the source may be quantized itself."""
    threads: int | None = None
    formats: tuple[tuple[str, str], ...] = ()
    """Patterns (regular expressions) of names, and the number formats of tensors that match; the first one counts."""


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor, before and after."""

    name: str
    shape: tuple[int, ...]
    before: str
    after: str

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def bytes_as(self, kind: str) -> int:
        """What it takes in a number format."""
        found = tensor_type(kind)
        return self.elements // found.block_elements * found.block_bytes

    @property
    def f16_bytes(self) -> int:
        """What it takes in a model at 16 bits, where vectors have 32."""
        is_matrix = math.prod(self.shape[1:]) > 1
        return self.elements * (_F16_BYTES if is_matrix else _F32_BYTES)


@dataclass(frozen=True)
class Quantized:
    """What came of it, or would."""

    tensors: tuple[TensorChange, ...]
    fallbacks: tuple[str, ...]
    """Tensors whose rows fit no block of the format that was meant for them, so that llama.cpp took another."""
    file_bytes: int
    """Of the new file; of one that was not written, within a kilobyte."""
    remark: str = ""
    """What hychat would say to the new file if it were asked to load it; empty when it would load it."""

    @cached_property
    def bytes_before(self) -> int:
        """Of the weights."""
        return sum(tensor.bytes_as(tensor.before) for tensor in self.tensors)

    @cached_property
    def bytes_after(self) -> int:
        """Of the weights."""
        return sum(tensor.bytes_as(tensor.after) for tensor in self.tensors)

    @cached_property
    def f16_bytes(self) -> int:
        """Of the weights, at 16 bits."""
        return sum(tensor.f16_bytes for tensor in self.tensors)

    @property
    def rounded_twice(self) -> int:
        """Tensors that were quantized before, and are now in another way."""
        changed = (t for t in self.tensors if t.before != t.after)
        return sum(_is_quantized(tensor_type(t.before)) and _is_quantized(tensor_type(t.after)) for t in changed)

    @property
    def bits_per_weight(self) -> float:
        """On the average."""
        return self.bytes_after * _BITS / sum(tensor.elements for tensor in self.tensors)

    @cached_property
    def mix(self) -> Mapping[str, int]:
        """Bytes by number format, most first."""
        counted: Counter[str] = Counter()
        for tensor in self.tensors:
            counted[tensor.after.upper()] += tensor.bytes_as(tensor.after)
        return dict(counted.most_common())


def forecast(wanted: Quantization, cancel: CancelToken) -> Quantized:
    """What would come of it; nothing is written. Raises as `quantize`."""
    header = _checked(wanted)
    told = run_task("quantize", _arguments(wanted, header, target=None), cancel)
    result = _quantized(told, file_bytes=0)
    data = sum(-(-t.bytes_as(t.after) // header.alignment) * header.alignment for t in result.tensors)
    return replace(result, file_bytes=header.data_offset + data, remark=_remark(header))


def quantize(
    wanted: Quantization,
    target: Path,
    cancel: CancelToken,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    overwrites: bool = False,
) -> Quantized:
    """Write the quantized model; `on_progress` takes tensors done and all tensors.

    Raises:
        UsageError: The source is quantized itself, the type is not known or needs an importance matrix, or the target cannot be.
        ConversionError: llama.cpp says why not, or what it wrote is not whole.
        ModelUnusable: The source is damaged, or no model that can be quantized.
        ModelNotFound: There is no such file.
        Interrupted: It was stopped.
        EngineError: llama.cpp's process failed.
    """
    header = _checked(wanted)
    parts = all_parts(header)
    sources = [Path(part.path) for part in parts]
    if wanted.imatrix is not None:
        sources.append(wanted.imatrix)
    with whole_file(target, sources=sources, overwrites=overwrites) as part:
        if shutil.disk_usage(part.parent).free < _most_bytes(parts):  # else llama.cpp need not be asked
            check_room(part, target, forecast(wanted, cancel).file_bytes)

        def tell(progress: Progress) -> None:
            on_progress(int(progress["done"]), int(progress["total"]))

        told = run_task("quantize", _arguments(wanted, header, target=part), cancel, tell)
        new = _sound_result(part, target)
        return replace(_quantized(told, file_bytes=new.file_bytes), remark=_remark(new).replace(str(part), str(target)))


def sound_header(path: Path) -> GgufHeader:
    """The header of a whole model that could be run; a base model carries no chat template, and is one all the same.

    Raises:
        ModelNotFound: There is no such file.
        ModelUnusable: It is damaged, or no model.
    """
    header = read_header(str(path))
    audit(replace(header, metadata={_TEMPLATE_KEY: "-", **header.metadata}))
    return header


def quantized_as(header: GgufHeader) -> str:
    """The format that most of a quantized model is in; empty where it is not quantized."""
    counted: Counter[str] = Counter()
    for tensor in header.tensors:
        kind = TENSOR_TYPES.get(tensor.type_id)
        if kind and _is_quantized(kind):
            counted[kind.name] += tensor.bytes
    return counted.most_common(1)[0][0] if counted else ""


def _is_quantized(kind: TensorType) -> bool:
    """Whether its numbers stand in blocks with a common scale."""
    return kind.block_elements > 1


def _checked(wanted: Quantization) -> GgufHeader:
    """The source's header, when all that can be known before makes sense."""
    kind = file_type(wanted.file_type)
    header = sound_header(wanted.source)
    before = quantized_as(header)
    if before and not wanted.allows_requantizing:
        raise UsageError(
            _("{path} is quantized already ({kind}): what is rounded twice is worse than what is rounded once.").format(
                path=wanted.source, kind=before
            ),
            hint=_("Take the model at 16 bits, or add --allow-requantize and look at the loss with: {command}").format(
                command="hychat gguf compare"
            ),
        )
    if kind.needs_imatrix and wanted.imatrix is None:
        raise UsageError(
            _("{type} is good for nothing without an importance matrix.").format(type=wanted.file_type.upper()),
            hint=_("Make one with: {command}").format(command="hychat gguf imatrix MODEL -f TEXT -o FILE"),
        )
    if wanted.imatrix is not None:
        _check_fits(read_imatrix(str(wanted.imatrix)), header)
    return header


def _check_fits(matrix: ImportanceMatrix, header: GgufHeader) -> None:
    """Whether it was made from this model, or one of its shape."""
    shapes = {tensor.name: (*tensor.shape, 1, 1)[:3] for tensor in header.tensors}
    known = {name: entry for name, entry in matrix.entries.items() if name in shapes}
    for name, entry in known.items():
        columns, _rows, experts = shapes[name]
        if entry.columns * entry.experts != columns * experts:
            known = {}
            break
    if not known and header.split_count == 1:
        raise ConversionError(
            _("{imatrix} was made from another model than {path}.").format(
                imatrix=matrix.header.path, path=header.path
            ),
            hint=_("Make one with: {command}").format(command=f"hychat gguf imatrix {header.path} -f TEXT -o FILE"),
        )


def _most_bytes(parts: Sequence[GgufHeader]) -> int:
    """What a model takes at 32 bits a weight; no format takes more."""
    return sum(part.data_offset + _F32_BYTES * sum(math.prod(t.shape) for t in part.tensors) for part in parts)


def _arguments(wanted: Quantization, header: GgufHeader, *, target: Path | None) -> dict[str, Any]:
    return {
        "source": str(wanted.source),
        "target": None if target is None else str(target),
        "file_type": file_type(wanted.file_type).id,
        "overrides": _overrides(wanted, header),
        "imatrix": None if wanted.imatrix is None else str(wanted.imatrix),
        "threads": wanted.threads,
        "allows_requantizing": wanted.allows_requantizing,
    }


def _overrides(wanted: Quantization, header: GgufHeader) -> list[tuple[str, int]]:
    """Number formats by patterns of names."""
    kind, finer = tensor_type(file_type(wanted.file_type).format), tensor_type(_SHARED_FORMAT)
    is_finer = finer.block_bytes * kind.block_elements > kind.block_bytes * finer.block_elements
    keeps_shared = wanted.keeps_shared and header.expert_count and is_finer
    formats = [*wanted.formats, *([(_SHARED, _SHARED_FORMAT)] if keeps_shared else [])]
    return [(pattern, type_id(name)) for pattern, name in formats]


def _quantized(told: Mapping[str, Any], *, file_bytes: int) -> Quantized:
    changes = (TensorChange(name, tuple(shape), before, after) for name, shape, before, after in told["tensors"])
    return Quantized(tuple(changes), tuple(told["fallbacks"]), file_bytes)


def _sound_result(part: Path, target: Path) -> GgufHeader:
    """The new file's header; llama.cpp does not notice everything that goes wrong while it writes."""
    try:
        return sound_header(part)
    except ModelDamaged as error:
        raise ConversionError(
            _("What was written is not whole: {reason}").format(reason=error.message.replace(str(part), str(target))),
            hint=_("The disk may be full; make room, or name another folder."),
        ) from error


def _remark(header: GgufHeader) -> str:
    try:
        audit(header)
    except ModelRefused as error:
        return error.message
    return ""
