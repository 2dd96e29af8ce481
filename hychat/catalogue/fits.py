"""Whether a model would run on this machine, told before it is fetched."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from hychat.domain.model import ModelFile, ModelSpec
from hychat.engine.memory import Memory
from hychat.engine.plan import SHORT_CONTEXT_TOKENS

_BUFFERS_BYTES: Final = 256 << 20
"""Python, compute buffers, and a reserve."""
_MEMORY_SHARE: Final = 0.9
_INT4_BYTES_PER_PARAMETER: Final = 4.85 / 8
"""Of Q4_K_M, with the parts that are kept finer."""


class Fit(NamedTuple):
    """How much memory a model needs, with a short context, and how much there is."""

    needed_bytes: int
    memory_bytes: int
    """Of the machine, and of its GPUs where they can be used."""

    @property
    def is_fitting(self) -> bool:
        """Whether it runs here; slowly, where other programs fill the memory."""
        return self.needed_bytes <= self.memory_bytes * _MEMORY_SHARE


def fit(spec: ModelSpec, memory: Memory, gpu_bytes: int = 0) -> Fit | None:
    """None where nobody has said how large the model is. The plan for loading it, made from its header, knows better."""
    weights = _sum(spec.files[:1]) or _estimated_bytes(spec.parameters_total)
    if weights is None:
        return None
    seeing = _sum([spec.projector]) if spec.projector else 0
    cache = (spec.kv_bytes_per_token or 0) * SHORT_CONTEXT_TOKENS
    return fit_of_size(weights + (seeing or 0) + cache, memory, gpu_bytes)


def fit_of_size(weights_bytes: int, memory: Memory, gpu_bytes: int = 0) -> Fit:
    """Of a model that nothing is known of but the size of its files."""
    return Fit(weights_bytes + _BUFFERS_BYTES, memory.total + gpu_bytes)


def _sum(files: Iterable[ModelFile]) -> int | None:
    """The size of files together; None where one is not known."""
    sizes = [file.bytes for file in files]
    return sum(size or 0 for size in sizes) if sizes and all(sizes) else None


def _estimated_bytes(parameters: int | None) -> int | None:
    return None if parameters is None else int(parameters * _INT4_BYTES_PER_PARAMETER)
