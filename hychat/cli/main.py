"""The command line's border: language first, then the command; every error ends here as a sentence and an exit code."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from hychat.cli.streams import OutputClosed, fill_closed_descriptors
from hychat.domain.errors import ConfigError, HychatError
from hychat.engine.spawn import Spawned
from hychat.messages import LANGUAGES, _, choose_language, language_of_locale

INTERRUPTED: Final = 130
_LANGUAGE_FLAG: Final = "--lang"


def run(arguments: Sequence[str], spawned: Spawned | None = None) -> int:
    """Run a command; its exit code. `spawned` is an engine process that is already starting."""
    fill_closed_descriptors()
    choose_language(_language(arguments))
    from typer import TyperException

    from hychat.cli.app import app

    try:
        return app(args=[*arguments], prog_name="hychat", standalone_mode=False, obj=spawned) or 0
    except OutputClosed:
        return 0
    except TyperException as error:
        return _fail(HychatError(error.format_message(), hint=_("See: hychat --help")), arguments, error.exit_code)
    except HychatError as error:
        return _fail(error, arguments, error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last border: a user reads a sentence, a file has the rest
        return _fail(_unexpected(error), arguments, HychatError.exit_code)


def _fail(error: HychatError, arguments: Sequence[str], exit_code: int) -> int:
    """Tell what went wrong; the exit code."""
    from hychat.cli.output import Output  # not needed where all goes well with `--help`

    Output.of_process(no_colour="--no-color" in arguments).error(error)
    return exit_code


def _language(arguments: Sequence[str]) -> str:
    """The language to speak: `--lang`, the environment, the config file, the locale."""
    if _LANGUAGE_FLAG in arguments[:-1]:
        typed = arguments[arguments.index(_LANGUAGE_FLAG) + 1]
    else:
        typed = next((a.partition("=")[2] for a in arguments if a.startswith(f"{_LANGUAGE_FLAG}=")), "")
    if typed in LANGUAGES:
        return typed
    from hychat.config.load import load
    from hychat.paths import config_file

    try:
        configured = load(config_file(), os.environ).language
    except ConfigError:  # told by the command that needs the settings
        configured = "auto"
    return configured if configured in LANGUAGES else language_of_locale()


def _unexpected(error: Exception) -> HychatError:
    """What to say of a defect in hychat, with its traceback kept where it does not frighten."""
    import traceback

    from hychat.paths import cache_folder, private_folder

    place = ""
    try:
        file = private_folder(cache_folder()) / "last-error.txt"
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        place = str(file)
    except OSError:
        traceback.print_exception(error, file=sys.__stderr__)
    return HychatError(
        _("Something unexpected went wrong: {error}.").format(error=f"{type(error).__name__}: {error}"),
        hint=_("This is a defect of hychat; the details are in {file}.").format(file=place or "stderr"),
    )
