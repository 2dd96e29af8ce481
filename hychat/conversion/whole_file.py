"""Files that are there whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hychat.domain.errors import ConversionError, UsageError
from hychat.domain.numbers import size
from hychat.messages import _

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(target: Path, *, sources: Iterable[Path] = (), overwrites: bool = False) -> Iterator[Path]:
    """An empty file beside the target to write to: it takes the target's name when the block ends well, else it is deleted.

    Its own name is one that no file has, so that two runs with one target do not write into each other's work.

    Raises:
        UsageError: The target is there already and must stay, is one of the sources, no file, or has no folder.
        ConversionError: It cannot be written there.
    """
    _check(target, sources, overwrites=overwrites)
    place = Path(os.path.realpath(target))  # through a link, as all programs write
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb"):  # before hours of work; and whatever fills it, the mode is the user's own
            pass
        yield part
        if not overwrites:
            _check_free(target)  # another program may have been faster
        part.replace(place)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        with suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)


def check_room(part: Path, target: Path, needed_bytes: int) -> None:
    """Whether the disk of the file that `whole_file` gives holds what is to be written.

    Raises:
        ConversionError: It does not.
    """
    free = shutil.disk_usage(part.parent).free
    if needed_bytes > free:
        raise ConversionError(
            _("{path} needs {needed}; its disk has {free} left.").format(
                path=target, needed=size(needed_bytes), free=size(free)
            ),
            hint=_make_room(),
        )


def _check(target: Path, sources: Iterable[Path], *, overwrites: bool) -> None:
    if target.is_dir():
        raise UsageError(_("{path} is a folder.").format(path=target), hint=_("Name the file that is to be written."))
    if str(target) == "-":
        raise UsageError(_("It cannot be written to stdout."), hint=_("Name the file that is to be written."))
    if not target.parent.is_dir():
        raise UsageError(_("There is no folder {path}.").format(path=target.parent))
    if not target.exists():
        return
    if not target.is_file():
        raise UsageError(_("{path} is a pipe or a device, not a file.").format(path=target), hint=_another())
    if any(source.exists() and target.samefile(source) for source in sources):
        raise UsageError(_("{path} would be read and written at once.").format(path=target), hint=_another())
    if not overwrites:
        _check_free(target)


def _check_free(target: Path) -> None:
    if target.exists():
        raise UsageError(
            _("{path} is there already.").format(path=target),
            hint=_("Name another file, or add --overwrite."),
        )


def _another() -> str:
    return _("Name another file.")


def _unwritable(target: Path, error: OSError) -> ConversionError:
    is_full = error.errno in _FULL
    return ConversionError(
        _("{path} cannot be written: {reason}.").format(path=target, reason=error.strerror or error),
        hint=_make_room() if is_full else _("Choose a folder that you may write to."),
    )


def _make_room() -> str:
    return _("Make room, or write to another disk.")
