"""From a folder of rows to the shipped weights and their card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from hychat.safety.model import Language
from hychat.safety.model.features import buckets
from hychat.safety.model.inputs import Input, language_of, prompt_input, windows
from hychat.safety.model.net import KINDS, Net
from hychat.safety.model.reader import ENCODERS, Reader
from hychat.safety.model.stages import LANGUAGES, Stages
from hychat.safety.training import export, frames, measure, probe, vocabulary
from hychat.safety.training.base import E5, WIDTH, Base, Floats, MiniLm
from hychat.safety.training.card import card
from hychat.safety.training.encoder import Encoder, fine_tune
from hychat.safety.training.examples import examples
from hychat.safety.training.linear import train_linear
from hychat.safety.training.rows import CATEGORIES, Row, own_rows, read_rows, source_weights

_LEAST_HARM: Final = {"prompt": (0.0, 0.0, 0.0, 0.0), "response": (0.5, 0.4, 0.3, 0.2)}
"""No threshold lies below. Ordinary replies score next to nothing; harmless ones to frightening questions score more."""
_FIRST_CHARACTERS: Final = 1500
BENIGN_FPRS: Final = (0.005, 0.01, 0.02, 0.05)
_PROBED_ROWS: Final = 40_000
"""Of both languages and all kinds, of which the probes learn from the prompts that the first stage leaves open."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the result depends on besides the rows."""

    seed: int = 0
    """Of the first stage."""
    runs: Mapping[str, Sequence[tuple[int, int]]] = field(
        default_factory=lambda: {"en": ((0, 1), (1, 1)), "zh": ((0, 1),)}
    )
    """Seed and epochs of each fine-tuning; the weights of an encoder are the mean of its runs'."""
    n_layers: Mapping[str, int] = field(default_factory=lambda: {"en": 6, "zh": 5})
    """Of each base, the lower ones."""
    n_pieces: Mapping[str, int] = field(default_factory=lambda: {"en": 8800, "zh": 7300})
    n_threads: int = 2
    grey_share: Mapping[str, Mapping[str, Mapping[float, float]]] = field(
        default_factory=lambda: {
            "prompt": {"en": {0.02: 0.25, 0.05: 0.4}, "zh": {0.02: 0.15, 0.05: 0.25}},
            "response": {"en": {0.02: 0.12, 0.05: 0.12}, "zh": {0.02: 0.12, 0.05: 0.12}},
        }
    )
    """Of ordinary harmless texts: left to the encoder, by kind, language and the benign false-positive rate that is acted at.
    Less of the replies, which are judged sentence by sentence."""
    probed_share: Mapping[float, float] = field(default_factory=lambda: {0.02: 0.6, 0.05: 0.3})
    """Of the harmless prompts that come to the encoder: settled by its first layers."""
    linear_share: Mapping[str, float] = field(default_factory=lambda: {"en": 0.25, "zh": 0.75})
    """Of the first stage's logit, added to the encoder's."""


@dataclass(frozen=True, slots=True)
class Trained:
    """An encoder and the pieces of its base that it keeps."""

    state: Mapping[str, Tensor]
    base: Base
    kept: Sequence[int]


def train(folder: Path, out: Path, recipe: Recipe) -> None:
    """Read `folder/train` (and `folder/dev` for the card alone), write the weights and the card to `out`."""
    torch.set_num_threads(recipe.n_threads)
    rows = own_rows() + read_rows(folder / "train")
    learned = [row for row in rows if not row.is_held_out]
    trained = {language: train_encoder(learned, language, recipe) for language in LANGUAGES}
    finish(trained, rows, read_rows(folder / "dev"), out, recipe)


def train_encoder(rows: Sequence[Row], language: str, recipe: Recipe) -> Trained:
    """The second stage of a language. The Chinese one learns from English rows too: its base knows both."""
    base: Base = MiniLm() if language == "en" else E5()
    own = [row for row in rows if row.language == language]
    shown = own if language == "en" else [row for row in rows if row.language == language or row.kind == "prompt"]
    kept = vocabulary.cut(base, (row.text for row in own), recipe.n_pieces[language])
    pieces = vocabulary.pieces_of(base, kept)
    states = []
    for seed, n_epochs in recipe.runs[language]:
        random = Random(seed)  # noqa: S311 - repeatable, not secret
        epochs = [list(examples(shown, pieces, random)) for _epoch in range(n_epochs)]
        model = Encoder(base, base.words([*base.special, *kept]), recipe.n_layers[language])
        fine_tune(model, epochs, seed)
        states.append(model.state_dict())
    return Trained(mean_of(states), base, kept)


def mean_of(states: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Of weights that were fine-tuned from the same ones: better than any of them (Wortsman et al., "Model soups", 2022)."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def finish(
    trained: Mapping[Language, Trained], rows: Sequence[Row], dev: Sequence[Row], out: Path, recipe: Recipe
) -> None:
    """The first stage, the thresholds, the files."""
    learned = [row for row in rows if not row.is_held_out]
    held_out = [row for row in rows if row.is_held_out]
    arrays: export.Arrays = {}
    for language, part in trained.items():
        arrays |= export.encoder_arrays(language, part.state, part.base, part.kept)
    lines = {kind: first_stage(learned, kind, recipe) for kind in KINDS}
    by_fpr = {language: {str(fpr): 0.0 for fpr in BENIGN_FPRS} for language in LANGUAGES}
    facts: dict[str, Any] = {
        "categories": CATEGORIES,
        "linear_share": {**recipe.linear_share},
        "thresholds": dict.fromkeys(KINDS, by_fpr),
    }

    def stages() -> Stages:
        return Stages(export.net(facts, lines), lambda language: Reader(arrays, language))

    facts["settled_below"] = _settled_below(stages().net, held_out, recipe.grey_share)
    facts["probed_below"] = {}
    for language in LANGUAGES:
        net = stages().net
        arrays |= _probe(arrays, net, learned, language, recipe)
        facts["probed_below"][language] = _probed_below(
            Reader(arrays, language), net, held_out, language, recipe.probed_share
        )
    facts["rows"], facts["thresholds"] = thresholds(stages(), held_out)
    out.mkdir(parents=True, exist_ok=True)
    export.write(out / ENCODERS, arrays)
    stages().net.write(out)
    told = json.dumps({name: getattr(recipe, name) for name in recipe.__slots__})
    (out / "CARD.md").write_text(card(stages(), facts, rows, dev, told), encoding="utf-8")


