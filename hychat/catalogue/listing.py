"""All models there are: those that hychat knows, and what other tools have put into the cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hychat.catalogue.cache import cached_files, cached_path, hub_cache_folder
from hychat.catalogue.find import installed_path, known_models, lacks_projector, parts_of
from hychat.catalogue.fits import Fit, files_bytes, fit, fit_of_size
from hychat.catalogue.reference import PREFIX, all_parts, fitting_projector, is_first_part, is_projector
from hychat.domain.model import Licence, ModelSpec
from hychat.engine.gpus import gpu_memory_bytes
from hychat.engine.memory import machine_memory


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model in the list."""

    name: str
    title: str
    path: Path | None
    """Its file on this machine."""
    bytes: int | None
    fit: Fit | None
    spec: ModelSpec | None = None
    """None for what the catalogue does not know."""
    sees: bool = False
    """Whether it can look at pictures, once it is whole."""
    lacks_projector: bool = False
    """Whether it is on this machine without what lets it see."""

    @property
    def is_installed(self) -> bool:
        """Whether it is on this machine."""
        return self.path is not None

    @property
    def is_for_chat(self) -> bool:
        """Whether one can talk to it, as far as the catalogue knows."""
        return self.spec is None or self.spec.is_for_chat

    @property
    def licence(self) -> Licence | None:
        """Its licence, where the catalogue knows it."""
        return self.spec.licence if self.spec else None


def list_models() -> Iterator[ListedModel]:
    """The catalogue's models in its order, then what else the cache has whole.

    Raises:
        CatalogueError: A catalogue file cannot be read.
    """
    memory, gpu_bytes = machine_memory(), gpu_memory_bytes()
    cache = hub_cache_folder()
    listed: set[Path] = set()
    for spec in known_models():
        path = installed_path(spec)
        if path:
            listed.add(path)
        present = _installed_bytes(spec, path, cache) if path else None
        fitting = fit(spec, memory, gpu_bytes, installed_bytes=present)
        is_blind = path is not None and lacks_projector(spec)
        yield ListedModel(
            spec.name, spec.title, path, present or files_bytes(spec), fitting, spec, bool(spec.projector), is_blind
        )
    others = {(cached.repository, cached.file): cached for cached in cached_files(cache)}
    for (repository, file), cached in others.items():
        parts = [others.get((repository, part)) for part in all_parts(file)]
        if cached.path in listed or is_projector(file) or not is_first_part(file) or not all(parts):
            continue
        size = sum(part.bytes for part in parts if part)
        name = f"{PREFIX}{repository}:{file}"
        sees = fitting_projector(file, [other for owner, other in others if owner == repository]) is not None
        fitting = fit_of_size(size, memory, gpu_bytes)
        yield ListedModel(name, Path(file).stem, cached.path, size, fitting, sees=sees)


def _installed_bytes(spec: ModelSpec, first: Path, cache: Path) -> int:
    """All parts of a model, and what goes with it."""
    parts = [part for file in spec.files if file.repository for part in parts_of(file)[1:]]
    extra = [*parts, *([spec.projector] if spec.projector else [])]
    paths = [first, *filter(None, (cached_path(cache, file) for file in extra))]
    return sum(path.stat().st_size for path in paths)
