"""Whether the user's files are open to the user, and the command that opens them."""

import os
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from hychat.messages import _


class Barrier(NamedTuple):
    """What keeps the user from reading and writing a path, or from making it."""

    place: Path
    is_file_in_the_way: bool = False
    """It stands where a folder is needed."""

    def __str__(self) -> str:
        if self.is_file_in_the_way:
            message = _("{path} is a file, not a folder")
        elif os.access(self.place, os.R_OK):
            message = _("you may not write to {path}")
        else:
            message = _("you may not read {path}")
        return message.format(path=self.place)

    def way_in(self, variable: str) -> str:
        """What opens it. What is not the user's own is left alone: `variable` names another folder instead."""
        name = shlex.quote(str(self.place))
        status = self.place.stat()
        wanted_mode = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        if not self.is_file_in_the_way:
            if status.st_uid == os.geteuid() and status.st_mode & wanted_mode != wanted_mode:
                return f"chmod u+rwX {name}"
            if status.st_uid != os.geteuid() and Path(os.environ.get("HOME") or "/") in self.place.parents[:-1]:
                return f"sudo chown -R $USER {name}"
        return _("Name a folder of your own: {command}").format(command=f"export {variable}=/path/to/folder")


def barrier(path: Path, *, is_file: bool = False) -> Barrier | None:
    """What is in the way to a folder or file, itself or above it; None where it is open to the user."""
    for place in (path, *path.absolute().parents):
        try:
            is_folder = stat.S_ISDIR(place.stat().st_mode)
        except OSError:  # it is not there, or a folder above it is closed
            continue
        if is_folder:
            return None if os.access(place, os.R_OK | os.W_OK | os.X_OK) else Barrier(place)
        if place != path or not is_file:
            return Barrier(place, is_file_in_the_way=True)
        return barrier(path.parent) if os.access(place, os.R_OK | os.W_OK) else Barrier(place)
    return None
