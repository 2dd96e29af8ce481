"""`hychat` in a terminal, `hychat -i` and `hychat --inline`: the chat on the whole screen, or at a plain prompt."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hychat.cli.streams import wants_plain_prompt
from hychat.config.load import load
from hychat.domain.errors import ConversationNotFound, UsageError
from hychat.engine.spawn import Spawned
from hychat.messages import _
from hychat.paths import config_file

if TYPE_CHECKING:
    from hychat.cli.options import Consent
    from hychat.config.schema import Config
    from hychat.domain.message import Conversation, Part
    from hychat.runtime import Runtime
    from hychat.tui.desk import Desk

BROWSER_DRIVER: Final = "hychat.tui.browser:BrowserDriver"
"""The value of TEXTUAL_DRIVER in a process of `hychat web`, which speaks with a browser instead of a terminal."""


class Opening(NamedTuple):
    """What the chat begins with."""

    words: str = ""
    files: Sequence[Path] = ()
    goes_on: bool = False
    resume: str | None = None
    is_inline: bool = False
    """Whether a plain prompt is wanted."""
    shows_thinking: bool = False
    """Whether the plain prompt shows thoughts."""
    consent: "Consent | None" = None
    """What was agreed to on the command line."""


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
    is_served = os.environ.get("TEXTUAL_DRIVER") == BROWSER_DRIVER
    parts = () if is_served else _parts(opening)
    if not is_served:
        _take_terminal()
    is_plain = not is_served and (opening.is_inline or wants_plain_prompt(os.environ))
    goes_on = opening.goes_on or opening.resume is not None
    if is_plain and not goes_on:
        config = _with_model(config)

    def open_runtime() -> "Runtime":
        from hychat.runtime import Runtime  # 50 ms, while the first frame is on the screen already

        return Runtime(config, spawned=spawned)

    from hychat.tui.desk import Desk

    desk = Desk(config, open_runtime)
    try:
        if goes_on:
            desk.go_on_with(_conversation(desk.runtime, opening.resume))
        return _chat_inline(desk, parts, opening) if is_plain else _chat_on_screen(desk, parts)
    finally:
        desk.close()


def _chat_on_screen(desk: "Desk", parts: "tuple[Part, ...]") -> int:
    from hychat.tui.app import HychatApp  # brings Textual

    app = HychatApp(desk, parts)
    exit_code = app.run(mouse=desk.config.mouse) or app.return_code or 0
    if app.failure is not None:
        raise app.failure
    return exit_code


def _chat_inline(desk: "Desk", parts: "tuple[Part, ...]", opening: Opening) -> int:
    from hychat.cli.inline import Repl
    from hychat.cli.output import Output

    return Repl(desk, Output.of_process(), shows_thinking=opening.shows_thinking).run(parts)


def _with_model(config: "Config") -> "Config":
    """With a model to begin with; where there is none yet, the user chooses one, as before a first question."""
    from hychat.cli.first_run import model_at_hand
    from hychat.cli.options import Consent  # brings Typer
    from hychat.cli.output import Output

    return replace(config, model=model_at_hand(config.model, Output.of_process(), Consent()))


def _parts(opening: Opening) -> "tuple[Part, ...]":
    """What the chat begins with: files, piped data, then the words."""
    if not opening.words and not opening.files and os.isatty(0):
        return ()
    from hychat.cli.attached import attached
    from hychat.cli.options import Consent  # brings Typer
    from hychat.cli.output import Output
    from hychat.domain.message import TextPart

    files, piped = attached(opening.files, Output.of_process(), opening.consent or Consent())
    data = (*files, *([piped] if piped else []))
    return (*data, TextPart(opening.words)) if opening.words else data


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
