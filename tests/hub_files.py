"""What a repository of the stand-in hub holds: contents, and how the hub's API tells of them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Final, Self

BLOCK_BYTES: Final = 1 << 20
_NOISE: Final = hashlib.shake_256(b"hub").digest(BLOCK_BYTES)
_LFS_SUFFIXES: Final = (".gguf", ".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class Plain:
    """Bytes that are there."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, BLOCK_BYTES):
            yield self.data[at : min(at + BLOCK_BYTES, stop)]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Bytes that are made when they are read, the same ones each time: a big file that takes no memory.

    Each block of 1 MiB begins with its number, so that a block written to the wrong place is noticed. Another seed gives
    other bytes; `head` stands at the front, such as a GGUF's header. A `sha256` that is given is believed, not reckoned:
    for a size nobody reads to the end.
    """

    size: int
    seed: int = 0
    head: bytes = b""
    claimed_sha256: str = ""

    @property
    def sha256(self) -> str:
        return self.claimed_sha256 or _sha256_of(self)

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            number, skipped = divmod(start, BLOCK_BYTES)
            block = self._block(number)[skipped : skipped + stop - start]
            yield block
            start += len(block)

    def read(self) -> bytes:
        """All of it, for a file that is not so big."""
        return b"".join(self.blocks(0, self.size))

    def _block(self, number: int) -> bytes:
        head = self.head[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
        block = self.seed.to_bytes(8, "little") + number.to_bytes(8, "little") + _NOISE[16:]
        return head + block[len(head) :] if head else block


Content = Plain | Pattern


@lru_cache(maxsize=64)
def _sha256_of(pattern: Pattern) -> str:
    digest = hashlib.sha256()
    for block in pattern.blocks(0, pattern.size):
        digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class File:
    """A file of a repository: in LFS, where its name says so, else in git."""

    content: Content
    blob_id: str
    sha256: str = ""
    """Of a file in LFS."""
    pointer_bytes: int = 0

    @classmethod
    def of(cls, name: str, content: bytes | Content) -> Self:
        content = Plain(content) if isinstance(content, bytes) else content
        if not name.endswith(_LFS_SUFFIXES):
            return cls(content, _git_id(b"".join(content.blocks(0, content.size))))
        sha256 = content.sha256
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {content.size}\n".encode()
        return cls(content, _git_id(pointer), sha256, len(pointer))

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob_id

    def as_sibling(self, name: str) -> dict[str, Any]:
        """As `GET /api/models/...?blobs=true` lists it."""
        lfs = {"sha256": self.sha256, "size": self.size, "pointerSize": self.pointer_bytes}
        return {"rfilename": name, "size": self.size, "blobId": self.blob_id} | ({"lfs": lfs} if self.sha256 else {})

    def as_entry(self, path: str) -> dict[str, Any]:
        """As `GET .../tree/...` lists it."""
        lfs = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_bytes}
        entry = {"type": "file", "oid": self.blob_id, "size": self.size, "path": path}
        return entry | ({"lfs": lfs} if self.sha256 else {})


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Repo:
    """A model repository with one branch, `main`.

    It holds one state of its files: after a change the names of earlier commits go on working, and give the new bytes.
    """

    def __init__(self, name: str, files: Mapping[str, bytes | Content], *, is_gated: bool, is_redirected: bool) -> None:
        self.name = name
        self.is_gated = is_gated
        self.is_redirected = is_redirected
        self.files: Mapping[str, File] = {path: File.of(path, content) for path, content in files.items()}
        self._commits = {self.commit}

    @property
    def commit(self) -> str:
        """Where `main` is."""
        state = "".join(f"{path} {file.etag}\n" for path, file in sorted(self.files.items()))
        return _git_id(f"{self.name}\n{state}".encode())

    def commit_of(self, revision: str) -> str | None:
        """The commit that a branch or a commit's own name stands for."""
        if revision == "main":
            return self.commit
        return revision if revision in self._commits else None

    def replace(self, path: str, content: bytes | Content) -> None:
        """Give a file other bytes, as a new commit."""
        self.files = {**self.files, path: File.of(path, content)}
        self._commits.add(self.commit)

    def info(self, commit: str, *, with_blobs: bool) -> dict[str, Any]:
        siblings = [
            file.as_sibling(path) if with_blobs else {"rfilename": path} for path, file in sorted(self.files.items())
        ]
        gated = "manual" if self.is_gated else False
        return {"id": self.name, "sha": commit, "private": False, "gated": gated, "tags": [], "siblings": siblings}

    def entries(self, folder: str = "", *, is_recursive: bool = True) -> list[dict[str, Any]]:
        """Files and folders below a folder; none where there is no such folder."""
        found: dict[str, dict[str, Any]] = {}
        for path, file in self.files.items():
            for parent in reversed(PurePosixPath(path).parents[:-1]):
                found[str(parent)] = {"type": "directory", "oid": _git_id(parent.name.encode()), "path": str(parent)}
            found[path] = file.as_entry(path)
        below = f"{folder}/" if folder else ""
        return [
            entry
            for path, entry in sorted(found.items())
            if path.startswith(below) and (is_recursive or "/" not in path[len(below) :])
        ]
