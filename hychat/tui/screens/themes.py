"""The themes; the one that the bar stands before is tried on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual import on

from hychat.domain.errors import HychatError
from hychat.messages import _
from hychat.tui.screens.panel import Panel
from hychat.tui.themes import LoadedTheme, load_themes
from hychat.tui.widgets.picklist import Item, PickList

if TYPE_CHECKING:
    from hychat.tui.app import HychatApp


class ThemesScreen(Panel[None]):
    """Tries themes on; Enter keeps one, Esc goes back to the one before."""

    def __init__(self) -> None:
        super().__init__()
        found = load_themes()
        self._themes = {theme.name: theme for theme in found.loaded}
        self._failed = found.failed

    def heading(self) -> str:
        """As `Panel`."""
        return _("Themes")

    def filter_hint(self) -> str:
        """As `Panel`."""
        return _("Type to search")

    def keys(self) -> str:
        """As `Panel`."""
        return _("Up, Down: try on · Enter: keep · Esc: as before")

    def on_mount(self) -> None:
        """Begin with the theme in use."""
        self._before = LoadedTheme(self.app.current_theme, {})
        super().on_mount()
        self.list.mark(self._before.name)
        self.note("\n".join(error.message for error in self._failed))

    def items(self, words: str) -> Sequence[Item]:
        """As `Panel`."""
        wanted = words.lower()
        return [
            Item(theme.name, theme.title, facts=theme.name)
            for theme in self._themes.values()
            if wanted in f"{theme.title} {theme.name}".lower()
        ]

    @on(PickList.Marked)
    def _try_on(self, event: PickList.Marked) -> None:
        self._wear(self._themes[event.item.key])

    @on(PickList.Chosen)
    def _keep(self, event: PickList.Chosen) -> None:
        try:
            self._app.keep_setting("theme", event.item.key)
        except HychatError as error:
            self.note(error.message)
            return
        self.dismiss(None)

    def action_leave(self) -> None:
        """Look as before."""
        self._wear(self._before)
        self.dismiss(None)

    @property
    def _app(self) -> "HychatApp":
        return cast("HychatApp", self.app)

    def _wear(self, theme: LoadedTheme) -> None:
        self._app.take_theme(theme)
