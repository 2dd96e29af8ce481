"""What goes to which device: a plan's choice as llama.cpp takes it."""

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from hychat.engine.llama.bindings import ggml
from hychat.engine.llama.devices import pointer_of

_EXPERTS: Final = r"blk\.{layer}\.ffn_(up|down|gate)_exps"


class Offload(NamedTuple):
    """Which layers are computed where."""

    gpu_layers: int = 0
    """Counted from the last, the output with them where it is one more than there are."""
    devices: Sequence[str] = ()
    """By name, in order; all that there are without."""
    shares: Sequence[float] = ()
    """Of the layers on devices, in any unit; by free memory without."""
    cpu_expert_layers: int = 0
    """The experts of so many layers, from the first, stay on the machine."""

    def put_into(self, params: Any) -> list[Any]:
        """Write it into `llama_model_params`; what is returned must live until the model is loaded."""
        kept: list[Any] = []
        params.n_gpu_layers = self.gpu_layers
        if self.devices:
            pointers = (ctypes.c_void_p * (len(self.devices) + 1))(*map(pointer_of, self.devices), None)
            params.devices = ctypes.cast(pointers, ctypes.c_void_p)
            kept.append(pointers)
        if len(self.shares) > 1:
            shares = (ctypes.c_float * max(16, len(self.shares)))(*self.shares)
            params.tensor_split = shares
            kept.append(shares)
        if self.cpu_expert_layers:
            overrides = _experts_on_machine(self.cpu_expert_layers)
            params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
            kept.append(overrides)
        return kept


class _Override(ctypes.Structure):
    """`llama_model_tensor_buft_override`: tensors whose names match go into buffers of a type."""

    _fields_: ClassVar = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def _experts_on_machine(layers: int) -> Any:
    base = ggml("ggml-base")
    base.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    array = (_Override * (layers + 1))()  # the last one, empty, ends it
    for layer in range(layers):
        array[layer] = _Override(_EXPERTS.format(layer=layer).encode(), base.ggml_backend_cpu_buffer_type())
    return array
