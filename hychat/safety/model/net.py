"""The first stage: a weight a hashed feature; and what is known of both stages. Nothing here needs numpy."""

import json
from array import array
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any, Final

from hychat.safety.model.features import BITS, buckets

KINDS: Final = ("prompt", "response")
FACTS: Final = "net.json"
WEIGHTS: Final = "net.bin"


class Net:
    """The linear weights of each kind of text, in 8 bits."""

    def __init__(self, facts: Mapping[str, Any], weights: "Mapping[str, array[int]]") -> None:
        """`facts` as `hychat.safety.training` writes them."""
        self.facts, self.weights = facts, weights

    @classmethod
    def read(cls, folder: Path) -> "Net":
        """From its two files. Raises FileNotFoundError."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
        size = 1 << BITS
        return cls(facts, {kind: array("b", content[n * size : (n + 1) * size]) for n, kind in enumerate(KINDS)})

    def write(self, folder: Path) -> None:
        """To where `read` finds it."""
        (folder / FACTS).write_text(json.dumps(self.facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / WEIGHTS).write_bytes(b"".join(self.weights[kind].tobytes() for kind in KINDS))

    def logit(self, kind: str, text: str) -> float:
        """How harmful a folded text looks to it."""
        found = buckets(text)
        line = self.facts["linear"][kind]
        total = sum(map(self.weights[kind].__getitem__, found))
        return float(total * line["scale"] / sqrt(max(len(found), 1)) + line["bias"])

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """The harm that such a share of harmless texts exceeds, as measured when the weights were made."""
        return float(self.facts["thresholds"][kind][language][str(benign_fpr)])

    def settled_below(self, kind: str, language: str, benign_fpr: float) -> float:
        """The logit below which the encoder is not asked, where nothing is done below the threshold of this share."""
        return float(self.facts["settled_below"][kind][language][str(benign_fpr)])

    def probed_below(self, language: str, benign_fpr: float) -> float:
        """The same of a prompt's probe, this model's share in it."""
        return float(self.facts["probed_below"][language][str(benign_fpr)])
