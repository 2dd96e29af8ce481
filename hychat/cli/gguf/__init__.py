"""`hychat gguf`: convert, quantize and look into model files. Each command is a module, imported when it is called."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer

from hychat.cli.commands import Group
from hychat.messages import _

_COMMANDS: Final[Mapping[str, str]] = {
    "inspect": _("Show what a model's file is made of; works on the hub's files too."),
    "plan": _("Tell what of a model would go where, before anything is loaded."),
    "convert": _("Make a GGUF of a Hugging Face checkpoint, without torch."),
    "imatrix": _("Measure with a text which weights count most, for a better quantization."),
    "quantize": _("Make a GGUF smaller: the same model in fewer bits."),
    "compare": _("Tell what a quantization lost: perplexity, divergence, agreement."),
    "build": _("Make a GGUF by a recipe: convert, measure, quantize."),
    "experts": _("Show which experts a mixture sends the tokens of a text to."),
}
"""Name -> what it is for, in the order of the help page. The module of the same name has a typer application named `app`."""


class _Commands(Group):
    """The table's commands."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
        """In the order of the table."""
        return [*_COMMANDS]

    def rows(self) -> list[tuple[str, str]]:
        """The table, for the help page."""
        return [*_COMMANDS.items()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class's
        """The command, its module imported now."""
        if cmd_name not in _COMMANDS:
            return None
        return typer.main.get_command(import_module(f"{__name__}.{cmd_name}").app)


app: Final = typer.Typer(
    name="gguf",
    cls=_Commands,
    help=_("Convert, quantize and look into model files."),
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def gguf() -> None:
    """Convert, quantize and look into model files."""
