"""The stages at run time: linear weights settle what is clearly harmless, a probe in the encoder some more, the encoder the rest.

A reply is settled where it is clearly harmless and what it answers is so too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import ceil, exp
from threading import Lock
from typing import Final, Protocol

from hychat.safety.model import Kind, Language, Score, Stage
from hychat.safety.model.inputs import Input, language_of, pair_input, prompt_input, windows
from hychat.safety.model.net import Net
from hychat.safety.model.pieces import Pieces

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
_SUSPECTS: Final = 2
"""Windows of a long text that the encoder reads besides the first and the last."""
_MOST_WINDOWS: Final = 500
_REMEMBERED_PROMPTS: Final = 4
"""An answer asks after its prompt at every sentence."""
STRICT_FPR: Final = 0.05
"""The largest share of harmless texts that anybody acts at."""
_LEAST_LOGIT: Final = -700.0
"""Whose power a float can hold."""
_HEADS: Final[Mapping[Kind, int]] = {"prompt": 0, "response": 1}
_FIRST_CATEGORY: Final = 2
"""Of the encoder's outputs; before it stand the prompt's and the reply's harm."""


class Reader(Protocol):
    """The encoder of a language."""

    pieces: Pieces

    def logits(self, inputs: Sequence[Input], floors: Sequence[float] = ()) -> list[list[float] | None]:
        """Of each input: the prompt's harm, the reply's harm, the categories; none where its probe stays below its floor."""
        ...


class Stages:
    """The weights, and how they are asked."""

    def __init__(self, net: Net, open_reader: Callable[[Language], Reader]) -> None:
        """`open_reader` reads the encoder of a language, which is done when it is needed first."""
        self.net = net
        self._open_reader = open_reader
        self._readers: dict[Language, Reader] = {}
        self._reading = Lock()
        self._is_harmless = lru_cache(maxsize=_REMEMBERED_PROMPTS)(self._judged_harmless)

    def prompts(self, texts: Sequence[str], benign_fpr: float = STRICT_FPR) -> list[Score | None]:
        """Scores in the order of the texts.

        They are good from the threshold of `benign_fpr` on; what is clearly below it is settled soon.
        """
        scores: list[Score | None] = [None] * len(texts)
        open_texts: list[_Open] = []
        for index, text in enumerate(texts):
            if (language := language_of(text)) is None:
                continue
            parts = _spread(windows(text, language))
            logits = [self.net.logit("prompt", part) for part in parts]
            if (highest := max(logits)) < self.net.settled_below("prompt", language, benign_fpr):
                scores[index] = self._settled("prompt", highest, language, "net")
            else:
                open_texts.append(_Open(index, language, *_suspects(parts, logits)))
        for language in LANGUAGES:
            given = [one for one in open_texts if one.language == language]
            for one, score in zip(given, self._judged(language, given, benign_fpr), strict=True):
                scores[one.index] = score
        return scores

    def _judged(self, language: Language, texts: "Sequence[_Open]", benign_fpr: float) -> Iterator[Score]:
        """What the encoder says of texts, by the worst window of each."""
        if not texts:
            return
        reader, share = self._reader(language), self._linear_share(language)
        floor = self.net.probed_below(language, benign_fpr)
        inputs = [prompt_input(reader.pieces, part) for text in texts for part in text.parts]
        found = iter(reader.logits(inputs, [floor - share * logit for text in texts for logit in text.logits]))
        for text in texts:
            yield self._worst("prompt", [*islice(found, len(text.parts))], text.logits, language)

    def reply(self, prompt: str, reply: str) -> Score | None:
        """The worst of a few windows of the reply."""
        if (language := language_of(reply)) is None:
            return None
        parts = _spread(windows(reply, language))
        logits = [self.net.logit("response", part) for part in parts]
        highest = max(logits)
        if highest < self.net.settled_below("response", language, STRICT_FPR) and self._is_harmless(prompt):
            return self._settled("response", highest, language, "net")
        chosen, linear = _suspects(parts, logits)
        reader = self._reader(language)
        found = reader.logits([pair_input(reader.pieces, prompt, part) for part in chosen])
        return self._worst("response", found, linear, language)

    def _judged_harmless(self, prompt: str) -> bool:
        """Whether nothing speaks against a prompt; one that the models cannot read tells nothing."""
        (score,) = self.prompts([prompt])
        return score is None or score.harm < self.net.threshold("prompt", score.language, STRICT_FPR)

    def _reader(self, language: Language) -> Reader:
        """Most people write in one language."""
        with self._reading:
            if language not in self._readers:
                self._readers[language] = self._open_reader(language)
            return self._readers[language]

    def _linear_share(self, language: Language) -> float:
        return float(self.net.facts["linear_share"][language])

    def _worst(
        self, kind: Kind, found: Sequence[Sequence[float] | None], linear: Sequence[float], language: Language
    ) -> Score:
        share, head = self._linear_share(language), _HEADS[kind]
        rows = [(row[head] + share * logit, row) for row, logit in zip(found, linear, strict=True) if row is not None]
        if not rows:
            return self._settled(kind, max(linear), language, "encoder")
        harm, row = max(rows)
        categories = row[_FIRST_CATEGORY:]
        category = self.net.facts["categories"][categories.index(max(categories))]
        return Score(_sigmoid(harm), category, language, "encoder")

    def _settled(self, kind: Kind, logit: float, language: Language, stage: Stage) -> Score:
        """Below all thresholds, in the order of the logits."""
        ceiling = 0.5 * self.net.threshold(kind, language, STRICT_FPR)
        harm = ceiling * _sigmoid(logit - self.net.settled_below(kind, language, STRICT_FPR))
        return Score(harm, "other", language, stage)


@dataclass(frozen=True, slots=True)
class _Open:
    """A text that the first stage did not settle: its suspect windows, each with the first stage's logit."""

    index: int
    language: Language
    parts: Sequence[str]
    logits: Sequence[float]


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
    return 1 / (1 + exp(-logit)) if logit > _LEAST_LOGIT else 0.0
