"""The chat in a browser's page: what textual-serve's driver lacks for its process to end with the page, and with the server."""

import os
from functools import partial
from typing import Any

from textual import events
from textual.drivers.web_driver import WebDriver

from hychat.tui.app import HychatApp


class BrowserDriver(WebDriver):
    """Speaks to textual-serve through stdin and stdout."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As Textual calls it."""
        super().__init__(*arguments, **options)
        self._write = partial(_write_whole, self.fileno)

    def start_application_mode(self) -> None:
        """Begin with the focus, which a page has when something is typed into it; textual-serve tells it too early."""
        super().start_application_mode()
        self._app.call_later(self._app.post_message, events.AppFocus())

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """A page that is closed ends the chat as the user would: the answer is kept as far as it came."""
        if packet_type == "quit":
            self._leave()
        else:
            super().on_meta(packet_type, payload)

    def run_input_thread(self) -> None:
        """When nothing can come any more, the server is gone."""
        super().run_input_thread()
        self._leave()

    def _leave(self) -> None:
        if isinstance(self._app, HychatApp):
            self._app.call_later(self._app.leave, 0)


def _write_whole(descriptor: int, data: bytes) -> int:
    """A signal may cut a write into a pipe short; where the server is gone, nobody reads."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except BrokenPipeError:
        pass
    return len(data)
