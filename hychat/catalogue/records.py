"""What hychat remembers of models: the licences that were agreed to, and checksums that nobody had published."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hychat.paths import data_folder, private_folder

_LICENCES: Final = "licences"
_CHECKSUMS: Final = "checksums"


def _file() -> Path:
    return data_folder() / "models.json"


def is_accepted(licence: str) -> bool:
    """Whether this version of a licence was agreed to."""
    return licence in _read(_LICENCES)


def accept(licence: str) -> None:
    """Remember that it was.

    Raises:
        OSError: It cannot be written.
    """
    _add(_LICENCES, licence, datetime.now(UTC).isoformat(timespec="seconds"))


def known_checksum(repository: str, file: str) -> str | None:
    """The SHA-256 that a file had when it first came."""
    return _read(_CHECKSUMS).get(f"{repository}/{file}") or None


def remember_checksum(repository: str, file: str, sha256: str) -> None:
    """Keep it, for the next time.

    Raises:
        OSError: It cannot be written.
    """
    _add(_CHECKSUMS, f"{repository}/{file}", sha256)


def forget_checksum(repository: str, file: str) -> None:
    """Take a file as new when it comes again.

    Raises:
        OSError: It cannot be written.
    """
    if known_checksum(repository, file):
        _add(_CHECKSUMS, f"{repository}/{file}", "")


def _read(section: str) -> Mapping[str, str]:
    """A section; empty where there is none, or where the file is broken."""
    try:
        whole = json.loads(_file().read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in whole[section].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return {}


def _add(section: str, key: str, value: str) -> None:
    whole = {name: {**_read(name)} for name in (_LICENCES, _CHECKSUMS)}
    whole[section][key] = value
    private_folder(data_folder())
    new = _file().with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(whole, indent=2), encoding="utf-8")
    new.chmod(0o600)
    new.replace(_file())
