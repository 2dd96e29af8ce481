"""What a chat is written as."""

from collections.abc import Sequence

from textual import on

from hychat.messages import _
from hychat.tui.exporting import file_name
from hychat.tui.screens.panel import Panel
from hychat.tui.widgets.picklist import Item, PickList


class ExportScreen(Panel[str]):
    """Markdown, HTML or JSON; tells the suffix of the file."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__()
        self._conversation_id = conversation_id

    def heading(self) -> str:
        """As `Panel`."""
        return _("Write the chat to a file")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search")

    def keys(self) -> str:
        """As `Panel`."""
        return _("Enter: write it into the current folder · Esc: back")

    def items(self, words: str) -> Sequence[Item]:
        """As `Panel`."""
        kinds = {
            ".md": ("Markdown", _("to read and to edit")),
            ".html": ("HTML", _("one page for any browser, light or dark")),
            ".json": ("JSON", _("every branch and figure, for programs")),
        }
        return [
            Item(suffix, title, facts=file_name(self._conversation_id, suffix), detail=detail)
            for suffix, (title, detail) in kinds.items()
            if words.strip().lower() in f"{title} {suffix}".lower()
        ]

    @on(PickList.Chosen)
    def _choose(self, event: PickList.Chosen) -> None:
        self.dismiss(event.item.key)
