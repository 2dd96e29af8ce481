"""How a mixture spreads its work over its experts: figures from the counts of what was chosen, and how they are shown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hychat.messages import _

PUBLISHED_SHARE: Final = 0.92
"""Of experts in use, as Tencent tells of Hunyuan's mixtures."""
OLDER_SHARE: Final = 0.75
"""The same of older mixtures, as told beside it."""

SHADES: Final = " ░▒▓█"
"""Of a cell, by its level."""
ASCII_SHADES: Final = " .+x#"
"""The same, in a terminal that has letters of one language only."""
COLOURS: Final = (238, 24, 31, 214, 196)
"""The same from cold to hot, of a terminal's 256."""
_MARGIN: Final = 5


@dataclass(frozen=True, slots=True)
class LayerUse:
    """What one layer chose."""

    layer: int
    counts: tuple[int, ...]
    """How often each expert was."""

    @property
    def in_use(self) -> int:
        """Experts that were chosen at all."""
        return sum(count > 0 for count in self.counts)

    @property
    def balance(self) -> float:
        """Entropy of the choices over that of an even spread: 1 where all are chosen alike, 0 where one is always."""
        total = sum(self.counts)
        if not total or len(self.counts) < 2:  # noqa: PLR2004 - a single expert has no spread
            return 0.0
        shares = [count / total for count in self.counts if count]
        return -sum(share * math.log(share) for share in shares) / math.log(len(self.counts))

    @property
    def most_used(self) -> int:
        """The expert that was chosen most."""
        return max(range(len(self.counts)), key=lambda expert: self.counts[expert])

    @property
    def least_used(self) -> int:
        """The expert that was chosen least."""
        return min(range(len(self.counts)), key=lambda expert: self.counts[expert])

    def levels(self, steps: int) -> list[int]:
        """How each expert compares with an even spread: 0 where it was never chosen, `steps` - 1 at twice its share or more."""
        even = sum(self.counts) / max(1, len(self.counts))
        return [
            0 if not count else max(1, min(steps - 1, round(count / (2 * even) * (steps - 1)))) for count in self.counts
        ]


@dataclass(frozen=True, slots=True)
class ExpertUse:
    """What all layers chose."""

    layers: tuple[LayerUse, ...]

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "ExpertUse":
        """Each row has a layer's number, then the count of each expert."""
        return cls(tuple(LayerUse(row[0], tuple(row[1:])) for row in rows))

    @property
    def share_in_use(self) -> float:
        """Of all experts of all layers, those that were chosen at all."""
        experts = sum(len(layer.counts) for layer in self.layers)
        return sum(layer.in_use for layer in self.layers) / experts if experts else 0.0

    @property
    def balance(self) -> float:
        """The mean over the layers."""
        return sum(layer.balance for layer in self.layers) / len(self.layers) if self.layers else 0.0


class Row(NamedTuple):
    """A line of a heat map."""

    margin: str
    levels: list[int]
    """Of each cell, an expert; 0 for one that was never chosen."""

    def shaded(self, shades: str = SHADES) -> str:
        """The line without colour."""
        return self.margin + "".join(shades[level] for level in self.levels)


def heat_map(use: ExpertUse, columns: int) -> list[Row]:
    """A row for each layer, a cell for each expert, the higher the more it was chosen; folded evenly to the columns."""
    most, rows = max(8, columns - _MARGIN), []
    for layer in use.layers:
        levels = layer.levels(len(SHADES))
        width = -(-len(levels) // -(-len(levels) // most))
        for start in range(0, len(levels), width):
            margin = " " * _MARGIN if start else f"{layer.layer:>{_MARGIN - 1}} "
            rows.append(Row(margin, levels[start : start + width]))
    return rows


def legend() -> Row:
    """What the cells of a map mean, from the coldest to the hottest."""
    told = _("Down: layers; across: experts. From never chosen to twice an even share or more:")
    return Row(f"{told} ", [*range(len(SHADES))])


def in_words(use: ExpertUse) -> list[str]:
    """What a map comes to."""
    claim = _("Tencent tells of {published:.0%} for its mixtures, and of {older:.0%} for older ones").format(
        published=PUBLISHED_SHARE, older=OLDER_SHARE
    )
    lines = [
        _("Experts in use: {share:.0%} ({claim}).").format(share=use.share_in_use, claim=claim),
        _("Balance: {balance:.2f} (1.00 where all are chosen alike).").format(balance=use.balance),
    ]
    if use.layers:
        uneven = min(use.layers, key=lambda layer: layer.balance)
        lines.append(
            _("The least even layer is {layer} ({balance:.2f}): most chosen is expert {most}, least {least}.").format(
                layer=uneven.layer, balance=uneven.balance, most=uneven.most_used, least=uneven.least_used
            )
        )
    return lines
