"""The source of a table's rows."""

import re
from typing import Final

from hychat.tui.markdown.block import Alignment

_BAR: Final = re.compile(r"(?<!\\)\|")
_DASHES: Final = re.compile(r"(?P<left>:?)-+(?P<right>:?)")
_ALIGNMENTS: Final[dict[tuple[bool, bool], Alignment]] = {
    (False, False): "left",
    (True, False): "left",
    (False, True): "right",
    (True, True): "center",
}


def split_cells(row: str) -> list[str]:
    r"""The cells of a row. `\|` is a bar within a cell."""
    row = row.strip()
    cells = _BAR.split(row) if "\\" in row else row.split("|")
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    if len(cells) > 1 and not cells[0].strip():
        del cells[0]
    return [cell.strip().replace(r"\|", "|") for cell in cells]


def alignments_of(row: str) -> tuple[Alignment, ...]:
    """What the line of dashes below the header says of each column; empty if it is no such line."""
    cells = [_DASHES.fullmatch(cell) for cell in split_cells(row)]
    return tuple(_ALIGNMENTS[bool(cell["left"]), bool(cell["right"])] for cell in cells if cell) if all(cells) else ()
