"""Files that are there whole or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hychat.domain.errors import ConversionError, UsageError
from hychat.messages import _


@contextmanager
def whole_file(target: Path, *, sources: Iterable[Path] = (), overwrites: bool = False) -> Iterator[Path]:
    """An empty file beside the target to write to: it takes the target's name when the block ends well, else it is deleted.

    Raises:
        UsageError: The target is there already and must stay, is one of the sources, or has no folder.
        ConversionError: It cannot be written there.
    """
    _check(target, sources, overwrites=overwrites)
    part = target.with_name(f"{target.name}.part")
    try:
        part.write_bytes(b"")  # before hours of work; and whatever fills it, the mode is the user's own
        yield part
        part.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _check(target: Path, sources: Iterable[Path], *, overwrites: bool) -> None:
    if target.is_dir():
        raise UsageError(_("{path} is a folder.").format(path=target), hint=_("Name the file that is to be written."))
    if not target.parent.is_dir():
        raise UsageError(_("There is no folder {path}.").format(path=target.parent))
    if not target.exists():
        return
    if any(source.exists() and target.samefile(source) for source in sources):
        raise UsageError(
            _("{path} would be read and written at once.").format(path=target), hint=_("Name another file.")
        )
    if not overwrites:
        raise UsageError(
            _("{path} is there already.").format(path=target),
            hint=_("Name another file, or add --overwrite."),
        )


def _unwritable(target: Path, error: OSError) -> ConversionError:
    return ConversionError(
        _("{path} cannot be written: {reason}.").format(path=target, reason=error.strerror or error),
        hint=_("Make room, or name another folder."),
    )
