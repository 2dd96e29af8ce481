"""From what a user types to a model: by name in the catalogue, or by the path of a GGUF file."""

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Final

from hychat.catalogue.cache import cached_files, cached_path, hub_cache_folder
from hychat.catalogue.read import read_catalogue
from hychat.catalogue.reference import all_parts, choose, fitting_projector, is_reference, read_reference
from hychat.domain.errors import CatalogueError, ModelNotFound, UsageError
from hychat.domain.model import LocalModel, ModelFile, ModelSpec
from hychat.messages import _
from hychat.paths import bundled, user_catalogue_folder

DEFAULT: Final = "hunyuan-0.5b"
"""The smallest Hunyuan: it runs on nearly every machine."""
STARTER: Final = "starter"


def default_model_name() -> str:
    """The model to talk to when none is named; where nothing is installed, `locate` says how to get it."""
    is_starter_only = not is_installed(DEFAULT) and is_installed(STARTER)
    return STARTER if is_starter_only else DEFAULT


def is_installed(name: str) -> bool:
    """Whether a model of the catalogue is on this machine."""
    return installed_path(find(name)) is not None


def known_models() -> tuple[ModelSpec, ...]:
    """Every model of the catalogue, the user's own first.

    Raises:
        CatalogueError: A catalogue file cannot be read.
    """
    by_name: dict[str, ModelSpec] = {}
    for spec in chain.from_iterable(map(_models_in, _catalogue_files())):
        by_name.setdefault(spec.name, spec)
    return tuple(by_name.values())


def find(name: str) -> ModelSpec:
    """The model of that name; the user's own, where both know one.

    Raises:
        ModelNotFound: There is none; the hint has the nearest names.
        CatalogueError: A catalogue file cannot be read.
    """
    wanted = name.lower()
    for file in _catalogue_files(wanted):
        for spec in _models_in(file):
            if spec.name == wanted:
                return spec
    raise ModelNotFound(_("There is no model named {name}.").format(name=name), hint=_nearest_names(wanted))


def locate(name_or_path: str, *, for_chat: bool = False) -> LocalModel:
    """The model and its file on this machine; `for_chat` asks for one that can be talked to.

    What begins with `hf:` is a file of the hub; else what has a path separator or ends in `.gguf` is a path; anything else
    is a name first, so that a file which happens to lie in the current folder does not take a model's place.

    Raises:
        ModelNotFound: There is no such model or file, or it is not on this machine.
        CatalogueError: A catalogue file cannot be read.
        UsageError: A name that begins with `hf:` has another form; the model is not one for a chat.
    """
    if is_reference(name_or_path):
        return _from_the_hub(name_or_path)
    if is_path(name_or_path):
        return _local_file(name_or_path)
    try:
        spec = find(name_or_path)
    except ModelNotFound:
        if Path(name_or_path).is_file():
            return _local_file(name_or_path)
        raise
    if for_chat and not spec.is_for_chat:
        raise UsageError(
            _("{name} rules on texts for the safety filter; it does not chat.").format(name=spec.name),
            hint=_("Take another model: hychat models list"),
        )
    return _installed(spec)


def is_path(name: str) -> bool:
    """Whether a name can only be the path of a file."""
    return os.sep in name or name.lower().endswith(".gguf")


def _catalogue_files(name: str = "") -> Iterator[Path]:
    """The user's files, then hychat's; among these first the family that the name begins with."""
    yield from sorted(user_catalogue_folder().glob("*.yaml"))
    yield from sorted(
        bundled("gguf/catalogue").glob("*.yaml"), key=lambda file: (not name.startswith(file.stem), file.stem)
    )


def _models_in(file: Path) -> tuple[ModelSpec, ...]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise CatalogueError(_("{file} cannot be read: {reason}.").format(file=file, reason=reason)) from error
    except UnicodeDecodeError as error:
        raise CatalogueError(
            _("{file} is not UTF-8 text (byte {position}).").format(file=file, position=error.start)
        ) from error
    return read_catalogue(text, str(file))


def _nearest_names(name: str) -> str:
    from difflib import get_close_matches  # only when something is wrong

    known = [spec.name for spec in known_models()]
    names = ", ".join(known)
    if near := ", ".join(get_close_matches(name, known)):
        return _("The nearest name is {nearest}. All names: {names}.").format(nearest=near, names=names)
    return _("All names: {names}.").format(names=names)


