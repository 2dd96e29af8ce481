"""Every check, in the order they are told: the quick ones first, while the engine's process starts."""

from collections.abc import Iterator, Mapping
from typing import Final

from hychat.cli.doctor import attachments, engine, files, machine, network
from hychat.cli.doctor.finding import Check, Finding, Surroundings, warn
from hychat.cli.doctor.placement import placement_of
from hychat.cli.doctor.workers import workers
from hychat.domain.errors import HychatError
from hychat.messages import _

CHECKS: Final[Mapping[str, Check]] = {
    "python": machine.python,
    "terminal": machine.terminal,
    "memory": machine.memory,
    "config": files.config,
    "catalogue": files.catalogue,
    "history": files.history,
    "models": files.models,
    "states": files.states,
    "sight": attachments.sight,
    "ocr": attachments.ocr,
    "image-filter": attachments.image_filter,
    "speech": attachments.speech,
    "engine": engine.engine,
    "workers": workers,
}
ONLINE_CHECKS: Final[Mapping[str, Check]] = {"hub": network.reachability}


def findings(around: Surroundings, *, is_online: bool, model: str | None = None) -> Iterator[Finding]:
    """Look, and load a model where one is named; what is found comes as soon as it is."""
    loads = {} if model is None else {"load": placement_of(model)}
    for name, check in {**CHECKS, **(ONLINE_CHECKS if is_online else {}), **loads}.items():
        yield from survived(name, check, around)


def survived(name: str, check: Check, around: Surroundings) -> Iterator[Finding]:
    """What a check finds, its own failure among it: the other checks are still to be told."""
    try:
        yield from check(around)
    except HychatError as problem:
        yield warn(name, _("could not be checked: {reason}").format(reason=problem.message), problem.hint)
    except Exception as problem:  # noqa: BLE001 - a border: a doctor that falls ill of what it looks at helps nobody
        reason = f"{type(problem).__name__}: {problem}"
        yield warn(name, _("could not be checked: {reason}").format(reason=reason), "")
