"""The command line's border: what holds for every command, then the command; an error ends here as a sentence and a code."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from hychat.cli.streams import OutputClosed, fill_closed_descriptors, take_any_character
from hychat.domain.errors import ConfigError, HychatError, Interrupted
from hychat.engine.spawn import Spawned
from hychat.messages import _, choose_language, language_of_locale

INTERRUPTED: Final = 130
_AUTO: Final = "auto"
_COMPLETION: Final = "_HYCHAT_COMPLETE"


class _Typed(NamedTuple):
    """A command line, parted into what every command takes and what only one of them knows."""

    arguments: list[str]
    language: str | None
    wants_no_colour: bool
    is_offline: bool


def run(arguments: Sequence[str], spawned: Spawned | None = None) -> int:
    """Run a command; its exit code. `spawned` is an engine process that is already starting."""
    fill_closed_descriptors()
    take_any_character(sys.stdout)  # Typer prints its help there
    typed = _parted(arguments)
    try:
        _hold_for_every_command(typed)
        return _run(typed.arguments, spawned)
    except OutputClosed:
        return 0
    except (KeyboardInterrupt, Interrupted):
        return INTERRUPTED
    except HychatError as error:
        return _fail(error)
    except OSError as error:
        return _fail(HychatError(_("The system refused: {reason}.").format(reason=error)))
    except Exception as error:  # noqa: BLE001 - the last border: a user reads a sentence, a file has the rest
        return _fail(_unexpected(error))


def _run(arguments: list[str], spawned: Spawned | None) -> int:
    if not arguments:
        from hychat.cli.full_screen import Opening, are_terminals, open_chat

        if are_terminals():
            return open_chat(Opening(), {}, spawned)
    from typer import TyperException  # Typer takes 40 ms, while the engine's process starts

    from hychat.cli.app import app

    try:
        return app(args=arguments, prog_name="hychat", standalone_mode=False, obj=spawned) or 0
    except TyperException as error:
        from hychat.cli.mistakes import told

        raise told(error) from error


def _parted(arguments: Sequence[str]) -> _Typed:
    """Take out `--lang`, `--no-color` and `--offline`, wherever they stand before a `--`."""
    rest: list[str] = []
    language, wants_no_colour, is_offline = None, False, False
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument == "--no-color":
            wants_no_colour = True
        elif argument == "--offline":
            is_offline = True
        elif argument.startswith("--lang="):
            language = argument.removeprefix("--lang=")
        elif argument == "--lang" and (following := next(left, None)) is not None:
            language = following
        else:
            rest.append(argument)
    return _Typed(rest, language, wants_no_colour, is_offline)


def _hold_for_every_command(typed: _Typed) -> None:
    """Choose network, colours and language: what was typed, then environment and config file, then what is around.

    Raises:
        ConfigError: There is no such language.
    """
    from hychat.config.load import load, said_by_environment
    from hychat.config.schema import KEYS, Config
    from hychat.paths import config_file

    config = Config()
    with suppress(ConfigError):  # told by the command that needs the settings
        config = Config(**{name: said.value for name, said in said_by_environment(os.environ).items()})
        config = load(config_file(), os.environ)
    if typed.is_offline or config.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # what the hub's own client obeys, too
    _choose_colours("never" if typed.wants_no_colour else config.color)
    _choose_language(config.language)
    if typed.language is not None:
        _choose_language(KEYS["language"].read(typed.language, "--lang"))


def _choose_language(said: str) -> None:
    choose_language(language_of_locale() if said == _AUTO else said)


def _choose_colours(colours: str) -> None:
    """Tell whoever writes to a terminal, through the variables that everyone reads: https://no-color.org."""
    if colours == "never":
        os.environ["NO_COLOR"] = "1"
    elif colours == "always":
        os.environ.pop("NO_COLOR", None)
        os.environ["FORCE_COLOR"] = "1"


def _fail(error: HychatError) -> int:
    """Tell what went wrong; the exit code. A shell that asks for completions shows none."""
    if _COMPLETION not in os.environ:
        from hychat.cli.output import Output  # not needed where all goes well with `--help`

        Output.of_process().error(error)
    return error.exit_code


def _unexpected(error: Exception) -> HychatError:
    """What to say of a defect in hychat, with its traceback kept where it does not frighten."""
    import traceback

    from hychat.paths import cache_folder, private_folder

    place = ""
    try:
        file = private_folder(cache_folder()) / "last-error.txt"
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        place = str(file)
    except (OSError, HychatError):
        traceback.print_exception(error, file=sys.__stderr__)
    return HychatError(
        _("Something unexpected went wrong: {error}.").format(error=f"{type(error).__name__}: {error}"),
        hint=_("This is a defect of hychat; the details are in {file}.").format(file=place or "stderr"),
    )
