"""`hychat` in a terminal, and `hychat -i`: the chat on the whole screen."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hychat.config.load import load
from hychat.domain.errors import ConversationNotFound, UsageError
from hychat.engine.spawn import Spawned
from hychat.messages import _
from hychat.paths import config_file

if TYPE_CHECKING:
    from hychat.domain.message import Conversation, Part
    from hychat.runtime import Runtime


class Opening(NamedTuple):
    """What the chat begins with."""

    words: str = ""
    files: Sequence[Path] = ()
    goes_on: bool = False
    resume: str | None = None


def are_terminals() -> bool:
    """Whether a person sits before both ends."""
    try:
        return os.isatty(0) and os.isatty(1)
    except OSError:
        return False


def open_chat(opening: Opening, flags: Mapping[str, object], spawned: Spawned | None) -> int:
    """Run the chat until the user leaves; the exit code. `flags` as in `answer`.

    Raises:
        UsageError: There is no terminal.
        ConversationNotFound: There is no such chat to go on with.
    """
    config = load(config_file(), os.environ).over(flags)
    parts = _parts(opening)
    _take_terminal()

    def open_runtime() -> "Runtime":
        from hychat.runtime import Runtime  # 50 ms, while the first frame is on the screen already

        return Runtime(config, spawned=spawned)

    from hychat.tui.app import HychatApp
    from hychat.tui.desk import Desk

    desk = Desk(config, open_runtime)
    try:
        if opening.goes_on or opening.resume is not None:
            desk.go_on_with(_conversation(desk.runtime, opening.resume))
        app = HychatApp(desk, parts)
        exit_code = app.run(mouse=config.mouse) or app.return_code or 0
        if app.failure is not None:
            raise app.failure
        return exit_code
    finally:
        desk.close()


def _parts(opening: Opening) -> "tuple[Part, ...]":
    """What is asked at once: files, piped data, then the words."""
    if not opening.words and not opening.files and os.isatty(0):
        return ()
    from hychat.cli.stdin import read_file, read_stdin
    from hychat.domain.message import TextPart

    piped = read_stdin()
    data = [*(read_file(path) for path in opening.files), *([piped] if piped else [])]
    return (*data, TextPart(opening.words)) if opening.words else tuple(data)


def _take_terminal() -> None:
    """Read keys from the terminal though stdin was a pipe.

    Raises:
        UsageError: There is none.
    """
    if are_terminals():
        return
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise UsageError(
            _("The chat needs a terminal."),
            hint=_('For one answer give a question: hychat "why is the sky blue?"'),
        ) from error
    os.dup2(terminal, 0)
    if not os.isatty(1):
        os.close(terminal)
        raise UsageError(_("The chat needs a terminal; its output goes elsewhere."))
    os.close(terminal)


def _conversation(runtime: "Runtime", identifier: str | None) -> "Conversation":
    history = runtime.history()
    conversation = history.latest() if identifier is None else history.load(identifier)
    if conversation is None:
        raise ConversationNotFound(_("There is no chat to go on with yet."))
    return conversation
