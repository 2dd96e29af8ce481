"""A catalogue file, YAML in and `ModelSpec`s out: checked here once, with the exact place in every error.

A record is a mapping of keys to readers, one line a key; which keys must be there, the domain's dataclasses say.
A key that is null is one that nobody knows, and the same as one that is left out.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple, TypeVar

from hychat.domain.errors import CatalogueError
from hychat.domain.generation import TEMPERATURE_RANGE, GenerationSettings
from hychat.domain.model import Licence, ModelFile, ModelSpec
from hychat.domain.text import may_be_deep
from hychat.messages import LANGUAGES, _

_T = TypeVar("_T")
_SHA256_DIGITS: Final = 64
_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_CAPITALS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_REGION_LETTERS: Final = 2
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_OPEN_LICENCES: Final[Mapping[str, str]] = {
    "AGPL-3.0-only": "GNU Affero General Public License 3.0",
    "Apache-2.0": "Apache License 2.0",
    "BSD-2-Clause": "BSD 2-Clause License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "CC-BY-4.0": "Creative Commons Attribution 4.0",
    "CC-BY-SA-4.0": "Creative Commons Attribution Share Alike 4.0",
    "CC0-1.0": "Creative Commons Zero 1.0",
    "GPL-3.0-only": "GNU General Public License 3.0",
    "MIT": "MIT License",
}
"""Licences that a file need not describe: SPDX identifier and name, of those that models are published under."""


class _Place(NamedTuple):
    """Where a value stands: `starter.yaml: models[0].files[0].sha256`."""

    file: str
    path: str = ""

    def at(self, step: str | int) -> "_Place":
        """One step in, to a key or to an element."""
        path = f"{self.path}[{step}]" if isinstance(step, int) else f"{self.path}.{step}".lstrip(".")
        return _Place(self.file, path)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file


_Reader = Callable[[Any, _Place], Any]


def read_catalogue(text: str, file: str) -> tuple[ModelSpec, ...]:
    """The models of one catalogue file; `file` is what errors call it.

    Raises:
        CatalogueError: It is not YAML, or breaks the schema.
    """
    top = _record(_parsed(text, file), _Place(file), _CATALOGUE, required={"family", "models"})
    licences: tuple[Licence, ...] = top.get("licences", ())
    models: tuple[dict[str, Any], ...] = top["models"]
    _refuse_twice((licence.id for licence in licences), _Place(file, "licences"), "id")
    _refuse_twice((model["name"] for model in models), _Place(file, "models"), "name")
    by_id = {licence.id: licence for licence in licences}
    return tuple(
        ModelSpec(**_with_licence(model, by_id, _Place(file).at("models").at(index)), family=top["family"])
        for index, model in enumerate(models)
    )


def _refuse_twice(names: Iterable[str], place: _Place, key: str) -> None:
    earlier: set[str] = set()
    for index, name in enumerate(names):
        if name in earlier:
            raise CatalogueError(
                _("{place}: {name} stands above already.").format(place=place.at(index).at(key), name=name)
            )
        earlier.add(name)


def _with_licence(model: dict[str, Any], described: Mapping[str, Licence], place: _Place) -> dict[str, Any]:
    """The model with its licence in the place of the licence's id: one that the file describes, or an open one."""
    if (licence_id := model.get("licence")) is None:
        return model
    return model | {"licence": described.get(licence_id) or _open_licence(licence_id, described, place.at("licence"))}


def _open_licence(spdx_id: str, described: Iterable[str], place: _Place) -> Licence:
    if spdx_id in _OPEN_LICENCES:
        return Licence(spdx_id, _OPEN_LICENCES[spdx_id], f"https://spdx.org/licenses/{spdx_id}.html")
    raise CatalogueError(
        _("{place}: there is no licence {id}.").format(place=place, id=spdx_id),
        hint=_nearest(spdx_id, (*described, *_OPEN_LICENCES)),
    )


def _parsed(text: str, file: str) -> Any:
    import yaml  # 8 ms, only when a model is asked for by name

    loader = yaml.SafeLoader if may_be_deep(text) else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-99-99 is a ValueError
        problem = " ".join(str(error).replace('in "<unicode string>", ', "").split())  # on one line
        raise CatalogueError(
            _("{place}: not valid YAML: {problem}.").format(place=file, problem=problem),
            hint=_("Mend that file, or move it away."),
        ) from error


