"""`hychat web`: the same chat in a browser."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hychat.cli import typed
from hychat.cli.commands import Command
from hychat.cli.output import Output
from hychat.domain.errors import UsageError
from hychat.domain.text import readable
from hychat.messages import _, language

if TYPE_CHECKING:
    from hychat.cli.serving import Site

# As the engine's process is started: what lies in the working folder is not taken for hychat.
_BOOT: Final = "import sys; sys.path.append({root!r}); from hychat.__main__ import main; main()"
_ROOT: Final = str(Path(__file__).parent.parent.parent)

_Port = Annotated[
    int,
    typer.Option("--port", help=_("Where to listen; 0 takes any that is free."), metavar=_("NUMBER"), min=0, max=65535),
]
_Host = Annotated[
    str, typer.Option("--host", help=_("The address to listen at."), metavar=_("ADDRESS"), parser=readable)
]
_AllowRemote = Annotated[
    bool,
    typer.Option(
        "--allow-remote",
        help=_("Listen where other machines reach it: whoever does can chat and read the history."),
    ),
]
_Open = Annotated[bool, typer.Option("--open", help=_("Open it in the browser."))]
_Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help=_("The model to ask: a name, hf:owner/repository, or the path of a GGUF file."),
        metavar=_("MODEL"),
        autocompletion=typed.model_names,
    ),
]


def web(
    *,
    port: _Port = 8000,
    host: _Host = "127.0.0.1",
    allow_remote: _AllowRemote = False,
    opens: _Open = False,
    model: _Model = None,
) -> None:
    """Serve until Ctrl+C."""
    output = Output.of_process()
    is_remote = not _is_loopback(host)
    if is_remote and not allow_remote:
        raise UsageError(
            _("At {host} other machines could reach the chat, and read the history.").format(host=host),
            hint=_("Without --host it listens on this machine only. If you want it all the same: --allow-remote"),
        )
    if is_remote:
        output.warn(_("Anybody who reaches {host} can chat here and read the history.").format(host=host))

    def tell(url: str) -> None:
        output.report(_("The chat is at {url} (Ctrl+C ends it)").format(url=url))
        if opens:
            from webbrowser import open_new_tab

            open_new_tab(url)

    _site(_command(model)).serve(host, port, tell)


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine's own users reaches it."""
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _command(model: str | None) -> str:
    """The shell's line that opens the chat for one page."""
    options = ["-i", "--lang", language(), *(["--model", model] if model else [])]
    return shlex.join([sys.executable, "-P", "-c", _BOOT.format(root=_ROOT), *options])


def _site(command: str) -> "Site":
    """What is served.

    Raises:
        UsageError: The extra is not installed.
    """
    try:
        from hychat.cli.serving import Site
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"aiohttp", "textual_serve"}:
            raise
        raise UsageError(
            _("The chat in a browser needs a package that is not here."), hint="pip install 'hychat[web]'"
        ) from error
    return Site(command)


app = typer.Typer(name="web", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Serve the chat to a browser on this machine."))(web)
