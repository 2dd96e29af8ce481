"""Whether a model would run on this machine, told before it is fetched."""

from typing import Final, NamedTuple

from hychat.catalogue.find import parts_of
from hychat.domain.model import ModelFile, ModelSpec
from hychat.domain.numbers import size
from hychat.engine.memory import Memory
from hychat.engine.plan import SHORT_CONTEXT_TOKENS
from hychat.messages import _

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
    gpu_bytes: int = 0
    """What of it the GPUs have."""

    @property
    def is_fitting(self) -> bool:
        """Whether it runs here; slowly, where other programs fill the memory."""
        return self.needed_bytes <= self.memory_bytes * _MEMORY_SHARE

    def in_words(self) -> str:
        """What is needed, and what there is."""
        told = (
            _("needs {needed}, this machine has {present} and {gpu} on GPUs")
            if self.gpu_bytes
            else _("needs {needed}, this machine has {present}")
        ).format(
            needed=size(self.needed_bytes), present=size(self.memory_bytes - self.gpu_bytes), gpu=size(self.gpu_bytes)
        )
        if self.is_fitting or self.needed_bytes > self.memory_bytes:
            return told
        return _("{need}, of which other programs need a part").format(need=told)


def fit(spec: ModelSpec, memory: Memory, gpu_bytes: int = 0, *, installed_bytes: int | None = None) -> Fit | None:
    """None where nobody has said how large the model is. The plan for loading it, made from its header, knows better.

    `installed_bytes`: what its files take where they are here, which is surer than what the catalogue says.
    """
    weights = installed_bytes or files_bytes(spec) or _estimated_bytes(spec)
    if weights is None:
        return None
    cache = (spec.kv_bytes_per_token or 0) * SHORT_CONTEXT_TOKENS
    return fit_of_size(weights + cache, memory, gpu_bytes)


def fit_of_size(weights_bytes: int, memory: Memory, gpu_bytes: int = 0) -> Fit:
    """Of a model that nothing is known of but the size of its files."""
    return Fit(weights_bytes + _BUFFERS_BYTES, memory.total + gpu_bytes, gpu_bytes)


def files_bytes(spec: ModelSpec) -> int | None:
    """What is fetched for a model: all its parts, and what sees; None where the size of one is not known."""
    sizes = [file.bytes for file in (*parts_of(spec.files[0]), *_projectors(spec))]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _estimated_bytes(spec: ModelSpec) -> int | None:
    """By its parameters, in INT4."""
    if spec.parameters_total is None:
        return None
    return int(spec.parameters_total * _INT4_BYTES_PER_PARAMETER) + sum(file.bytes or 0 for file in _projectors(spec))


def _projectors(spec: ModelSpec) -> tuple[ModelFile, ...]:
    return (spec.projector,) if spec.projector else ()
