"""Whether a model would run on this machine, told before it is fetched."""

from typing import Final, NamedTuple

from hychat.domain.model import ModelSpec
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

    @property
    def is_fitting(self) -> bool:
        """Whether it runs here; slowly, where other programs fill the memory."""
        return self.needed_bytes <= self.memory_bytes * _MEMORY_SHARE


def fit(spec: ModelSpec, memory: Memory, device_bytes: int = 0) -> Fit | None:
    """None where nobody has said how large the model is. The plan for loading it, made from its header, knows better."""
    weights = (spec.files[0].bytes if spec.files else None) or _estimated_bytes(spec.parameters_total)
    if weights is None:
        return None
    cache = (spec.kv_bytes_per_token or 0) * SHORT_CONTEXT_TOKENS
    return Fit(weights + cache + _BUFFERS_BYTES, memory.total + device_bytes)


def _estimated_bytes(parameters: int | None) -> int | None:
    return None if parameters is None else int(parameters * _INT4_BYTES_PER_PARAMETER)
