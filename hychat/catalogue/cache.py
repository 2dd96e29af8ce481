"""The Hugging Face cache on this machine, by paths alone: the hub's client takes longer to import than an answer to begin.

    models--owner--name/
        blobs/<etag>                    the content; `<etag>.incomplete` while it is fetched
        snapshots/<commit>/<file>       a link to it
        refs/<revision>                 the commit that a branch stood at

Layout: huggingface_hub, "Understand caching". Other tools put their models here too, and find those of hychat.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from hychat.domain.model import ModelFile
from hychat.paths import home_needed

PARTIAL_SUFFIX: Final = ".incomplete"
OURS: Final = ".hychat"
"""Stands in the folder of a repository from which hychat began to fetch something."""
_PREFIX: Final = "models--"


class CachedFile(NamedTuple):
    """A GGUF in the cache."""

    repository: str
    file: str
    path: Path
    bytes: int


class Leftover(NamedTuple):
    """Something in the cache that no model needs."""

    path: Path
    bytes: int
    is_partial: bool
    """Of a download that was stopped; else a content that no snapshot names."""


@home_needed()
def hub_cache_folder() -> Path:
    """Where the hub's client keeps its files, by its own variables."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(given or Path(home) / "hub")).expanduser()


def repository_folder(cache: Path, repository: str) -> Path:
    """The folder of one repository."""
    return cache / f"{_PREFIX}{repository.replace('/', '--')}"


def cached_path(cache: Path, file: ModelFile) -> Path | None:
    """Where the file is, of the revision that is asked for or else of the newest; None where it is not whole."""
    if file.repository is None:
        return None
    snapshots = repository_folder(cache, file.repository) / "snapshots"
    paths = [path for path in _found(snapshots, f"*/{_escaped(file.file)}") if _is_whole(path, file)]
    pinned = [path for path in paths if path.relative_to(snapshots).parts[0] == file.revision]
    return next(iter(pinned), None) or max(paths, key=lambda path: path.stat().st_mtime, default=None)


def _found(folder: Path, pattern: str) -> list[Path]:
    """What a pattern finds; nothing in a folder that may not be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _is_whole(path: Path, file: ModelFile) -> bool:
    try:
        size = path.stat().st_size
    except OSError:  # a link to nothing, or not ours to read
        return False
    content = path.resolve().name  # of a large file: its checksum
    is_other = file.sha256 is not None and len(content) == len(file.sha256) and content != file.sha256
    return not is_other and (file.bytes is None or size == file.bytes)


def cached_files(cache: Path) -> Iterator[CachedFile]:
    """Every GGUF in the cache, whichever tool fetched it; each once."""
    for folder in _found(cache, f"{_PREFIX}*"):
        repository = folder.name.removeprefix(_PREFIX).replace("--", "/", 1)
        names: set[str] = set()
        for path in filter(_is_gguf, _found(folder / "snapshots", "*/**/*")):
            name = path.relative_to(folder / "snapshots").as_posix().split("/", 1)[1]
            if name not in names and path.is_file():
                names.add(name)
                yield CachedFile(repository, name, path, path.stat().st_size)


def leftovers(cache: Path) -> Iterator[Leftover]:
    """What `prune` may delete: partial files, and contents that no snapshot names any more, of GGUFs only.

    A repository without one may belong to another tool, and is left alone, unless hychat itself began to fetch from it.
    """
    for folder in _found(cache, f"{_PREFIX}*"):
        for blob in _unneeded(folder):
            if not _is_being_fetched(blob):
                yield Leftover(blob, blob.stat().st_size, _is_partial(blob))


def delete(leftover: Leftover) -> bool:
    """Delete it, unless somebody has begun to fetch or to use it since it was found; whether it is gone.

    Raises:
        OSError: It cannot be deleted.
    """
    from filelock import FileLock, Timeout

    lock = _lock_of(leftover.path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            if leftover.path not in _unneeded(leftover.path.parent.parent):
                return False
            leftover.path.unlink()
            return True
    except Timeout:
        return False


def _unneeded(folder: Path) -> list[Path]:
    """In the folder of a repository: what no snapshot names, whether or not it is being fetched."""
    links = _found(folder / "snapshots", "*/**/*")
    if not (any(_is_gguf(link) for link in links) or (folder / OURS).exists()):
        return []
    named = {link.resolve() for link in links if link.is_symlink()}
    return [
        blob
        for blob in _found(folder / "blobs", "*")
        if blob.is_file() and (_is_partial(blob) or (_uses_links(links) and blob.resolve() not in named))
    ]


def lock_file(cache: Path, repository: str, etag: str) -> Path:
    """What whoever fetches a content keeps locked, the hub's own client too."""
    return cache / ".locks" / repository_folder(cache, repository).name / f"{etag}.lock"


