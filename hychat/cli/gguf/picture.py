"""Where a model's bytes are, as a bar and a row for each group of tensors."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len

from hychat.cli.output import Output
from hychat.conversion.inspect import GROUP_NAMES, TensorGroup
from hychat.domain.numbers import amount, size
from hychat.messages import _

_BAR_COLUMNS: Final = 72
_SHADES: Final = "█▓▒░▚▞▖·"
_ASCII_SHADES: Final = "#%*=+o:."
"""The same, in a terminal that has letters of one language only."""
_COLOURS: Final = (34, 36, 32, 33, 35, 31, 37, 90)
"""By group, in the order of `GROUP_NAMES`."""


def draw(groups: Sequence[TensorGroup], output: Output) -> None:
    """Draw it, in colour where there are colours; as wide as the terminal, and no wider."""
    columns = output.stdout.size().columns if output.stdout.is_terminal else None
    shades = _SHADES if output.stdout.is_unicode else _ASCII_SHADES
    output.styled(_bar(groups, min(_BAR_COLUMNS, columns or _BAR_COLUMNS), shades, has_colour=output.stdout.has_colour))
    for group, row in zip(groups, _rows(groups, columns), strict=True):
        place = GROUP_NAMES.index(group.name)
        output.marked(shades[place], row, sgr=str(_COLOURS[place]))


def _bar(groups: Sequence[TensorGroup], columns: int, shades: str, *, has_colour: bool) -> str:
    """Groups too small for a column are left out."""
    total = max(1, sum(group.bytes for group in groups))
    bar, start, done = "", 0, 0
    for group in groups:
        place, done = GROUP_NAMES.index(group.name), done + group.bytes
        end = round(columns * done / total)
        run = shades[place] * (end - start)
        bar += f"\x1b[{_COLOURS[place]}m{run}\x1b[0m" if has_colour and run else run
        start = end
    return bar


def _rows(groups: Sequence[TensorGroup], columns: int | None) -> Iterator[str]:
    """Name, share, bytes, weights, bits a weight, formats; the last ones are left out where a row has no room for them."""
    total, names = max(1, sum(group.bytes for group in groups)), group_names()
    width = max(cell_len(names[group.name]) for group in groups)
    for group in groups:
        cells = (
            names[group.name] + " " * (width - cell_len(names[group.name])),
            f"{100 * group.bytes / total:5.1f}%",
            f"{size(group.bytes):>9}",
            f"{amount(group.elements):>8}",
            f"{group.bits_per_weight:5.2f}",
            f" {', '.join(name for name, _bytes in group.types)}",
        )
        row = f" {cells[0]}"
        for cell in cells[1:]:
            if columns and 1 + cell_len(row) + 1 + len(cell) > columns:
                break
            row += f" {cell}"
        yield row


def group_names() -> dict[str, str]:
    """What the groups of tensors are called."""
    return {
        "embeddings": _("embeddings, output"),
        "attention": _("attention"),
        "feed_forward": _("feed-forward"),
        "experts": _("experts"),
        "shared": _("shared experts"),
        "router": _("router"),
        "norms": _("norms"),
        "others": _("others"),
    }
