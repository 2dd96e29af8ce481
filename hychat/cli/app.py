"""The tree of commands. What is no command's name is a question."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.main import get_command

from hychat.cli import ask
from hychat.cli.commands import Command, Group
from hychat.messages import _

_OWN_OPTIONS: Final = frozenset({"--help", "-h", "--install-completion", "--show-completion"})
_QUESTION: Final = "ask"


class Lazy(NamedTuple):
    """A command whose module is imported when it is called."""

    help: str
    module: str
    """It has a typer application named `app`."""


COMMANDS: Final[Mapping[str, Lazy]] = {
    "models": Lazy(_("List, fetch and delete models."), "hychat.cli.models"),
    "history": Lazy(_("List, search, show and export chats."), "hychat.cli.history"),
    "batch": Lazy(_("Answer many questions from a file, several at once."), "hychat.cli.batch"),
    "safety": Lazy(_("Ask the safety filter what it thinks of texts."), "hychat.cli.safety"),
    "gguf": Lazy(_("Convert, quantize and look into model files."), "hychat.cli.gguf"),
    "config": Lazy(_("Show and change the settings."), "hychat.cli.config"),
    "doctor": Lazy(_("Look for what is wrong here, and say how to put it right."), "hychat.cli.doctor"),
    "bench": Lazy(_("Measure how fast a model reads and writes here."), "hychat.cli.bench"),
    "rpc-worker": Lazy(_("Lend this machine's GPU and memory to hychat on another machine."), "hychat.cli.rpc_worker"),
    "web": Lazy(_("Serve the chat to a browser on this machine."), "hychat.cli.web"),
}


class Question(Command):
    """The command that needs no name."""

    def get_help(self, ctx: Any) -> str:
        """The help of all, wherever in a question it is asked for."""
        return str(ctx.parent.command.get_help(ctx.parent))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a command's name behind options may be meant as one."""
        ctx.info_name = ""  # its name is typed by nobody, so it is not to stand in a message
        is_surely_question = "--" in args
        rest = super().parse_args(ctx, args)
        words = ctx.params.get("question") or []
        if words and words[0] in COMMANDS and not (is_surely_question or ctx.resilient_parsing):
            from hychat.cli.mistakes import command_after_options

            raise command_after_options(words[0], words)
        return rest


class QuestionOrCommand(Group):
    """A group whose default command is the question: `hychat "why?"` is `hychat ask "why?"`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that name none."""
        if args == ["help"]:  # asked of the program, not of a model
            args = ["--help"]
        names_command = bool(args) and (args[0] in COMMANDS or args[0] in _OWN_OPTIONS)
        completes_first_word = ctx.resilient_parsing and not args
        if not names_command and not completes_first_word:
            args = [_QUESTION, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
        """In the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, its module imported now."""
        lazy = COMMANDS.get(cmd_name)
        return super().get_command(ctx, cmd_name) if lazy is None else get_command(import_module(lazy.module).app)

    def get_help(self, ctx: Any) -> str:  # noqa: ARG002 - the base class's
        """The question's own options, then the commands."""
        from hychat.cli.overview import overview  # only a reader of help waits for it

        return overview(self.commands[_QUESTION], {name: lazy.help for name, lazy in COMMANDS.items()})

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Commands, and the question's options."""
        question = self.commands[_QUESTION]
        with question.make_context(_QUESTION, [], parent=ctx, resilient_parsing=True) as inner:
            options = question.shell_complete(inner, incomplete) if incomplete.startswith("-") else []
        return [*super().shell_complete(ctx, incomplete), *options]


app: Final = typer.Typer(
    name="hychat",
    cls=QuestionOrCommand,
    help=_("Chat with Tencent Hunyuan models in the terminal, on this machine."),
    rich_markup_mode=None,  # rich would cost 60 ms for a frame around the help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(_QUESTION, cls=Question, hidden=True)(ask.ask)


@app.callback()
def hychat() -> None:
    """Chat with Tencent Hunyuan models."""