def _local_file(typed: str) -> LocalModel:
    path = Path(os.path.expanduser(typed)).absolute()  # noqa: PTH111 - leaves the ~ of an unknown user, Path raises
    if path.is_dir():
        raise ModelNotFound(_("{path} is a folder, not a GGUF file.").format(path=path))
    if not path.exists():
        raise ModelNotFound(_("There is no file {path}.").format(path=path))
    file = ModelFile(file=path.name)
    return LocalModel(ModelSpec(path.stem, path.stem, family="", architecture="", files=(file,)), str(path))


def _installed(spec: ModelSpec) -> LocalModel:
    """The model, with its file in the Python package that carries it or in the cache of the hub."""
    path = installed_path(spec)
    if path is None:
        raise ModelNotFound(
            _("The model {name} is not on this machine.").format(name=spec.name), hint=how_to_install(spec)
        )
    return LocalModel(spec, str(path))


def installed_path(spec: ModelSpec) -> Path | None:
    """Where the first of the model's files is that is whole; None where none is."""
    return next((path for file in spec.files if (path := _path_of(file))), None)


def projector_of(local: LocalModel) -> Path | None:
    """The file that lets a model see: the catalogue's, else the one that lies beside the model under its name.

    None where there is none, and for a model that the catalogue knows to see whose projector is not on this machine.
    """
    if local.spec.projector is not None:
        return _path_of(local.spec.projector)
    return projector_beside(Path(local.path))


def projector_beside(path: Path) -> Path | None:
    """The projector that lies beside a GGUF under its name; None where there is none."""
    name = fitting_projector(path.name, [other.name for other in path.parent.glob("*.gguf")])
    return path.parent / name if name else None


def projector_at(typed: str) -> Path:
    """The projector that a user named.

    Raises:
        ModelNotFound: There is no such file.
    """
    return Path(_local_file(typed).path)


def lacks_projector(spec: ModelSpec) -> bool:
    """Whether a model of the catalogue would see, were its projector on this machine."""
    return spec.projector is not None and _path_of(spec.projector) is None


def _path_of(file: ModelFile) -> Path | None:
    if file.package:
        return _path_in_package(file)
    paths = [cached_path(hub_cache_folder(), part) for part in parts_of(file)]
    return paths[0] if all(paths) else None


def installed_names() -> tuple[str, ...]:
    """The models of the catalogue that are on this machine."""
    return tuple(spec.name for spec in known_models() if installed_path(spec) is not None)


def parts_of(file: ModelFile) -> list[ModelFile]:
    """The files of a split model; size and checksum in the catalogue are those of a file that is not split."""
    names = all_parts(file.file)
    return [file] if len(names) == 1 else [replace(file, file=name, bytes=None, sha256=None) for name in names]


def _from_the_hub(name: str) -> LocalModel:
    """A file that any tool has fetched."""
    reference = read_reference(name)
    files = {
        cached.file: cached.path
        for cached in cached_files(hub_cache_folder())
        if cached.repository == reference.repository
    }
    chosen = choose([*files], reference.choice)
    if chosen is None or not all(part in files for part in all_parts(chosen)):
        raise ModelNotFound(
            _("The model {name} is not on this machine.").format(name=name),
            hint=_("Fetch it with: {command}").format(command=f"hychat models pull {name}"),
        )
    file, sight = ModelFile(file=chosen, repository=reference.repository), fitting_projector(chosen, [*files])
    projector = ModelFile(file=sight, repository=reference.repository) if sight else None
    spec = ModelSpec(name, Path(chosen).stem, family="", architecture="", files=(file,), projector=projector)
    return LocalModel(spec, str(files[chosen]))


def _path_in_package(file: ModelFile) -> Path | None:
    """The file in an installed package, which is found but not imported: 0.1 ms, where importing takes a second."""
    package = find_spec(file.package) if file.package else None
    folders = package.submodule_search_locations if package else None
    paths = (Path(folder) / file.file for folder in folders or ())
    return next((path for path in paths if path.is_file()), None)


def how_to_install(spec: ModelSpec) -> str:
    """The command that brings the model here, in a sentence."""
    packages = [file.package.replace("_", "-") for file in spec.files if file.package]
    if not packages:
        return _("Fetch it with: {command}").format(command=f"hychat models pull {spec.name}")
    return _("Install it with: {command}").format(command=_install_command(packages[0], spec.extra))


def _install_command(package: str, extra: str | None) -> str:
    """The command that adds a package to the environment that hychat runs in."""
    installer = Path(sys.prefix).parts
    if "pipx" in installer:
        return f"pipx inject hychat {package}"
    if "uv" in installer and "tools" in installer:
        return f"uv tool install hychat --with {package}"
    wanted = f"'hychat[{extra}]'" if extra else package
    return f"{shlex.quote(sys.executable)} -m pip install {wanted}"
