"""`hychat config`: where the settings are, what they are, and changing them without an editor."""

import os
from functools import partial
from typing import Annotated, Any

import typer

from hychat.cli import typed
from hychat.cli.commands import Command, Group
from hychat.cli.output import Output
from hychat.config.load import Said, what_is_said
from hychat.config.save import set_value
from hychat.config.save import unset as unset_value
from hychat.config.schema import KEYS, Key
from hychat.domain.text import readable
from hychat.messages import _
from hychat.paths import config_file

app = typer.Typer(
    name="config",
    cls=Group,
    help=_("Show and change the settings."),
    rich_markup_mode=None,
    add_completion=False,
)


def _values(ctx: typer.Context, incomplete: str) -> list[str]:
    return typed.values_of_key(ctx.params.get("key") or "", incomplete)


_argument = partial(typer.Argument, parser=readable)
_KeyName = Annotated[
    str,
    _argument(metavar=_("KEY"), help=_("The key's name; config show lists them."), autocompletion=typed.key_names),
]
_NewValue = Annotated[str, _argument(metavar=_("VALUE"), help=_("The new value."), autocompletion=_values)]


@app.command(cls=Command, help=_("Print where the config file is, or would be."))
def path() -> None:
    """One line."""
    Output.of_process().text(str(config_file()))


@app.command(cls=Command, help=_("Print every key, where its value comes from, and the value."))
def show(*, as_json: Annotated[bool, typer.Option("--json", help=_("Print JSON."))] = False) -> None:
    """A line for each key; the value comes last, for it may have any width."""
    said = what_is_said(config_file(), os.environ)
    settings = {name: said.get(name, Said(key.default, "default")) for name, key in KEYS.items()}
    if as_json:
        Output.of_process().json({name: {"value": value, "from": origin} for name, (value, origin) in settings.items()})
    else:
        Output.of_process().text("\n".join(_line(KEYS[name], setting) for name, setting in settings.items()))


@app.command("set", cls=Command, help=_("Set a key in the config file; its comments and order stay."))
def set_(key: _KeyName, value: _NewValue) -> None:
    """Says nothing when it went well."""
    set_value(config_file(), key, value)


@app.command(cls=Command, help=_("Remove a key from the config file."))
def unset(key: _KeyName) -> None:
    """Says nothing when it went well."""
    unset_value(config_file(), key)


def _line(key: Key, setting: Said) -> str:
    name_width = max(map(len, KEYS))
    origin_width = max(len(other.variable) for other in KEYS.values())
    return f"{key.name:{name_width}}  {setting.origin:{origin_width}}  {_shown(setting.value)}".rstrip()


def _shown(value: Any) -> str:
    """On one line, as the config file would have it."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if text.isprintable() else repr(text)
