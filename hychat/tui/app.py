"""The Textual application: it puts desk, themes, language and screens together, and does no work of its own."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.app import App
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.filter import LineFilter, NoColor
from textual.screen import Screen
from textual.worker import WorkerError, WorkerFailed

from hychat.domain.errors import HychatError
from hychat.domain.message import Part
from hychat.messages import _, choose_language, language, language_of_locale
from hychat.tui import effects
from hychat.tui.commands import COMMANDS
from hychat.tui.desk import Desk
from hychat.tui.effects import Place
from hychat.tui.ending import hear_hang_up, hear_signals
from hychat.tui.fetching import Fetching, FetchViewer
from hychat.tui.screens.chat import ChatScreen
from hychat.tui.themes import LoadedTheme, default_variables, load_theme, shipped_theme

if TYPE_CHECKING:
    from hychat.tui.screens.models import ModelsScreen

_PATIENCE_SECONDS: Final = 3.0
"""How long an answer that was stopped is waited for."""


class HychatApp(App[int]):
    """hychat on the whole screen."""

    TITLE = "hychat"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = []
    CSS_PATH = "styles/chat.tcss"  # of the default screen Textual reads none
    CSS = """
    Toast { background: $surface; color: $foreground; }
    .text-area--cursor, .input--cursor {
        color: $input-cursor-foreground;
        background: $input-cursor-background;
        text-style: $input-cursor-text-style;
    }
    """

    def __init__(self, desk: Desk, first: Sequence[Part] = ()) -> None:
        """`first` is asked at once."""
        super().__init__()
        self.desk = desk
        self._first = first
        self.fetching = Fetching(self._fetch_viewers)
        self.animation_level = "none"
        self._theme_trouble: HychatError | None = None
        self._take_first_theme(desk.config.theme)

    def _take_first_theme(self, name: str) -> None:
        """Look as the user wants; where that is not possible, as usual, and say so in the chat."""
        try:
            self.take_theme(load_theme(name))
        except HychatError as error:
            self._theme_trouble = error
            self.take_theme(shipped_theme())

    def take_theme(self, loaded: LoadedTheme) -> None:
        """Look different."""
        self.register_theme(loaded.theme)
        self.theme = loaded.name
        for screen in self.screen_stack if self._running else ():
            if isinstance(screen, ChatScreen):
                self.call_next(screen.transcript.look_anew)  # after Textual's own call, which takes the new styles

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, for Textual's own themes, one of which it has before ours."""
        return default_variables(self.current_theme)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """NO_COLOR leaves bold and reverse; Textual would paint greys, and the terminal's own colours black on black."""
        return (NoColor(),) if self.no_color else ()

    def get_default_screen(self) -> Screen[None]:
        """The chat is the first screen: another below it would cost a tenth of the start."""
        return ChatScreen(self.desk, self._first)

    def on_mount(self) -> None:
        """Be ready for the end, and say in the chat what was wrong with the theme."""
        if not self.is_headless:
            hear_signals(self.leave)
            if os.isatty(0):
                hear_hang_up(self.leave)
        if self._theme_trouble is not None and isinstance(self.screen, ChatScreen):
            self.screen.call_after_refresh(self.screen.tell_error, self._theme_trouble)

    @on(ChatScreen.Wanted)
    def _take_wish(self, event: ChatScreen.Wanted) -> None:
        chat = self.screen
        if not isinstance(chat, ChatScreen):
            return
        match event.effect:
            case effects.Leave():
                self.leave(0)
            case effects.Go(place):
                self._go(place, chat)
            case effects.SwitchLanguage(tag):
                self._speak(tag or ("zh" if language() == "en" else "en"))
            case effects.SwitchTheme(name):
                self._switch_theme(name, chat)
            case _:
                pass

    def _go(self, place: Place, chat: ChatScreen) -> None:
        """Open another screen; what was chosen there is given to the chat."""
        match place:
            case Place.HELP:
                from hychat.tui.screens.help import HelpScreen

                self.push_screen(HelpScreen(), lambda command: chat.give(command) if command else None)
            case Place.THEMES:
                from hychat.tui.screens.themes import ThemesScreen

                self.push_screen(ThemesScreen())
            case Place.SETTINGS:
                from hychat.tui.screens.settings import SettingsScreen

                self.push_screen(SettingsScreen(self.desk), self._taker_of_settings(chat))
            case Place.CHATS:
                from hychat.tui.screens.chats import ChatsScreen

                self.push_screen(ChatsScreen(self.desk), chat.take_chat)
            case Place.EXPERTS:
                from hychat.tui.screens.experts import ExpertsScreen

                self.push_screen(ExpertsScreen(self.desk.engine, chat.ask))
            case Place.MODELS:
                self._open_models(chat)
            case _:
                pass

    # Models

    @on(ChatScreen.ModelMissing)
    def _begin_with_a_model(self, event: ChatScreen.ModelMissing) -> None:
        if isinstance(self.screen, ChatScreen):
            self._open_models(self.screen, event.why)

    def _open_models(self, chat: ChatScreen, missing: str = "") -> None:
        from hychat.tui.screens.models import ModelsScreen

        self.push_screen(
            ModelsScreen(self.desk, self.fetching, missing),
            lambda name: chat.give(COMMANDS["model"], name) if name else None,
        )

    def on_models_screen_agreed(self, event: "ModelsScreen.Agreed") -> None:
        """Fetch behind whatever the user does."""
        self.run_worker(self.fetching.run(event.fetch), group="fetch", exclusive=True)

    @on(ChatScreen.Agreed)
    def _fetch_for_chat(self, event: ChatScreen.Agreed) -> None:
        """As above; the chat does not know what is being fetched already."""
        running = self.fetching.now
        if running is None:
            self.run_worker(self.fetching.run(event.fetch), group="fetch", exclusive=True)
        elif isinstance(self.screen, ChatScreen):
            busy = _("One download at a time: wait for {title}, or stop it.")
            self.screen.tell(busy.format(title=running.title))

    def _fetch_viewers(self) -> list[FetchViewer]:
        from hychat.tui.screens.models import ModelsScreen

        viewers = (screen for screen in self.screen_stack if isinstance(screen, ChatScreen | ModelsScreen))
        return [viewer for viewer in viewers if viewer.is_mounted and viewer.is_running]

    async def action_quit(self) -> None:
        """Textual's own key for the end, which comes before ours."""
        self.leave(0)

    @work(group="leaving", exclusive=True)
    async def leave(self, exit_code: int) -> None:
        """End; an answer that is being written is stopped first, so that it is kept as far as it came."""
        with suppress(TimeoutError, WorkerError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for screen in self.screen_stack:
                    if isinstance(screen, ChatScreen):
                        await screen.finish()
        self.exit(exit_code)

    def on_unmount(self) -> None:
        """Leave a download where it is, to go on another time."""
        if self.fetching.now is not None:
            self.fetching.now.stop()

    def _taker_of_settings(self, chat: ChatScreen) -> Callable[[bool | None], None]:
        """Look, speak and send as the settings say then; what was typed at the start holds where they did not change."""
        before = self.desk.config

        def take(_done: bool | None) -> None:
            config = self.desk.config
            if config.theme != before.theme:
                self._wear(config.theme, chat)
            if config.language != before.language:
                self._speak(language_of_locale() if config.language == "auto" else config.language)
            chat.prompt.sends_with_enter = config.send_key == "enter"
            chat.refresh_status()

        return take

    def _switch_theme(self, name: str, chat: ChatScreen) -> None:
        if self._wear(name, chat):
            try:
                self.keep_setting("theme", name)
            except HychatError as error:
                chat.tell_error(error)

    def _wear(self, name: str, chat: ChatScreen) -> bool:
        """Look different; whether that was possible."""
        try:
            self.take_theme(load_theme(name))
        except HychatError as error:
            chat.tell_error(error)
            return False
        return True

    def keep_setting(self, name: str, text: str) -> None:
        """Write a setting into the config file.

        Raises:
            ConfigError: It cannot be written.
        """
        from hychat.config.save import set_value
        from hychat.paths import config_file

        set_value(config_file(), name, text)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by the terminal, and by a tool of the system where there is one: few terminals allow the first."""
        from hychat.tui.clipboard import copy_with_tool

        super().copy_to_clipboard(text)
        self.run_worker(lambda: copy_with_tool(text), thread=True, group="clipboard")

    def _handle_exception(self, error: Exception) -> None:
        """A worker that looks for a widget while the screens are being taken down has nothing to tell any more."""
        is_ending = self._exit or not self._running
        if not (is_ending and isinstance(error, WorkerFailed) and isinstance(error.error, NoMatches)):
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Textual would print a traceback; `failure` is told at the command line's border instead."""
        self.bell()
        self._close_messages_no_wait()

    @property
    def failure(self) -> Exception | None:
        """What ended the application, where it was a defect."""
        return self._exception

    def _speak(self, tag: str) -> None:
        choose_language(tag)
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.speak_anew()
