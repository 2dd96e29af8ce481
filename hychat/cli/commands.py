"""Typer's commands and groups with the manners of hychat: its help pages, its words for mistakes."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from hychat.messages import _


class Command(TyperCommand):
    """One command."""

    def get_help(self, ctx: Any) -> str:
        """Its help page."""
        from hychat.cli.help import page, sections_of, usage_of  # only a reader of help waits for it

        return page([usage_of(ctx, self)], self.help or "", sections_of(self.get_params(ctx)), [_for_any_command()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; words too many may be a question that begins with the command's name."""
        ctx.allow_extra_args = True
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            from hychat.cli.mistakes import too_many_words

            raise too_many_words(ctx.command_path, extra)
        return extra


class Group(TyperGroup):
    """Commands under one name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments up to the command's name."""
        if not args and not ctx.resilient_parsing:
            from hychat.cli.mistakes import no_command

            raise no_command(ctx.command_path, self.list_commands(ctx))
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """Its help page."""
        from hychat.cli.help import Section, page, sections_of

        sections = [Section(_("Commands"), self.rows()), *sections_of(self.get_params(ctx))]
        usage = " ".join((ctx.command_path, _("COMMAND")))
        notes = [_("What a command takes: {command}").format(command=f"{usage} --help"), _for_any_command()]
        return page([f"{usage} ..."], self.help or "", sections, notes)

    def rows(self) -> list[tuple[str, str]]:
        """Each command's name, and what it is for."""
        return [(name, command.help or "") for name, command in self.commands.items()]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
        """In the order they were written."""
        return [*self.commands]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            from hychat.cli.mistakes import no_such_command

            raise no_such_command(ctx.command_path, args, self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def _for_any_command() -> str:
    return _("--lang, --no-color and --offline may follow any command; see: hychat --help")
