"""What the text that is being typed may become."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.widgets import Static

from hychat.domain.text import printable

_MOST_ROWS: Final = 6
_GAP_CELLS: Final = 3


class Completion(Static):
    """A few lines above the prompt, one of them marked: Up and Down go through them, Tab takes the marked one."""

    DEFAULT_CSS = """
    Completion {
        height: auto;
        color: $muted;
        display: none;
        & .completion--marked { color: $foreground; text-style: bold; }
        & .completion--bar { color: $bar; }
    }
    """
    COMPONENT_CLASSES = {"completion--marked", "completion--bar"}  # noqa: RUF012 - Textual's own way

    def __init__(self) -> None:
        super().__init__(id="completion", markup=False)
        self._choices: Sequence[tuple[str, str]] = ()
        self._marked = 0

    @property
    def chosen(self) -> str | None:
        """What Tab makes of the text."""
        return self._choices[self._marked][0] if self._choices else None

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Show these, each with what it does; nothing closes the list."""
        self._choices, self._marked = choices, 0
        self._paint()

    def step(self, rows: int) -> None:
        """Mark another one."""
        if self._choices:
            self._marked = (self._marked + rows) % len(self._choices)
            self._paint()

    def close(self) -> None:
        """Take it away."""
        self.offer(())

    def _paint(self) -> None:
        self.display = bool(self._choices)
        first = max(0, min(self._marked - _MOST_ROWS // 2, len(self._choices) - _MOST_ROWS))
        shown = self._choices[first : first + _MOST_ROWS]
        width = max((cell_len(text) for text, _label in shown), default=0) + _GAP_CELLS
        bar, marked = (self.get_component_rich_style(f"completion--{name}", partial=True) for name in ("bar", "marked"))
        rows = Text(no_wrap=True, overflow="ellipsis")
        for nth, (text, label) in enumerate(shown, first):
            row = set_cell_size(printable(text).replace("\n", " "), width) + label
            is_marked = nth == self._marked
            rows.append("▎ " if is_marked else "  ", bar)
            rows.append(row + "\n", marked if is_marked else "")
        rows.rstrip()
        self.update(rows)
