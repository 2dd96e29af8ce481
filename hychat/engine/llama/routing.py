"""Which experts a mixture sends tokens to, seen through the eval callback while it computes."""

import re
from typing import TYPE_CHECKING, Any, Final

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.tensor import tensor_at, values

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHOSEN: Final = re.compile(rb"ffn_moe_topk-(\d+)")
"""llama.cpp's name for the experts chosen in a layer: int32, experts used x tokens."""


class Routing:
    """Counts, for each layer, how often each expert was chosen."""

    def __init__(self, experts: int) -> None:
        self._experts = experts
        self.counts: dict[int, NDArray[Any]] = {}
        """By layer, one number for each expert."""
        self.callback = lib.ggml_backend_sched_eval_callback(self._take)
        """`cb_eval` of a context; it must live as long as that."""

    def as_rows(self) -> list[list[int]]:
        """Layer after layer: its number, then the count of each expert."""
        return [[layer, *(int(count) for count in self.counts[layer])] for layer in sorted(self.counts)]

    def _take(self, address: int, asks: bool, _user_data: object) -> bool:
        """Asked first whether a tensor is of interest, then called again with it computed."""
        found = _CHOSEN.fullmatch(tensor_at(address).name)
        if found and not asks:
            self._add(int(found[1]), values(tensor_at(address), "<i4").ravel())
        return bool(found) or not asks

    def _add(self, layer: int, chosen: "NDArray[Any]") -> None:
        import numpy as np

        counts = np.bincount(chosen, minlength=self._experts)[: self._experts]
        before = self.counts.get(layer)
        self.counts[layer] = counts if before is None else before + counts
