"""Deleting models from this machine."""

from pathlib import Path

from hychat.catalogue.cache import cached_files, hub_cache_folder, remove
from hychat.catalogue.records import forget_checksum
from hychat.catalogue.reference import all_parts, is_projector
from hychat.domain.errors import UsageError
from hychat.domain.model import LocalModel, ModelFile
from hychat.messages import _


def place_in_cache(path: Path, cache: Path) -> tuple[str, list[str]] | None:
    """The repository and the files (all parts) that a path in the cache stands for."""
    for cached in cached_files(cache):
        if cached.path == path:
            return cached.repository, all_parts(cached.file)
    return None


def files_to_remove(model: LocalModel) -> tuple[str, list[str]]:
    """Its repository and its files, all parts.

    Raises:
        UsageError: It lies outside of the cache: it is the user's own, or a package brought it.
    """
    place = place_in_cache(Path(model.path), hub_cache_folder())
    if place is None:
        raise UsageError(
            _("{path} was not fetched by hychat; it stays.").format(path=model.path),
            hint=_("Delete it yourself, or uninstall the package that brought it."),
        )
    return place


def remove_model(model: LocalModel) -> int:
    """Delete it with what goes with it; the bytes that are free again.

    Raises:
        UsageError: As `files_to_remove`.
        OSError: It cannot be deleted.
    """
    cache = hub_cache_folder()
    repository, files = files_to_remove(model)
    freed = sum(remove(cache, repository, file) for file in files)
    for file in files:
        forget_checksum(repository, file)
    if (projector := model.spec.projector) is not None and not _serves_another(projector, cache):
        freed += remove(cache, projector.repository or "", projector.file)
    return freed


def _serves_another(projector: ModelFile, cache: Path) -> bool:
    """Whether another model of its repository, such as another quantization, is still here."""
    left = [cached.file for cached in cached_files(cache) if cached.repository == projector.repository]
    return any(not is_projector(file) for file in left)
