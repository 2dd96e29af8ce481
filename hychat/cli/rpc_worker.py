"""`hychat rpc-worker`: lend this machine's GPU, processor and memory to hychat on another machine."""

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from hychat.cli.commands import Command
from hychat.cli.interrupt import cancelled_by_ctrl_c
from hychat.cli.output import Output
from hychat.domain.errors import Interrupted, UsageError
from hychat.engine.gpus import backend_libraries
from hychat.engine.unavailable import no_rpc
from hychat.engine.workers import PORT, Endpoint
from hychat.messages import _, listed

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - only to know it: no address of one machine
_Host = Annotated[str, typer.Option("--host", help=_("The address to listen at."), metavar=_("ADDRESS"))]
_Port = Annotated[int, typer.Option("--port", help=_("The port to listen at."), metavar=_("NUMBER"), min=1, max=65535)]
_Threads = Annotated[
    int | None, typer.Option("--threads", help=_("Processor threads to use."), metavar=_("NUMBER"), min=1)
]
_AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help=_("Listen where other machines can reach it; read the warning first."))
]


def rpc_worker(
    *, host: _Host = "127.0.0.1", port: _Port = PORT, threads: _Threads = None, allow_remote: _AllowRemote = False
) -> int:
    """Serve until Ctrl+C."""
    from hychat.engine.task import run_task

    output = Output.of_process()
    if "rpc" not in backend_libraries():
        raise no_rpc()
    endpoint = Endpoint(_address(host), port)
    is_remote = not ipaddress.ip_address(endpoint.host).is_loopback
    if is_remote and not allow_remote:
        raise UsageError(
            _("{host} can be reached from other machines, and RPC asks nobody who he is.").format(host=host),
            hint=_("Listen at 127.0.0.1 and reach it through ssh -L, or add --allow-remote in a network you trust."),
        )
    _check_free(endpoint)
    if is_remote:
        output.note(
            _(
                "Warning: RPC has no password and no encryption. Whoever reaches {place} can use this machine, read what"
                " is computed on it, and may be able to break in. Let no one but your own machines reach it."
            ).format(place=endpoint)
        )

    def tell(progress: Mapping[str, Any]) -> None:
        devices = listed(progress["devices"]) or _("the processor")
        output.note(_("A worker at {place}, computing on {devices}.").format(place=endpoint, devices=devices))
        if not progress["devices"]:
            output.note(
                _("llama.cpp offers all of this machine's memory, used or not: leave what else runs its share.")
            )
        place = Endpoint(_("THIS-MACHINE"), port) if endpoint.host == _EVERYWHERE else endpoint
        output.note(_('On the other machine: hychat --rpc {place} "question"; Ctrl+C ends it.').format(place=place))

    with cancelled_by_ctrl_c() as cancel:
        try:
            run_task("rpc_worker", {"endpoint": str(endpoint), "threads": threads or os.cpu_count() or 1}, cancel, tell)
        except Interrupted:
            return 0
    return 1


def _address(host: str) -> str:
    """The numbers of a host, which is all that llama.cpp's worker listens at.

    Raises:
        UsageError: It is none, or has none of IPv4.
    """
    if ":" in host:
        raise UsageError(
            _("{host} is an address of IPv6; llama.cpp's workers listen at IPv4 only.").format(host=host),
            hint=_("Give the other address of this machine, such as 127.0.0.1."),
        )
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise UsageError(
            _("{host} is no address of this machine.").format(host=host),
            hint=_("Give one in numbers, such as 127.0.0.1."),
        ) from error


def _check_free(endpoint: Endpoint) -> None:
    """Raises UsageError where nothing can listen."""
    try:
        with socket.create_server(endpoint):
            pass
    except OSError as error:
        is_elsewhere = error.errno == errno.EADDRNOTAVAIL
        raise UsageError(
            _("Nothing can listen at {place}: {reason}.").format(place=endpoint, reason=os.strerror(error.errno or 0)),
            hint=_("Give an address of this machine.") if is_elsewhere else _("Take another port: --port 50053"),
        ) from error


app = typer.Typer(name="rpc-worker", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Lend this machine's GPU and memory to hychat on another machine."))(rpc_worker)
