"""All models there are: those that hychat knows, and what other tools have put into the cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hychat.catalogue.cache import cached_files, hub_cache_folder
from hychat.catalogue.find import installed_path, known_models
from hychat.catalogue.fits import Fit, fit
from hychat.catalogue.reference import PREFIX, is_first_part, is_projector
from hychat.domain.model import Licence, ModelSpec
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

    @property
    def is_installed(self) -> bool:
        """Whether it is on this machine."""
        return self.path is not None

    @property
    def licence(self) -> Licence | None:
        """Its licence, where the catalogue knows it."""
        return self.spec.licence if self.spec else None


def list_models() -> Iterator[ListedModel]:
    """The catalogue's models in its order, then what else the cache has.

    Raises:
        CatalogueError: A catalogue file cannot be read.
    """
    memory = machine_memory()
    listed: set[Path] = set()
    for spec in known_models():
        path = installed_path(spec)
        if path:
            listed.add(path)
        size = path.stat().st_size if path else spec.files[0].bytes
        yield ListedModel(spec.name, spec.title, path, size, fit(spec, memory), spec)
    for cached in cached_files(hub_cache_folder()):
        if cached.path not in listed and is_first_part(cached.file) and not is_projector(cached.file):
            name = f"{PREFIX}{cached.repository}:{cached.file}"
            yield ListedModel(name, Path(cached.file).stem, cached.path, cached.bytes, None)