def _record(value: Any, place: _Place, readers: Mapping[str, _Reader], required: set[str]) -> dict[str, Any]:
    """What is said of each key, read by its reader."""
    if not isinstance(value, dict):
        raise CatalogueError(_("{place}: lines of the form `key: value` expected.").format(place=place))
    said = {key: part for key, part in value.items() if part is not None}
    for key in said:
        if key not in readers:
            raise _unknown_key(str(key), place, readers)
    for key in sorted(required - said.keys()):
        raise CatalogueError(_("{place}: the key {key} is missing.").format(place=place, key=key))
    return {key: readers[key](part, place.at(key)) for key, part in said.items()}


def _unknown_key(key: str, place: _Place, known: Iterable[str]) -> CatalogueError:
    return CatalogueError(_("{place}: there is no key {key}.").format(place=place, key=key), hint=_nearest(key, known))


def _nearest(word: str, known: Iterable[str]) -> str:
    """The hint with the known word that is most like this one; with all, where none is."""
    from difflib import get_close_matches  # only when something is wrong

    known = tuple(known)
    nearest = get_close_matches(word.lower(), [name.lower() for name in known], n=1)
    return _("Known here: {keys}.").format(keys=", ".join(n for n in known if n.lower() in nearest) or ", ".join(known))


def _required(kind: type) -> set[str]:
    """The fields of a dataclass that have no default."""
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def _each(read: Callable[[Any, _Place], _T]) -> Callable[[Any, _Place], tuple[_T, ...]]:
    def read_each(value: Any, place: _Place) -> tuple[_T, ...]:
        if not isinstance(value, list) or not value:
            raise CatalogueError(_("{place}: a list expected.").format(place=place))
        return tuple(read(part, place.at(index)) for index, part in enumerate(value))

    return read_each


def _text(value: Any, place: _Place) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CatalogueError(_("{place}: text expected.").format(place=place), hint=_("Put numbers in quotes."))
    return value


def _name(value: Any, place: _Place) -> str:
    """Nothing that could be taken for a path."""
    name = _text(value, place)
    if not _NAME_CHARACTERS.issuperset(name) or not name[0].isalnum() or name.endswith(".gguf"):
        raise CatalogueError(_("{place}: small letters, digits, dots and dashes expected.").format(place=place))
    return name


def _sha256(value: Any, place: _Place) -> str:
    if not isinstance(value, str) or len(value) != _SHA256_DIGITS or not _HEX_DIGITS.issuperset(value):
        raise CatalogueError(_("{place}: {count} hex digits expected.").format(place=place, count=_SHA256_DIGITS))
    return value


def _repository(value: Any, place: _Place) -> str:
    owner, _slash, name = _text(value, place).partition("/")
    if not all(re.fullmatch(r"\w[\w.-]*", part, re.ASCII) and ".." not in part for part in (owner, name)):
        raise CatalogueError(_("{place}: owner/name expected.").format(place=place))
    return f"{owner}/{name}"


def _revision(value: Any, place: _Place) -> str:
    """A commit, branch or tag; it becomes the name of a file."""
    revision = _text(value, place)
    if not re.fullmatch(r"[\w][\w./-]*", revision) or ".." in revision:
        raise CatalogueError(_("{place}: a commit, a branch or a tag expected.").format(place=place))
    return revision


def _package(value: Any, place: _Place) -> str:
    """A top-level package: looking for one inside another would import the outer one."""
    if not isinstance(value, str) or not value.isidentifier():
        raise CatalogueError(_("{place}: the import name of a package expected.").format(place=place))
    return value


def _file_name(value: Any, place: _Place) -> str:
    name = _text(value, place)
    path = PurePosixPath(name)
    is_inside = not path.is_absolute() and ".." not in path.parts and "\\" not in name and name.isprintable()
    if not is_inside or path.suffix.lower() != ".gguf":
        raise CatalogueError(_("{place}: the name of a .gguf file inside its source expected.").format(place=place))
    return name