def first_stage(rows: Sequence[Row], kind: str, recipe: Recipe) -> tuple[Floats, float]:
    """Linear weights for prompts, which comments help with, or for responses."""
    chosen = [row for row in rows if (row.kind == "response") == (kind == "response")]
    counts = source_weights(chosen)
    given = [
        (row.text[:_FIRST_CHARACTERS], counts[row.source, row.kind, row.is_harmful] * _worth(row), row.is_harmful)
        for row in chosen
    ]
    if kind == "prompt":
        given += [(text, 0.7, False) for language in LANGUAGES for text in frames.harmless(language)]
    targets, weights = (np.array([row[i] for row in given], dtype=np.float32) for i in (2, 1))
    return train_linear(
        [np.array(sorted(buckets(text)), dtype=np.int64) for text, _weight, _label in given],
        targets,
        weights,
        recipe.seed,
    )


def _worth(row: Row) -> float:
    return (0.35 if row.kind == "comment" else 1.0) * (0.7 if row.is_noisy else 1.0)


Cuts = dict[str, float]
"""By benign false-positive rate."""


def _settled_below(
    net: Net, held_out: Sequence[Row], grey_share: Mapping[str, Mapping[str, Mapping[float, float]]]
) -> dict[str, dict[str, Cuts]]:
    found: dict[str, dict[str, Cuts]] = {kind: {} for kind in KINDS}
    for kind, language in product(KINDS, LANGUAGES):
        rows = [r for r in held_out if r.kind == kind and language_of(r.text) == language]
        scores = np.array([max(net.logit(kind, part) for part in windows(r.text, language)) for r in rows])
        found[kind][language] = {
            str(fpr): measure.threshold_at(scores, weights_of(rows), share)
            for fpr, share in grey_share[kind][language].items()
        }
    return found


def _asked(rows: Sequence[Row], net: Net, language: Language, benign_fpr: float) -> tuple[list[Row], Floats]:
    """The prompts whose beginning is left to the encoder, and what the first stage says of it."""
    found = [
        (row, logit)
        for row in rows
        if row.kind == "prompt" and language_of(row.text) == language
        if (logit := net.logit("prompt", windows(row.text, language)[0]))
        >= net.settled_below("prompt", language, benign_fpr)
    ]
    return [row for row, _logit in found], np.array([logit for _row, logit in found], dtype=np.float32)


def _inputs(reader: Reader, rows: Sequence[Row], language: Language) -> list[Input]:
    return [prompt_input(reader.pieces, windows(row.text, language)[0]) for row in rows]


def _probe(
    arrays: export.Arrays, net: Net, learned: Sequence[Row], language: Language, recipe: Recipe
) -> export.Arrays:
    """The probe of an encoder, whose other weights are there."""
    random = Random(recipe.seed)  # noqa: S311 - repeatable, not secret
    some = random.sample(learned, min(_PROBED_ROWS, len(learned)))
    rows, linear = _asked(some, net, language, max(recipe.probed_share))
    bare = Reader(arrays | export.probe(language, np.zeros(2 * WIDTH, dtype=np.float32), 0.0), language)
    found = probe.fit(bare, _inputs(bare, rows, language), linear, recipe.linear_share[language], recipe.seed)
    return export.probe(language, *found)


def _probed_below(
    reader: Reader, net: Net, held_out: Sequence[Row], language: Language, shares: Mapping[float, float]
) -> Cuts:
    found: Cuts = {}
    for fpr, share in shares.items():
        rows, linear = _asked(held_out, net, language, fpr)
        scores = reader.probes(_inputs(reader, rows, language)) + net.facts["linear_share"][language] * linear
        found[str(fpr)] = measure.threshold_at(scores, weights_of(rows), 1 - share)
    return found


def thresholds(stages: Stages, held_out: Sequence[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
    """By kind, language and benign false-positive rate; and how many rows each rests on."""
    counts: dict[str, Any] = {}
    cuts: dict[str, Any] = {}
    for kind in KINDS:
        for language in LANGUAGES:
            rows = [r for r in held_out if r.kind == kind and r.language == language]
            if kind == "prompt":
                scores = stages.prompts([r.text for r in rows])
            else:
                scores = [stages.reply(r.prompt, r.text) for r in rows]
            kept = [(r, s.harm) for r, s in zip(rows, scores, strict=True) if s]
            harm, weights = np.array([h for _r, h in kept]), weights_of([r for r, _h in kept])
            counts.setdefault(kind, {})[language] = len(kept)
            cuts.setdefault(kind, {})[language] = {
                str(fpr): max(measure.threshold_at(harm, weights, fpr), least)
                for fpr, least in zip(BENIGN_FPRS, _LEAST_HARM[kind], strict=True)
            }
    return counts, cuts


def weights_of(rows: Sequence[Row]) -> Floats:
    """So that each source counts by the root of its rows."""
    weights = source_weights(rows, enough=50)
    return np.array([weights[row.source, row.kind, row.is_harmful] for row in rows], dtype=np.float32)
