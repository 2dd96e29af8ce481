"""A base's vocabulary cut to the pieces that are met."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from hychat.safety.fold import HAN
from hychat.safety.model.pieces import FIRST_PIECE, Pieces, UnigramPieces, WordPieces
from hychat.safety.training.base import Base

_KEPT: Final = re.compile(rf"(?:\u2581|\#\#)?(?:[a-z]+|[{HAN}]+|[0-9]{{1,4}}|[!-~\u3001-\u3011\u2014-\u2026]{{0,3}})")
_PIECES_OF_A_TEXT: Final = 400


def usable(base: Base) -> list[int]:
    """The pieces that folded English and Chinese can have."""
    return [i for i, piece in enumerate(base.pieces) if i not in base.special and _KEPT.fullmatch(piece)]


def cut(base: Base, texts: Iterable[str], size: int) -> list[int]:
    """The numbers of the pieces to keep: letters and digits, then by count in the texts, then by the base's own order."""
    allowed = usable(base)
    whole = pieces_of(base, allowed)
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(whole.numbers(text, _PIECES_OF_A_TEXT))
    single = [k for k, i in enumerate(allowed) if base.pieces[i].isascii() and len(base.pieces[i].strip("#")) <= 1]
    often = [number - FIRST_PIECE for number, _count in counts.most_common() if number >= FIRST_PIECE]
    likely = range(len(allowed)) if base.scores is None else np.argsort(-base.scores[allowed], kind="stable").tolist()
    kept = list(dict.fromkeys([*single, *often, *likely]))[:size]
    return sorted(allowed[k] for k in kept)


def pieces_of(base: Base, kept: Sequence[int]) -> Pieces:
    """The vocabulary of these pieces alone."""
    words = [base.pieces[i] for i in kept]
    return WordPieces(words) if base.scores is None else UnigramPieces(words, base.scores[list(kept)].tolist())