def _one_of(*choices: str) -> Callable[[Any, _Place], str]:
    def read(value: Any, place: _Place) -> str:
        if value not in choices:
            raise CatalogueError(
                _("{place}: one of {choices} expected.").format(place=place, choices=", ".join(choices))
            )
        return str(value)

    return read


def _capabilities(value: Any, place: _Place) -> frozenset[str]:
    return frozenset(_each(_one_of("guard", "image", "text", "translate"))(value, place))


def _web_address(value: Any, place: _Place) -> str:
    if not isinstance(value, str) or not value.startswith("https://") or not value.isprintable() or " " in value:
        raise CatalogueError(_("{place}: an https:// address expected.").format(place=place))
    return value


def _region(value: Any, place: _Place) -> str:
    if not isinstance(value, str) or len(value) != _REGION_LETTERS or not _CAPITALS.issuperset(value):
        raise CatalogueError(_("{place}: two capital letters expected, such as KR or EU.").format(place=place))
    return value


def _truth(value: Any, place: _Place) -> bool:
    if not isinstance(value, bool):
        raise CatalogueError(_("{place}: true or false expected.").format(place=place))
    return value


def _whole(low: int) -> Callable[[Any, _Place], int]:
    def read(value: Any, place: _Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise CatalogueError(_("{place}: a whole number from {low} up expected.").format(place=place, low=low))
        return value

    return read


def _number(low: float, high: float) -> Callable[[Any, _Place], float]:
    def read(value: Any, place: _Place) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise CatalogueError(
                _("{place}: a number from {low} to {high} expected.").format(place=place, low=low, high=high)
            )
        return float(value)

    return read


def _model_file(value: Any, place: _Place) -> ModelFile:
    said = _record(value, place, _FILE, required=_required(ModelFile))
    if ("repository" in said) == ("package" in said):
        raise CatalogueError(_("{place}: either repository or package expected.").format(place=place))
    return ModelFile(**said)


def _terms(value: Any, place: _Place) -> dict[str, str]:
    """English must be there: it is what a user reads whose language is not."""
    return _record(value, place, dict.fromkeys(LANGUAGES, _text), required={"en"})


def _licence(value: Any, place: _Place) -> Licence:
    return Licence(**_record(value, place, _LICENCE, required=_required(Licence)))


def _defaults(value: Any, place: _Place) -> GenerationSettings:
    return GenerationSettings(**_record(value, place, _DEFAULTS, required=set()))


def _model(value: Any, place: _Place) -> dict[str, Any]:
    return _record(value, place, _MODEL, required=_required(ModelSpec) - {"family"} | {"files"})


_DEFAULTS: Final[Mapping[str, _Reader]] = {
    "temperature": _number(*TEMPERATURE_RANGE),
    "top_k": _whole(0),
    "top_p": _number(0.0, 1.0),
    "min_p": _number(0.0, 1.0),
    "repeat_penalty": _number(0.5, 2.0),
    "max_tokens": _whole(1),
    "think": _truth,
}

_FILE: Final[Mapping[str, _Reader]] = {
    "file": _file_name,
    "repository": _repository,
    "package": _package,
    "revision": _revision,
    "bytes": _whole(1),
    "sha256": _sha256,
    "quantization": _text,
}

_MODEL: Final[Mapping[str, _Reader]] = {
    "name": _name,
    "title": _text,
    "architecture": _text,
    "context_tokens": _whole(256),
    "files": _each(_model_file),
    "capabilities": _capabilities,
    "projector": _model_file,
    "licence": _text,
    "parameters_total": _whole(1),
    "parameters_active": _whole(1),
    "prompt_family": _one_of("hunyuan-a", "hunyuan-b", "hy-v3", "jinja"),
    "kv_bytes_per_token": _whole(1),
    "thinking": _one_of("slow-default", "optional", "none"),
    "extra": _text,
    "defaults": _defaults,
}

_LICENCE: Final[Mapping[str, _Reader]] = {
    "id": _text,
    "title": _text,
    "url": _web_address,
    "excluded_regions": _each(_region),
    "terms": _terms,
}

_CATALOGUE: Final[Mapping[str, _Reader]] = {"family": _text, "licences": _each(_licence), "models": _each(_model)}
