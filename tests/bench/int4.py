"""What INT4 saves and what it costs: sizes against 16 bits, and how far the forecasts are from those of 16 bits.

    python -m tests.bench.int4        # the tables of gguf/README.md

Sizes are dry runs on the shapes of the published models. Losses are measured on the starter without the grain of its own
quantization (`regrained`), with every other part of `gguf/recipes/calibration.md`, after importance was measured with the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import gguf
import numpy as np

from hychat.conversion.compare import Comparison, compare
from hychat.conversion.imatrix import Reading, make_imatrix
from hychat.conversion.quantize import Quantization, Quantized, forecast, quantize
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.cancel import CancelToken
from hychat.domain.numbers import size
from hychat.engine.gguf import read_header
from hychat.engine.imatrix import CHUNKS_KEY, COUNTS, KIND, SUMS
from tests.bench.machine import THREADS
from tests.bench.programs import model_file
from tests.bench.regrained import write_regrained
from tests.bench.row import Row, at_most
from tests.programs import ROOT
from tests.tiny_models import FAMILY_A
from tests.whole_models import SHAPES, Shape, write_whole

_ALLOWED_RATIO: Final = 0.30
_TYPES: Final = ("Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS")
_MODELS: Final = {
    "hunyuan-0.5b": SHAPES["hunyuan-0.5b"],
    "hunyuan-1.8b": Shape("hunyuan-dense", FAMILY_A, 32, 2048, 16, 4, 6144, 120_818),
    "hunyuan-4b": Shape("hunyuan-dense", FAMILY_A, 36, 3072, 32, 8, 8192, 120_818),
    **{name: SHAPES[name] for name in ("hunyuan-7b", "hunyuan-a13b", "hy-mt2-30b-a3b")},
}
_IN_RECIPES: Final = {"hunyuan-0.5b": "IQ4_XS", "hunyuan-1.8b": "IQ4_XS"}
"""The type of the smaller recipe; of all others it is Q4_K_S."""

_MEASURED_CHUNKS, _JUDGED_CHUNKS = 16, 8
_CALIBRATION: Final = ROOT / "gguf/recipes/calibration.md"
_ATTENTION: Final = (("attn_", "Q8_0"),)
"""What the mix for mixtures does to a dense model."""


@dataclass(frozen=True, slots=True)
class _Try:
    """One way to quantize, and what it cost."""

    file_type: str
    has_imatrix: bool
    formats: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.file_type + ("-attention-Q8_0" if self.formats else "") + ("-imatrix" if self.has_imatrix else "")


_TRIES: Final = (
    _Try("Q8_0", has_imatrix=False),
    *(_Try(kind, has_imatrix) for kind in _TYPES for has_imatrix in (False, True)),
    *(_Try(kind, has_imatrix=True, formats=_ATTENTION) for kind in ("Q4_K_M", "Q4_K_S", "IQ4_XS")),
)


def rows(_rounds: int) -> Iterator[Row]:
    """Sizes, then losses; neither changes from round to round."""
    with TemporaryDirectory(prefix="hychat-bench-") as name:
        folder = Path(name)
        for model, kind, done in _sizes(folder):
            is_in_recipes = kind == _IN_RECIPES.get(model, "Q4_K_S")
            compared = f"weights of {model} in {kind}, measured with a text, over those at 16 bits"
            row = Row(f"{model}-{kind}", compared, "GB", at_most(_ALLOWED_RATIO) if is_in_recipes else None)
            yield row.measured([(done.bytes_after / 1e9, done.f16_bytes / 1e9)])
        for tried, found in _losses(folder):
            row = Row(tried.name, f"perplexity over that at 16 bits; {_told(found)}")
            yield row.measured([(found.other.value, found.reference.value)])


def _sizes(folder: Path) -> Iterator[tuple[str, str, Quantized]]:
    for model, shape in _MODELS.items():
        whole = write_whole(folder / "whole.gguf", shape)
        matrix = _write_matrix(folder / "whole.imatrix.gguf", whole)
        for kind in _TYPES:
            yield model, kind, forecast(Quantization(whole, kind, matrix, allows_requantizing=True), CancelToken())


def _write_matrix(path: Path, model: Path) -> Path:
    """An importance matrix for it that says nothing; that there is one changes some types' mix."""
    writer: Any = gguf.GGUFWriter(path, "")
    writer.add_string("general.type", KIND)
    writer.add_uint32(CHUNKS_KEY, 1)
    for tensor in read_header(str(model)).tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
            experts = (*tensor.shape, 1)[2]
            for suffix, shape in ((SUMS, (experts, tensor.shape[0])), (COUNTS, (experts, 1))):
                writer.add_tensor(tensor.name + suffix, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _losses(folder: Path) -> Iterator[tuple[_Try, Comparison]]:
    """First that the model without its grain is the same model, then what each way to quantize it costs."""
    full = write_regrained(folder / "full.gguf", Path(model_file()))
    measured, judged = _texts()
    matrix = folder / "full.imatrix.gguf"
    make_imatrix(full, replace(measured, most_chunks=_MEASURED_CHUNKS), matrix, CancelToken())
    reading, target = replace(judged, most_chunks=_JUDGED_CHUNKS), folder / "new.gguf"
    quantize(Quantization(Path(model_file()), "F16", allows_requantizing=True), target, CancelToken())
    yield _Try("F16", has_imatrix=False), compare(target, full, reading, CancelToken())
    for tried in _TRIES:
        imatrix = matrix if tried.has_imatrix else None
        wanted = Quantization(full, tried.file_type, imatrix, threads=THREADS, formats=tried.formats)
        quantize(wanted, target, CancelToken(), overwrites=True)
        yield tried, compare(full, target, reading, CancelToken())


def _texts() -> tuple[Reading, Reading]:
    """One to measure with and one to judge by: the parts of a text in turn, each below its heading."""
    parts: list[list[str]] = []
    for line in _CALIBRATION.read_text(encoding="utf-8").splitlines(keepends=True):
        if not parts or line.startswith(("# ", "## ")):
            parts.append([])
        parts[-1].append(line)
    texts = ("".join(line for part in parts[first::2] for line in part) for first in (0, 1))
    measured, judged = (
        Reading(Attachment(AttachmentKind.TEXT, _CALIBRATION.name, "text/plain", text)) for text in texts
    )
    return replace(measured, threads=THREADS), replace(judged, threads=THREADS)


def _told(found: Comparison) -> str:
    return f"KL mean {found.kl_mean:.4f}, 99th percentile {found.kl_p99:.3f}, same likeliest token {found.top_agreement:.1%}"


def main() -> None:
    """Print the tables in Markdown."""
    with TemporaryDirectory(prefix="hychat-bench-") as name:
        folder = Path(name)
        print(f"| | {' | '.join(_TYPES)} |\n|{'---|' * (len(_TYPES) + 1)}")
        cells: list[str] = []
        for model, _kind, done in _sizes(folder):
            cells.append(f"{done.bytes_after / done.f16_bytes:.3f} ({size(done.file_bytes)})")
            if len(cells) == len(_TYPES):
                print(f"| {model} | {' | '.join(cells)} |", flush=True)
                cells.clear()
        print("\n| | perplexity | KL mean | KL 99 % | same token |\n|---|---|---|---|---|")
        for tried, found in _losses(folder):
            ppl, agreement = found.perplexity_ratio, found.top_agreement
            print(
                f"| {tried.name} | {ppl:.3f} | {found.kl_mean:.3f} | {found.kl_p99:.2f} | {agreement:.1%} |", flush=True
            )


if __name__ == "__main__":
    main()
