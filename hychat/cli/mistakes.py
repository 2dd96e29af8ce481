"""What Typer finds wrong with a command line, told as hychat tells everything: in the user's language, with the next step.

Typer keeps its kinds of errors to itself, so they are known by name; one that is not known is told in Typer's words.
"""

import shlex
from collections.abc import Iterable
from typing import Any

from hychat.domain.errors import UsageError
from hychat.messages import _


def told(error: Any) -> UsageError:
    """The same mistake as an error of ours."""
    return UsageError(_message(error), hint=_hint(error))


def no_command(group: str, known: Iterable[str]) -> UsageError:
    """A group was named, and none of its commands."""
    return UsageError(
        _("{group} needs one of these commands: {names}.").format(group=group, names=", ".join(known)), hint=_see(group)
    )


def no_such_command(group: str, typed: list[str], known: Iterable[str]) -> UsageError:
    """There is a group of commands, and none of them was named; perhaps it was meant as a question."""
    from difflib import get_close_matches

    near = get_close_matches(typed[0], known, n=1)
    return UsageError(
        _("There is no command {name}.").format(name=f"{group} {typed[0]}"),
        hint=_nearest(near) + _as_question([group.partition(" ")[2], *typed]),
    )


def too_many_words(command: str, extra: list[str]) -> UsageError:
    """A command takes fewer words than were typed; perhaps they were meant as a question."""
    return UsageError(
        _("{command} does not take {words}.").format(command=command, words=" ".join(extra)),
        hint=_see(command) + "\n" + _as_question([command.partition(" ")[2], *extra]),
    )


def command_after_options(name: str, words: list[str]) -> UsageError:
    """A question that begins with a command's name, behind options: it may be meant as either."""
    return UsageError(
        _("{name} is the name of a command.").format(name=name),
        hint=_("To call it, put it before its options: hychat {name} ...").format(name=name)
        + "\n"
        + _as_question(words),
    )


def _message(error: Any) -> str:
    match type(error).__name__:
        case "NoSuchOption":
            return _("There is no option {option}.").format(option=error.option_name)
        case "MissingParameter":
            return _("{name} is missing.").format(name=error.param.human_readable_name)
        case "BadOptionUsage" if "not take" in error.message:
            return _("{option} takes no value.").format(option=error.option_name)
        case "BadOptionUsage":
            return _("{option} needs a value.").format(option=error.option_name)
        case "BadParameter":
            return _bad_value(error)
        case _:
            return str(error.format_message())


def _bad_value(error: Any) -> str:
    kind, option = error.param.type, error.param.opts[-1]
    if choices := getattr(kind, "choices", None):
        return _("{option} must be one of {choices}.").format(option=option, choices=", ".join(choices))
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is not None and most is not None:
        return _("{option} must be a whole number from {least} to {most}.").format(
            option=option, least=least, most=most
        )
    if least is not None:
        return _("{option} must be a whole number from {least} on.").format(option=option, least=least)
    return f"{option}: {error.message}"


def _hint(error: Any) -> str:
    command = error.ctx.command_path.strip() if error.ctx else "hychat"
    option = getattr(error, "option_name", "")
    if command == "hychat" and option and not option.replace("-", "a").isalpha():  # a minus sign, a bullet
        return _('To ask a question that begins with a dash: hychat -- "..."')
    return _nearest(getattr(error, "possibilities", None) or ()) + _see(command)


def _nearest(names: Iterable[str]) -> str:
    names = ", ".join(names)
    return _("Nearest: {names}.").format(names=names) + "\n" if names else ""


def _see(command: str) -> str:
    return _("See: {command} --help").format(command=command)


def _as_question(words: list[str]) -> str:
    return _("To ask it as a question: hychat -- {words}").format(words=shlex.join(words))
