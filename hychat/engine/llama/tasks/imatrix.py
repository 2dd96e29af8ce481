"""Measures how large the numbers are that meet each column of a model's matrices while it reads a text.

The graph's own inputs of every matrix product are looked at through the eval callback (`cb_eval`); what is counted and what is
not is as in llama.cpp's `tools/imatrix/imatrix.cpp`, so that both come to the same numbers.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from hychat.engine.imatrix import CHUNK_TOKENS_KEY, CHUNKS_KEY, COUNTS, DATASETS_KEY, KIND, SUMS
from hychat.engine.llama import chunks
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.gguf_writer import GgufFile
from hychat.engine.llama.tensor import F32, operation, tensor_at, values, weight_name
from hychat.engine.task_host import CannotDo, Tell
from hychat.messages import _

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_ROWS: Final = 16
"""Smaller products are no reading of the text, but small helpers of the graph."""


def run(  # noqa: PLR0913 - what a user may say of it
    tell: Tell,
    *,
    model: str,
    text: str,
    dataset: str,
    target: str,
    chunk_tokens: int,
    most_chunks: int | None,
    gpu_layers: int,
    threads: int | None,
) -> dict[str, Any]:
    """Read the text in chunks and write the matrix to `target`; `dataset` is what it calls the text.

    Returns:
        `chunks` and `tokens` read, `entries` written, and `unseen`: for each mixture how many experts no token was sent to.

    Raises:
        CannotDo: The model or the text is not fit for it, or the file cannot be written.
    """
    sys.unraisablehook = _end  # an error in a C callback would pass unseen, and so would what it did not count
    loaded = chunks.load(model, gpu_layers=gpu_layers)
    chunk_tokens = chunks.length(chunk_tokens, loaded)
    wanted = chunks.cut(loaded, text, chunk_tokens, most=most_chunks)
    collector = Collector()
    reader = chunks.Reader(loaded, chunk_tokens, threads=threads, on_tensor=collector.callback)
    for done, chunk in enumerate(wanted):
        tell(done=done, total=len(wanted))
        for piece in chunks.pieces(chunk, 0):  # all logits, else the last layer computes only some rows
            reader.read(piece)
            collector.check()
    tell(done=len(wanted), total=len(wanted))
    _write(collector, target, dataset, len(wanted), chunk_tokens)
    unseen = {name: int((counts == 0).sum()) for name, counts in collector.counts.items() if (counts == 0).any()}
    tokens = len(wanted) * chunk_tokens
    return {"chunks": len(wanted), "tokens": tokens, "entries": len(collector.sums), "unseen": unseen}


class Collector:
    """Sums of the squared inputs of every matrix, by the matrix's name, and how many rows were summed."""

    def __init__(self) -> None:
        self.sums: dict[str, NDArray[Any]] = {}
        """Experts x columns; one expert where there are none."""
        self.counts: dict[str, NDArray[Any]] = {}
        self.callback = lib.ggml_backend_sched_eval_callback(self._take)
        self._product, self._by_expert = operation("MUL_MAT"), operation("MUL_MAT_ID")
        self._not_finite = ""

    def check(self) -> None:
        """Look whether all went well since the last time.

        Raises:
            CannotDo: There were numbers that are none.
        """
        if self._not_finite:
            raise CannotDo(
                _("The model computes infinite numbers in {tensor}.").format(tensor=self._not_finite),
                _("Its weights may be damaged; fetch or convert it again."),
            )

    def _take(self, address: int, asks: bool, _user_data: object) -> bool:
        """Asked first whether a tensor is of interest, then called again with it computed."""
        tensor = tensor_at(address)
        if tensor.op == self._by_expert:
            if not asks:
                self._add_by_expert(tensor)
        elif tensor.op == self._product and self._is_of_interest(tensor):
            if not asks:
                self._add(tensor)
        else:
            return False
        return True

    @staticmethod
    def _is_of_interest(product: Any) -> bool:
        inputs, name = product.src[1].contents, weight_name(product.src[0].contents)
        is_weight = name.startswith("blk.") and name.endswith("weight")
        return is_weight and inputs.ne[1] >= _LEAST_ROWS and inputs.type == F32

    def _add(self, product: Any) -> None:
        """Rows of inputs that meet one matrix, or each its own of a stack of matrices."""
        import numpy as np

        weight = product.src[0].contents
        matrices = weight.ne[2] * weight.ne[3]
        inputs = values(product.src[1].contents, "<f4")
        sums, counts = self._room(weight_name(weight), matrices, inputs.shape[-1], counted=1)
        for outer, inner in np.ndindex(inputs.shape[:2]):
            rows = inputs[outer, inner]
            matrix = (outer % weight.ne[3]) * weight.ne[2] + inner % weight.ne[2]
            sums[matrix] += np.einsum("rc,rc->c", rows, rows)
        counts += inputs.size // inputs.shape[-1] // matrices
        self._note(weight, sums)

    def _add_by_expert(self, product: Any) -> None:
        """Rows of inputs that meet the experts they were sent to."""
        import numpy as np

        weight = product.src[0].contents
        inputs = values(product.src[1].contents, "<f4")[0]  # tokens x (1 or experts used) x columns
        chosen = values(product.src[2].contents, "<i4")[0, 0]  # tokens x experts used
        sums, counts = self._room(weight_name(weight), weight.ne[2], inputs.shape[-1], counted=weight.ne[2])
        for expert in np.unique(chosen):
            token, slot = np.nonzero(chosen == expert)
            rows = inputs[token, slot % inputs.shape[1]]
            sums[expert] += np.einsum("rc,rc->c", rows, rows)
            counts[expert] += len(rows)
        self._note(weight, sums)

    def _room(self, name: str, matrices: int, columns: int, *, counted: int) -> "tuple[NDArray[Any], NDArray[Any]]":
        import numpy as np

        if name not in self.sums:
            self.sums[name] = np.zeros((matrices, columns), np.float64)
            self.counts[name] = np.zeros(counted, np.float64)
        return self.sums[name], self.counts[name]

    def _note(self, weight: Any, sums: "NDArray[Any]") -> None:
        import numpy as np

        if not np.isfinite(sums).all():
            self._not_finite = weight_name(weight)


def _end(error: Any) -> None:
    sys.__unraisablehook__(error)
    os._exit(1)


def _write(collector: Collector, target: str, dataset: str, count: int, chunk_tokens: int) -> None:
    file = GgufFile(2 * len(collector.sums))
    file.add_text("general.type", KIND)
    file.add_texts(DATASETS_KEY, [dataset])
    file.add_number(CHUNKS_KEY, count)
    file.add_number(CHUNK_TOKENS_KEY, chunk_tokens)
    for name in sorted(collector.sums):
        file.add_matrix(name + SUMS, collector.sums[name].reshape(len(collector.counts[name]), -1))
        file.add_matrix(name + COUNTS, collector.counts[name].reshape(-1, 1))
    if not file.write(target):
        raise CannotDo(
            _("The new file cannot be written to its end."),
            _("The disk may be full; make room, or name another folder."),
        )
