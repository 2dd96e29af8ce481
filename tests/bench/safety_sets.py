"""`python -m tests.bench.safety_sets FOLDER`: how right and how fast the filter is on labelled sets, in Markdown.

FOLDER holds `*.jsonl.gz` with text, label, kind and perhaps prompt. `alt-profanity-check` and `better-profanity` are compared
where they are installed. The published figures are per cent, from the Qwen3Guard technical report (2025), tables 2 to 4, and the
model card of Llama Guard 3 1B.
"""

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from hychat.domain.choices import SafetyLevel
from hychat.domain.safety import SafetyAction
from hychat.safety.guard import Guard, open_layers
from hychat.safety.metrics import Judged, Metrics, metrics_of

_NOWHERE: Final = Path("/no/such/words.yaml")
_PUBLISHED: Final = """
Published F1, of prompts but for the last column; SimpleSafetyTests and OpenAI-Mod are larger there. XSTest: from the model card
of Llama Guard 3 1B, with the share of harmless prompts that were flagged:

| | XSTest | SimpleSafetyTests | HarmBench | Aegis | OpenAI-Mod | ToxicChat | XSTest answers |
|---|---|---|---|---|---|---|---|
| OpenAI moderation endpoint | - | 63.0 | 9.6 | 31.9 | 79.0 | 25.4 | - |
| Llama Guard 3 8B | 88.4 (4.4) | 99.5 | 99.0 | 71.5 | 79.5 | 53.8 | 89.8 |
| Llama Guard 3 1B | 82.1 (6.8) | - | - | - | - | - | - |
| Qwen3Guard-Gen 0.6B strict / loose | - | 99.0 / 95.8 | 98.7 / 96.1 | 90.8 / 76.9 | 66.5 / 77.6 | 65.1 / 77.7 | 89.7 / - |
"""

Row = dict[str, Any]
Judge = Callable[[Row], tuple[bool, float]]
"""Whether a row is flagged, and how harmful it seems."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that is compared."""

    name: str
    judge: Judge


def main() -> None:
    """Print a line for each set and filter."""
    filters = [*_filters()]
    print("| set | filter | recall | harmless flagged | F1 | AUPRC | ms a text |\n|---|---|---|---|---|---|---|")
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        for each in filters:
            print(_line(path.name.removesuffix(".jsonl.gz"), each, rows), flush=True)
    print(_PUBLISHED)


def _line(name: str, each: Filter, rows: Sequence[Row]) -> str:
    started = perf_counter()
    judged = [Judged(row["label"] == "unsafe", *each.judge(row)) for row in rows]
    milliseconds = 1000 * (perf_counter() - started) / len(rows)
    return f"| {name} | {each.name} | {_cells(metrics_of(judged))} | {milliseconds:.1f} |"


def _cells(found: Metrics) -> str:
    figures = (found.recall, found.false_positive_rate, found.f1 if found.safe else None, found.auprc)
    return " | ".join(
        f"{100 * each.value:.1f} ({100 * each.low:.0f}-{100 * each.high:.0f})" if each else "-" for each in figures
    )


def _filters() -> Iterator[Filter]:
    layers = open_layers(_NOWHERE)
    for level in (SafetyLevel.STANDARD, SafetyLevel.STRICT):
        guard = Guard(level, layers)
        guard.prepare()
        yield Filter(f"hychat {level}, not sent", _of_guard(guard, {SafetyAction.BLOCK, SafetyAction.SUPPORT}))
        yield Filter(f"hychat {level}, flagged", _of_guard(guard, {*SafetyAction} - {SafetyAction.ALLOW}))
    with suppress(ImportError):
        from profanity_check import predict_prob

        yield Filter("alt-profanity-check", lambda row: _of_score(float(predict_prob([row["text"]])[0])))
    with suppress(ImportError):
        from better_profanity import profanity

        profanity.load_censor_words()
        yield Filter("better-profanity", lambda row: _of_score(float(profanity.contains_profanity(row["text"]))))


def _of_score(score: float) -> tuple[bool, float]:
    return score > 0.5, score


def _of_guard(guard: Guard, flagged: set[SafetyAction]) -> Judge:
    def judge(row: Row) -> tuple[bool, float]:
        is_reply = row["kind"] == "response"
        verdict = guard.reply(row.get("prompt") or "", row["text"]) if is_reply else guard.prompt(row["text"])
        return verdict.action in flagged, verdict.score

    return judge


if __name__ == "__main__":
    main()
