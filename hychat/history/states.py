"""KV caches on disk, one file a conversation: going on with a long chat need not read it again.

They can be made again at any time, so they live in the cache folder, the oldest go when they grow too many, and any trouble with
them only costs the time they would have saved.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from hychat.paths import private_folder

LIMIT_BYTES: Final = 2 << 30
_SUFFIX: Final = ".kv"


class KvStates:
    """The KV caches of one model's conversations."""

    def __init__(self, folder: Path, model_path: str, limit_bytes: int = LIMIT_BYTES) -> None:
        """`model_path` is the GGUF's: the cache of another file, or of the file before it changed, is not used."""
        self._folder = folder
        self._model = _fingerprint(model_path)
        self._limit_bytes = limit_bytes

    def find(self, conversation: str) -> str | None:
        """The file that holds a conversation's KV cache; None where there is none."""
        path = self._path(conversation)
        return str(path) if path.is_file() else None

    def place(self, conversation: str) -> str | None:
        """Where to write a conversation's KV cache; None where it cannot be written. `settle` comes after."""
        try:
            private_folder(self._folder)
        except OSError:
            return None
        return f"{self._path(conversation)}.part"

    def settle(self, conversation: str) -> None:
        """Put a written file in its place, and remove what is too much."""
        with suppress(OSError):
            path = self._path(conversation)
            os.replace(f"{path}.part", path)  # noqa: PTH105 - beside str
            self._remove_others(conversation)
            self._remove_oldest()

    def _path(self, conversation: str) -> Path:
        return self._folder / f"{conversation}-{self._model}{_SUFFIX}"

    def _remove_others(self, conversation: str) -> None:
        """One file a conversation: those of other models go."""
        for path in self._folder.glob(f"{conversation}-*"):
            if path != self._path(conversation):
                path.unlink()

    def _remove_oldest(self) -> None:
        files = sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self._limit_bytes:
                path.unlink()


def forget_state(folder: Path, conversation: str) -> None:
    """Remove a conversation's KV caches, as it is deleted."""
    with suppress(OSError):
        for path in folder.glob(f"{conversation}-*"):
            path.unlink()


def _fingerprint(model_path: str) -> str:
    """Which file a model is: its path, size and time of change."""
    try:
        status = os.stat(model_path)  # noqa: PTH116 - beside str
    except OSError:
        return "none"
    return f"{crc32(os.fsencode(f'{model_path}|{status.st_size}|{status.st_mtime_ns}')):08x}"
