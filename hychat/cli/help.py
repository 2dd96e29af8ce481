"""The help pages: in the user's language, and laid out by how wide characters are, of which Typer knows neither."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from hychat.cli.streams import Stream
from hychat.cli.wrapping import width_of, wrapped
from hychat.messages import _

_MOST_COLUMNS: Final = 100
_FEWEST_COLUMNS: Final = 40
_MOST_LEFT_COLUMNS: Final = 30
_GAP: Final = 2

Row = tuple[str, str]


class Section(NamedTuple):
    """Rows under a heading: what is typed, and what it means."""

    heading: str
    rows: Sequence[Row]


def page(usage: Sequence[str], text: str, sections: Iterable[Section], notes: Iterable[str] = ()) -> str:
    """A whole help page, as wide as the terminal."""
    columns = max(min(Stream(sys.stdout).size().columns, _MOST_COLUMNS), _FEWEST_COLUMNS)
    blocks = [_usage(usage), "\n".join(wrapped(text, columns))]
    blocks += [_laid_out(section, columns) for section in sections if section.rows]
    blocks += ["\n".join(wrapped(note, columns)) for note in notes]
    return "\n\n".join(blocks)


def usage_of(ctx: Any, command: Any) -> str:
    """How a command is called."""
    arguments = [_usage_of_argument(param) for param in command.params if param.param_type_name == "argument"]
    return " ".join([ctx.command_path, _("[OPTIONS]"), *arguments])


def sections_of(params: Iterable[Any]) -> list[Section]:
    """The parameters by their panels, in the order they have."""
    panels: dict[str, list[Row]] = {}
    for param in params:
        if not param.hidden:
            panels.setdefault(param.rich_help_panel or _heading(param), []).append(_row(param))
    return [Section(heading, rows) for heading, rows in panels.items()]


def _heading(param: Any) -> str:
    return _("Arguments") if param.param_type_name == "argument" else _("Options")


def _row(param: Any) -> Row:
    if param.param_type_name == "argument":
        return _name_of_argument(param), param.help
    if param.name == "help":  # Typer's own
        return "-h, --help", _("Show this help.")
    names = " / ".join(filter(None, [", ".join(param.opts), ", ".join(param.secondary_opts)]))
    value = "" if param.is_flag else f" {param.metavar or '|'.join(param.type.choices)}"
    indent = "" if len(param.opts[0]) == len("-x") else "    "  # long names stand in one column
    return f"{indent}{names}{value}", param.help + _default(param)


def _default(param: Any) -> str:
    is_worth_saying = param.show_default and param.default is not None and not param.is_flag
    return _(" (default: {value})").format(value=param.default) if is_worth_saying else ""


def _name_of_argument(param: Any) -> str:
    name = param.human_readable_name
    return name if param.nargs == 1 else f"{name}..."


def _usage_of_argument(param: Any) -> str:
    name = _name_of_argument(param)
    return name if param.required else f"[{name}]"


def _usage(lines: Sequence[str]) -> str:
    """The ways to call a command, one below the other."""
    head = _("Usage: ")
    return head + f"\n{' ' * width_of(head)}".join(lines)


def _laid_out(section: Section, columns: int) -> str:
    """The meanings in a column of their own; what is typed and too long for the other gets a line of its own."""
    widths = [width_of(left) for left, _right in section.rows]
    left_columns = max([width for width in widths if width <= _MOST_LEFT_COLUMNS], default=0)
    indent = " " * (_GAP + left_columns + _GAP)
    lines = [_("{heading}:").format(heading=section.heading)]
    for (left, right), width in zip(section.rows, widths, strict=True):
        meaning = wrapped(right, columns - len(indent))
        first = f"{' ' * _GAP}{left}"
        if meaning and width <= left_columns:
            first += " " * (left_columns - width + _GAP) + meaning.pop(0)
        lines += [first.rstrip(), *(indent + line for line in meaning)]
    return "\n".join(lines)
