"""The model card: what the trainer read, how it went on, what was measured."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hychat.safety.model import Score
from hychat.safety.model.stages import Stages
from hychat.safety.training import measure
from hychat.safety.training.rows import HELD_OUT, Row

_METHOD: Final = f"""## Method

All texts are folded (`hychat.safety.fold`) before training and before use. Two stages:

1. a linear model over hashed words, pairs and triples of words and runs of characters (8-bit weights), one for prompts and
   one for replies; it settles what is clearly harmless, less of it at the strict level than at the standard one;
2. an encoder for each language: the six layers of all-MiniLM-L6-v2 for English, the lower layers of multilingual-e5-small for
   Chinese, each with a cut vocabulary, fine-tuned with a head for prompts, one for replies (prompt and reply as a pair) and
   one for categories; weights in 4 bits. The Chinese one learned from English prompts too; an encoder with several runs
   is the mean of their weights. After two of its layers a linear probe settles what is harmless by then.

Thresholds are set on harmless rows alone, a quarter of those of some sources of ordinary use, which was never trained on:
{", ".join(sorted(HELD_OUT))}. Each source counts by the root of its rows.
Some of the project's own harmless rows were written after the false alarms among these had been looked at, on like topics though
in other words, so the true share of harmless texts that is flagged may be higher than a threshold's.

The rows of `by_hand` are synthetic: written for this project one by one, none from users.
"""
_LIMITS: Final = """## Limits

- English and Chinese only; other scripts are not judged, other languages in Latin letters are judged badly.
- Indirect, long-winded or very short requests are missed more often than plain ones; swapped letters and invented words hide
  a request.
- A request in the middle of a long harmless text is often missed.
- It sees a text and, for a reply, the prompt before it; it does not see the conversation.
- The data is mostly requests that were written to be refused, and templates; real use differs.
- A score is no probability; only the thresholds give it a meaning.
"""
_COLUMNS: Final = (
    "set", "language", "harmful / harmless", "recall at 0.5 / 1 / 2 / 5 %", "harmless flagged at the same", "F1 at the same",
    "AUPRC", "best F1",
)  # fmt: skip


def card(stages: Stages, facts: Mapping[str, Any], rows: Sequence[Row], dev: Sequence[Row], recipe: str) -> str:
    """Data, method, figures and limits, in Markdown."""
    lines = ["# The semantic layer: model card", "", f"Recipe: `{recipe}`", "", _METHOD, _thresholds(facts)]
    return "\n".join([*lines, *_figures(stages, dev), "", _LIMITS, *_data(rows), ""])


def _thresholds(facts: Mapping[str, Any]) -> str:
    lines = [
        "## Thresholds",
        "",
        "| kind | language | harmless rows | 0.5 % | 1 % | 2 % | 5 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, languages in facts["thresholds"].items():
        for language, cuts in languages.items():
            values = " | ".join(f"{cut:.3f}" for cut in cuts.values())
            lines.append(f"| {kind} | {language} | {facts['rows'][kind][language]} | {values} |")
    return "\n".join([*lines, ""])


def _figures(stages: Stages, dev: Sequence[Row]) -> list[str]:
    """Of each dev set: what exceeds each threshold, and where it has both labels, F1 and the area under the curve."""
    lines = [
        "## Figures on the development sets",
        "",
        "Never trained on, but looked at when one of a few fine-tunings was chosen: expect somewhat less elsewhere.",
        "Percent; thresholds as above, but for the best F1.",
        "",
    ]
    lines += [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for source in sorted({row.source for row in dev}):
        rows = [row for row in dev if row.source == source]
        lines.append(_figure(stages, source, rows))
    return lines


def _figure(stages: Stages, source: str, rows: Sequence[Row]) -> str:
    kind, language = rows[0].kind, rows[0].language
    standard, strict = (_harm(stages, rows, fpr) for fpr in (0.02, 0.05))
    bad = np.array([row.is_harmful for row in rows])
    flagged = [
        (strict if fpr > 0.02 else standard) > stages.net.threshold(kind, language, fpr)  # noqa: PLR2004 - the level's
        for fpr in (0.005, 0.01, 0.02, 0.05)
    ]

    def percent(values: Sequence[float]) -> str:
        return " / ".join(f"{100 * value:.1f}" for value in values)

    cells = [source, language, f"{int(bad.sum())} / {int((~bad).sum())}"]
    cells.append(percent([float(found[bad].mean()) for found in flagged]) if bad.any() else "-")
    cells.append(percent([float(found[~bad].mean()) for found in flagged]) if (~bad).any() else "-")
    if bad.any() and (~bad).any():
        cells.append(percent([measure.f1(found, bad) for found in flagged]))
        cells += [percent([measure.average_precision(strict, bad)]), percent([measure.best_f1(strict, bad)])]
    else:
        cells += ["-", "-", "-"]
    return f"| {' | '.join(cells)} |"


def _harm(stages: Stages, rows: Sequence[Row], acted_at: float) -> npt.NDArray[np.float64]:
    """Of each row, as a level sees it that acts from the threshold of this benign false-positive rate on."""
    if rows[0].kind == "prompt":
        scores: Sequence[Score | None] = stages.prompts([row.text for row in rows], acted_at)
    else:
        scores = [stages.reply(row.prompt, row.text) for row in rows]
    return np.array([score.harm if score else 0.0 for score in scores])


def _data(rows: Sequence[Row]) -> list[str]:
    """The sources that were read; NOTICE tells their licences."""
    counts = Counter((row.source, row.kind) for row in rows)
    harmful = Counter((row.source, row.kind) for row in rows if row.is_harmful)
    lines = [
        "## Data",
        "",
        "The licences stand in `hychat/safety/NOTICE`.",
        "",
        "| source | kind | rows | harmful |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {source} | {kind} | {count} | {harmful[source, kind]} |" for (source, kind), count in sorted(counts.items())
    ]
