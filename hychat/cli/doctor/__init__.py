"""`hychat doctor`: what is wrong on this machine, and how to put it right."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from hychat.cli.commands import Command
from hychat.cli.doctor.finding import Finding, Status, Surroundings
from hychat.cli.output import Output
from hychat.messages import _

_LOOKS: Final = {Status.OK: "32", Status.WARN: "33", Status.ERROR: "1;31"}
_Online = Annotated[bool, typer.Option("--online", help=_("Also ask whether the hub and its mirror can be reached."))]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("The mirror of the hub to ask; implies --online."), metavar=_("URL"))
]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]


def doctor(ctx: typer.Context, *, online: _Online = False, mirror: _Mirror = None, as_json: _Json = False) -> None:
    """Look, and tell; exit code 1 where something does not work."""
    from hychat.cli.doctor.checks import findings  # completion and help do without them
    from hychat.cli.doctor.network import MIRROR

    output = Output.of_process()
    around = Surroundings(output.stdout, ctx.obj, mirror or MIRROR)
    found = []
    for finding in findings(around, is_online=online or mirror is not None):
        found.append(finding)
        if not as_json:
            _tell(output, finding)
    if as_json:
        output.json([asdict(finding) for finding in found])
    if any(finding.status is Status.ERROR for finding in found):
        raise typer.Exit(1)


def _tell(output: Output, finding: Finding) -> None:
    """A line that begins with the word, and below it what puts it right."""
    words = {Status.OK: _("ok"), Status.WARN: _("warn"), Status.ERROR: _("error")}
    margin = max(map(len, words.values())) + 2
    word = words[finding.status]
    output.marked(word, f"{' ' * (margin - len(word))}{finding.check}: {finding.message}", sgr=_LOOKS[finding.status])
    if finding.fix:
        output.text("\n".join(f"{' ' * margin}{line}" for line in finding.fix.splitlines()))


app = typer.Typer(name="doctor", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Look for what is wrong here, and say how to put it right."))(doctor)