def is_locked(lock: Path) -> bool:
    """Whether somebody keeps it."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _lock_of(blob: Path) -> Path:
    """The lock of a content or of a partial file; the hub's client puts a word of its own before `.incomplete`."""
    repository = blob.parent.parent
    etag = blob.name.split(".")[0] if _is_partial(blob) else blob.name
    return repository.parent / ".locks" / repository.name / f"{etag}.lock"


def _is_being_fetched(blob: Path) -> bool:
    lock = _lock_of(blob)
    return lock.exists() and is_locked(lock)


def _is_partial(blob: Path) -> bool:
    return blob.name.endswith(PARTIAL_SUFFIX)


def _uses_links(links: list[Path]) -> bool:
    """Whether snapshots link to their contents; where the file system knows no links, nothing tells an orphan."""
    return any(link.is_symlink() for link in links)


def _is_gguf(path: Path) -> bool:
    return path.name.lower().endswith(".gguf")


def place(cache: Path, file: ModelFile, blob: Path, commit: str) -> Path:
    """Give a whole content its name in the snapshot of a commit, as the hub's client does."""
    repository = repository_folder(cache, file.repository or "")
    pointer = repository / "snapshots" / commit / file.file
    pointer.parent.mkdir(parents=True, exist_ok=True)
    if not pointer.exists():
        pointer.unlink(missing_ok=True)  # a link to nothing
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # a file system without links
            import shutil

            shutil.copyfile(blob, pointer)
    if file.revision != commit:
        reference = repository / "refs" / (file.revision or "main")
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, encoding="ascii")
    return pointer


def remove(cache: Path, repository: str, file: str) -> int:
    """Delete a file from every snapshot, and its content where nothing else names it; the bytes that it freed.

    Raises:
        OSError: It cannot be deleted.
    """
    folder = repository_folder(cache, repository)
    return remove_names(folder, [*(folder / "snapshots").glob(f"*/{_escaped(file)}")])


def remove_names(folder: Path, names: Sequence[Path]) -> int:
    """Delete these names in a repository's snapshots, as `remove` does.

    Raises:
        OSError: One cannot be deleted.
    """
    blobs = {name.resolve() for name in names}
    for name in names:
        name.unlink()
    named = {link.resolve() for link in (folder / "snapshots").glob("*/**/*") if link.is_symlink()}
    freed = 0
    for blob in blobs - named:
        if blob.exists() and blob.is_relative_to(folder.resolve()):
            freed += blob.stat().st_size
            blob.unlink()
    _remove_if_empty(folder)
    return freed


def _remove_if_empty(folder: Path) -> None:
    """Folders that hold no file any more: the snapshots', and the repository's own."""
    for path in sorted((folder / "snapshots").glob("**/"), reverse=True):
        with suppress(OSError):
            path.rmdir()
    if not any((folder / "blobs").glob("*")) and not (folder / "snapshots").exists():
        import shutil  # 4 ms, and this module is imported for every question

        shutil.rmtree(folder, ignore_errors=True)
