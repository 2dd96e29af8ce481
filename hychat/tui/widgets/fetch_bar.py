"""How a download gets on: what is fetched, a bar, and the figures."""

from typing import ClassVar, Final

from rich.text import Text
from textual.reactive import var
from textual.widget import Widget

_MOST_CELLS: Final = 32
_FIGURES_CELLS: Final = 48
"""Kept for the figures, so that the bar does not change its length with them."""


class FetchBar(Widget):
    """Two rows, or none while nothing is fetched."""

    DEFAULT_CSS = """
    FetchBar {
        height: 3;
        padding: 1 0 0 2;
        display: none;
        color: $foreground;
        & .fetch-bar--done { color: $accent; }
        & .fetch-bar--left { color: $muted; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"fetch-bar--done", "fetch-bar--left"}

    headline = var("")
    figures = var("")
    fraction = var(0.0)

    def show(self, headline: str, figures: str, fraction: float) -> None:
        """Tell this; an empty headline takes all away."""
        self.headline, self.figures, self.fraction = headline, figures, fraction
        self.display = bool(headline)
        self.refresh()

    def render(self) -> Text:
        """The rows, at the width of now."""
        width = self.content_size.width
        left = self.get_component_rich_style("fetch-bar--left", partial=True)
        text = Text(self.headline, no_wrap=True, overflow="ellipsis")
        text.truncate(width, overflow="ellipsis")
        text.append("\n")
        cells = max(0, min(_MOST_CELLS, width - _FIGURES_CELLS))
        done = round(cells * self.fraction)
        text.append("━" * done, self.get_component_rich_style("fetch-bar--done", partial=True))
        text.append("━" * (cells - done), left)
        figures = self.figures or f"{100 * self.fraction:.0f} %"
        text.append(f"{'  ' if cells else ''}{figures}", left)
        return text
