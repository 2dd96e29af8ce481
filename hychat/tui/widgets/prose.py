"""A text to read, broken as the answers are: well in Chinese too."""

from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.widget import Widget

from hychat.domain.text import printable
from hychat.tui.markdown.wrapping import wrap


class Prose(Widget):
    """Plain text, as tall as it is."""

    DEFAULT_CSS = """
    Prose { height: auto; }
    """

    def __init__(self, text: str, *, id: str | None = None) -> None:  # noqa: A002 - a widget's
        super().__init__(id=id)
        self._text = printable(text)

    def _rows(self, width: int) -> list[str]:
        return ["".join(text for text, _style in row) for row in wrap([(self._text, Style.null())], max(2, width))]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - a widget's
        """Rows at that width."""
        return len(self._rows(width))

    def render(self) -> Text:
        """The rows, at the width of now."""
        return Text("\n".join(self._rows(self.content_size.width)), no_wrap=True)
