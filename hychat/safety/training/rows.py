"""The rows of the data folder and those written by hand for this project, folded, weighed and split."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from hychat.safety.fold import fold

CATEGORIES: Final = (
    "violence", "weapons", "self-harm", "sexual", "minors", "hate", "harassment", "privacy", "fraud", "malware", "drugs",
    "jailbreak", "other",
)  # fmt: skip
_CATEGORY: Final = {"self_harm": "self-harm", "weapons_illegal": "weapons", "misinformation": "other"}
_DRUG_WORDS: Final = (
    "drug", "cocaine", "heroin", "meth", "cannabis", "marijuana", "ecstasy", "opioid", "fentanyl", "mdma",
    "毒品", "大麻", "海洛因", "冰毒", "可卡因", "吸毒", "摇头丸",
)  # fmt: skip
"""The data puts drugs and weapons together."""
_HELD_OUT_OF: Final = 4
HELD_OUT: Final = frozenset({
    "arena_hard_v2", "self_instruct", "oasst_en", "ifeval", "gpteacher", "llamafactory_demo", "huatuo_zh", "crosswoz", "kdconv",
    "smilechat", "xsafety_zh",
})  # fmt: skip
"""Sources of what people ask ordinarily, worries among it. One harmless row in so many of theirs is never trained on and sets
the thresholds.

Real questions are rare here; without those of the first source in training, every fifth long real one was found harmful.
"""
OWN: Final = "by_hand"
"""The source of the rows in `own/`."""
_MOST_CHARACTERS: Final = 3000


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text, folded."""

    text: str
    is_harmful: bool
    category: str | None
    language: str
    source: str
    kind: str
    """prompt, response or comment."""
    prompt: str
    """What a response answers; empty where it is not known."""
    is_noisy: bool

    @property
    def number(self) -> int:
        """The CRC-32 of its text."""
        return zlib.crc32(self.text.encode())

    @property
    def is_held_out(self) -> bool:
        """Whether it only sets thresholds."""
        return not self.is_harmful and self.source in HELD_OUT and self.number % _HELD_OUT_OF == 0


def read_rows(folder: Path) -> list[Row]:
    """All rows of all sources of a folder, each text once, but for those that ask for harm and are called harmless there."""
    mislabelled = {int(line) for line in _own_lines("mislabelled.txt")}
    rows = _distinct(row for path in sorted(folder.glob("*.jsonl.gz")) for row in _read(path))
    return [row for row in rows if row.is_harmful or row.number not in mislabelled]


def own_rows() -> list[Row]:
    """The rows written by hand: prompts by language and label, a category before the harmful ones, and replies."""
    rows = [json.loads(line) for line in _own_lines("replies.jsonl")]
    for language in ("en", "zh"):
        for line in _own_lines(f"{language}_harmful.txt"):
            category, text = line.split("\t", 1)
            rows.append({"text": text, "label": "unsafe", "category": category, "lang": language})
        rows += [{"text": line, "label": "safe", "lang": language} for line in _own_lines(f"{language}_harmless.txt")]
    return _distinct(_row({"source": OWN, "kind": "response" if "prompt" in row else "prompt", **row}) for row in rows)


def _own_lines(name: str) -> list[str]:
    return files("hychat.safety.training").joinpath("own", name).read_text(encoding="utf-8").splitlines()


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return list({(row.kind, row.prompt, row.text): row for row in reversed([*rows])}.values())[::-1]


def _read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from (_row(json.loads(line)) for line in lines)


def _row(row: Mapping[str, Any]) -> Row:
    text = fold(row["text"][:_MOST_CHARACTERS]).text
    return Row(
        text,
        row["label"] == "unsafe",
        _category(row.get("category"), text),
        row["lang"],
        row["source"],
        row["kind"],
        fold(row.get("prompt", "")[:_MOST_CHARACTERS]).text,
        bool(row.get("noisy")),
    )


def _category(name: str | None, text: str) -> str | None:
    if name == "weapons_illegal" and any(word in text for word in _DRUG_WORDS):
        return "drugs"
    return _CATEGORY.get(name, name) if name else None


def source_weights(rows: Iterable[Row], enough: int = 1000) -> dict[tuple[str, str, bool], float]:
    """What a row of each source, kind and label counts, so that a large source does not rule."""
    counts = Counter((row.source, row.kind, row.is_harmful) for row in rows)
    return {key: min(1.0, (enough / count) ** 0.5) for key, count in counts.items()}
