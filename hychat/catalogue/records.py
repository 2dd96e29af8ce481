"""What hychat remembers of models: the licences that were agreed to, and checksums that nobody had published."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hychat.paths import data_folder, private_folder

_LICENCES: Final = "licences"
_CHECKSUMS: Final = "checksums"
_PATIENCE_SECONDS: Final = 10.0
"""With another process that writes; it takes a millisecond."""


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
    """A section; empty where there is none, or where the file is broken or not to be read."""
    with suppress(OSError):
        return _sections().get(section, {})
    return {}


def _sections() -> dict[str, dict[str, str]]:
    """The whole file, as far as it makes sense.

    Raises:
        OSError: It is there, and cannot be read.
    """
    try:
        whole = json.loads(_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    named = whole.items() if isinstance(whole, dict) else ()
    return {
        name: {str(key): str(value) for key, value in section.items()}
        for name, section in named
        if isinstance(section, dict)
    }


def _add(section: str, key: str, value: str) -> None:
    """Add to what stands there now: another process may have written since this one last read."""
    from filelock import FileLock

    private_folder(data_folder())
    with FileLock(_file().with_suffix(".lock"), timeout=_PATIENCE_SECONDS, mode=0o600):
        whole = _sections()
        whole.setdefault(section, {})[key] = value
        new = _file().with_suffix(".new")
        new.write_text(json.dumps(whole, indent=2), encoding="utf-8")
        new.chmod(0o600)
        new.replace(_file())
