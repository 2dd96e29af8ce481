"""What a command that is being typed may become."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from textual.widgets import Static

_MOST_ROWS = 6


class Completion(Static):
    """A few lines above the prompt; Tab takes the first."""

    DEFAULT_CSS = """
    Completion {
        height: auto;
        color: $muted;
        display: none;
    }
    """

    def __init__(self) -> None:
        super().__init__(id="completion", markup=False)
        self.chosen: str | None = None
        """What Tab takes."""

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Show these, each with what it does; nothing closes the list."""
        self.chosen = choices[0][0] if choices else None
        self.display = bool(choices)
        if choices:
            shown = choices[:_MOST_ROWS]
            width = max(cell_len(text) for text, _label in shown) + 3
            self.update("\n".join(set_cell_size(text, width) + label for text, label in shown))

    def close(self) -> None:
        """Take it away."""
        self.offer(())
