"""The two stages at run time: linear weights settle what is clearly harmless, the encoder judges the rest.

A reply is settled where it is clearly harmless and what it answers is so too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import ceil, sqrt
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hychat.safety.model import Language, Score
from hychat.safety.model.encoder import Encoder, Floats
from hychat.safety.model.features import buckets
from hychat.safety.model.inputs import Input, language_of, pair_input, prompt_input, windows
from hychat.safety.model.pieces import Pieces, UnigramPieces, WordPieces

WEIGHTS: Final = "weights.npz"
KINDS: Final = ("prompt", "response")
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
Arrays = Mapping[str, npt.NDArray[np.generic]]
_SUSPECTS: Final = 2
"""Windows of a long text that the encoder reads besides the first and the last."""
_ALWAYS_READ: Final = ("about", "linear")
_BATCH: Final = 16
_MOST_WINDOWS: Final = 1000
_REMEMBERED_PROMPTS: Final = 4
"""An answer asks after its prompt at every sentence."""
_HARMLESS_FPR: Final = 0.05
_FIRST_CATEGORY: Final = 2
"""Of the encoder's outputs; before it stand the prompt's and the reply's harm."""


class Stages:
    """The weights, and how they are asked."""

    def __init__(self, arrays: Arrays, path: Path | None = None) -> None:
        """`arrays` as `hychat.safety.training` writes them; from `path` those of a language are read when it is needed."""
        self._about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        self._linear = {kind: _Linear(arrays, kind) for kind in KINDS}
        self._arrays, self._path = arrays, path
        self._readers: dict[Language, _Reader] = {}
        self._reading = Lock()
        self._is_harmless = lru_cache(maxsize=_REMEMBERED_PROMPTS)(self._judged_harmless)

    def prompts(self, texts: Sequence[str]) -> list[Score | None]:
        """Scores in the order of the texts."""
        scores: list[Score | None] = [None] * len(texts)
        open_texts: list[_Open] = []
        for index, text in enumerate(texts):
            if (language := language_of(text)) is None:
                continue
            parts = _spread(windows(text, language))
            logits = [self.linear("prompt", part) for part in parts]
            if (highest := max(logits)) < self.settled_below("prompt", language):
                scores[index] = self._settled("prompt", highest, language)
            else:
                open_texts.append(_Open(index, language, *_suspects(parts, logits)))
        for language in LANGUAGES:
            given = [one for one in open_texts if one.language == language]
            for one, score in zip(given, self._judged(language, given), strict=True):
                scores[one.index] = score
        return scores

    def _judged(self, language: Language, texts: "Sequence[_Open]") -> Iterator[Score]:
        """What the encoder says of texts, by the worst window of each."""
        reader = self._reader(language)
        found = iter(self.judge(language, [prompt_input(reader.pieces, part) for text in texts for part in text.parts]))
        for text in texts:
            yield self._worst(0, np.stack([next(found) for _part in text.parts]), text.logits, language)

    def reply(self, prompt: str, reply: str) -> Score | None:
        """The worst of a few windows of the reply."""
        if (language := language_of(reply)) is None:
            return None
        parts = _spread(windows(reply, language))
        logits = [self.linear("response", part) for part in parts]
        highest = max(logits)
        if highest < self.settled_below("response", language) and self._is_harmless(prompt):
            return self._settled("response", highest, language)
        chosen, linear = _suspects(parts, logits)
        pieces = self._reader(language).pieces
        found = self.judge(language, [pair_input(pieces, prompt, part) for part in chosen])
        return self._worst(1, found, linear, language)

    def _judged_harmless(self, prompt: str) -> bool:
        """Whether nothing speaks against a prompt; one that the models cannot read tells nothing."""
        (score,) = self.prompts([prompt])
        return score is None or score.harm < self.threshold("prompt", score.language, _HARMLESS_FPR)

    def _reader(self, language: Language) -> "_Reader":
        """Read when it is needed first: most people write in one language."""
        with self._reading:
            if language not in self._readers:
                with np.load(self._path) if self._path else nullcontext(self._arrays) as arrays:
                    self._readers[language] = _Reader(arrays, language)
            return self._readers[language]

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """As measured when the weights were made."""
        return float(self._about["thresholds"][kind][language][str(benign_fpr)])

    def settled_below(self, kind: str, language: str) -> float:
        """The logit of the first stage below which the encoder is not asked."""
        return float(self._about["settled_below"][kind][language])

    def linear(self, kind: str, text: str) -> float:
        """The first stage's logit."""
        return self._linear[kind].logit(text)

    def judge(self, language: Language, inputs: Sequence[Input]) -> Floats:
        """The encoder's logits, a few texts of like length at a time so that they stay in the cache."""
        reader = self._reader(language)
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i][0]))
        found = np.zeros((len(inputs), _FIRST_CATEGORY + len(self._about["categories"])), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            found[chosen] = reader.encoder.logits([inputs[i] for i in chosen])
        return found

    def _worst(self, head: int, found: Floats, linear: Sequence[float], language: Language) -> Score:
        mixed = found[:, head] + self._about["linear_share"][language] * np.array(linear)
        worst = int(mixed.argmax())
        category = self._about["categories"][int(found[worst, _FIRST_CATEGORY:].argmax())]
        return Score(_sigmoid(float(mixed[worst])), category, language, "encoder")

    def _settled(self, kind: str, logit: float, language: Language) -> Score:
        """Below all thresholds, in the order of the logits."""
        ceiling = 0.5 * self.threshold(kind, language, 0.05)
        harm = ceiling * _sigmoid(logit - self.settled_below(kind, language))
        return Score(harm, "other", language, "net")


@dataclass(frozen=True, slots=True)
class _Open:
    """A text that the first stage did not settle: its suspect windows, each with the first stage's logit."""

    index: int
    language: Language
    parts: Sequence[str]
    logits: Sequence[float]


class _Reader:
    """The encoder of one language and its vocabulary."""

    def __init__(self, arrays: Arrays, language: Language) -> None:
        own = {name.partition(".")[2]: arrays[name] for name in arrays if name.startswith(f"{language}.")}
        words = own["pieces"].tobytes().decode().split("\n")
        scores = own.get("piece_scores")
        self.pieces: Pieces = (
            WordPieces(words) if scores is None else UnigramPieces(words, scores.astype(float).tolist())
        )
        self.encoder = Encoder(own)


class _Linear:
    """The first stage for one kind of text."""

    def __init__(self, arrays: Arrays, kind: str) -> None:
        self._weights = arrays[f"linear.{kind}"]
        self._scale, self._bias = (float(value) for value in arrays[f"linear.{kind}.scale"])

    def logit(self, text: str) -> float:
        found = buckets(text)
        return float(self._weights[found].sum(dtype=np.int32)) * self._scale / sqrt(max(len(found), 1)) + self._bias


def load_stages() -> Stages:
    """From the package's own file."""
    path = Path(str(files("hychat.safety.model"))) / WEIGHTS
    with np.load(path) as arrays:
        return Stages({name: arrays[name] for name in arrays.files if name.startswith(_ALWAYS_READ)}, path)


def _spread(parts: Sequence[str]) -> Sequence[str]:
    """Not more than is looked at in a second: of a very long text some windows, evenly spread, and the last."""
    if len(parts) <= _MOST_WINDOWS:
        return parts
    return [*parts[:: ceil(len(parts) / _MOST_WINDOWS)], parts[-1]]


def _suspects(parts: Sequence[str], logits: Sequence[float]) -> tuple[list[str], list[float]]:
    """The first window, the last and those the first stage likes least."""
    ranked = sorted(range(len(parts)), key=lambda i: -logits[i])[:_SUSPECTS]
    chosen = sorted({0, len(parts) - 1, *ranked})
    return [parts[i] for i in chosen], [logits[i] for i in chosen]


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
