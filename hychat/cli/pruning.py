"""`hychat models prune`: what downloads and newer versions left behind."""

from collections.abc import Sequence

from hychat.catalogue.cache import Leftover, delete, hub_cache_folder, leftovers
from hychat.cli.output import Output
from hychat.cli.pulling import ask_yes
from hychat.cli.stdin import can_ask
from hychat.domain.errors import UsageError
from hychat.domain.numbers import size
from hychat.messages import _


def prune(output: Output, *, as_json: bool, says_yes: bool) -> None:
    """List it with its size, ask, delete. As JSON nobody is asked: without a yes it stays."""
    found = [*leftovers(hub_cache_folder())]
    if not as_json:
        _report(found, output)
    is_allowed = bool(found) and (says_yes or (not as_json and _ask(found, output)))
    deleted = [leftover for leftover in found if is_allowed and delete(leftover)]
    if as_json:
        output.json([_as_json(leftover, is_deleted=leftover in deleted) for leftover in found])
    elif deleted:
        output.note(_("Deleted {size}.").format(size=_total(deleted)))
    elif found:
        output.note(_("Nothing was deleted."))


def _report(found: Sequence[Leftover], output: Output) -> None:
    if not found:
        output.note(_("There is nothing to delete."))
    for leftover in found:
        kind = _("partial download") if leftover.is_partial else _("no longer used")
        output.report(f"{size(leftover.bytes):>9}  {kind}  {leftover.path}")


def _ask(found: Sequence[Leftover], output: Output) -> bool:
    """Whether the user wants it.

    Raises:
        UsageError: Nobody can be asked.
    """
    if not can_ask(output):
        raise UsageError(
            _("Nothing was deleted."), hint=_("To delete them without being asked: hychat models prune --yes")
        )
    return ask_yes(_("Delete them ({size} in all)?").format(size=_total(found)), output)


def _total(found: Sequence[Leftover]) -> str:
    return size(sum(leftover.bytes for leftover in found))


def _as_json(leftover: Leftover, *, is_deleted: bool) -> dict[str, object]:
    return {
        "path": str(leftover.path),
        "bytes": leftover.bytes,
        "kind": "partial" if leftover.is_partial else "orphan",
        "deleted": is_deleted,
    }
