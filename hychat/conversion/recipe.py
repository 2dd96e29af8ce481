"""Recipes: how a GGUF was made, in a YAML file, so that anybody can make it again.

A recipe names a source (a checkpoint on the hub, or a model of the catalogue), the type it is converted to, the text its
importance matrix is measured with, and what it is quantized to. They are read here once, with the exact place in every error.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from hychat.conversion.file_types import FILE_TYPES
from hychat.domain.errors import ConversionError, HychatError, UsageError
from hychat.domain.text import may_be_deep
from hychat.messages import _
from hychat.paths import bundled, config_file

OUTTYPES: Final = ("f16", "bf16", "f32", "q8_0")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPOSITORY: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_REVISION: Final = re.compile(r"\w[\w./-]*", re.ASCII)
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """What a recipe begins with: a checkpoint of the hub, or a GGUF."""

    repository: str | None = None
    """`owner/name` of a checkpoint."""
    revision: str | None = None
    """Commit, branch or tag; None: what the hub has now."""
    model: str | None = None
    """A GGUF instead: a name of the catalogue."""

    @property
    def stem(self) -> str:
        """What the files that are made from it begin with."""
        return (self.repository or self.model or "").rpartition("/")[2]

    @property
    def typed(self) -> str:
        """As `hychat gguf convert` takes a checkpoint."""
        return f"{self.repository}@{self.revision}" if self.revision else str(self.repository)


@dataclass(frozen=True, slots=True)
class RecipeImatrix:
    """How the importance matrix is measured."""

    text: str
    """A file, beside the recipe or below its folder."""
    chunks: int | None = None
    """Pieces of 512 tokens; None: all of the text."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one GGUF is made."""

    name: str
    title: str
    source: RecipeSource
    quantize: str
    """A name of `FILE_TYPES`."""
    outtype: str = "bf16"
    """Of the GGUF that a checkpoint becomes first."""
    imatrix: RecipeImatrix | None = None
    keep_shared: bool = True
    """Whether what every token of a mixture goes through is kept in more bits."""
    allow_requantize: bool = False
    """Whether the source may be quantized itself."""
    bytes: int | None = None
    """Of the result, as far as it is known."""
    folder: Path = Path()
    """Where the recipe stands."""

    def full_file(self, folder: Path) -> Path:
        """The checkpoint as a GGUF, in full."""
        return folder / f"{self.source.stem}-{self.outtype.upper()}.gguf"

    def imatrix_file(self, folder: Path) -> Path:
        """The importance matrix."""
        return folder / f"{self.source.stem}.imatrix.gguf"

    def result_file(self, folder: Path) -> Path:
        """What it is all for."""
        return folder / f"{self.source.stem}-{self.quantize}.gguf"


@dataclass(frozen=True, slots=True)
class Recipes:
    """Those that lie in the folders for them."""

    sound: tuple[Recipe, ...]
    """The user's own first; of two with one name, the first."""
    broken: tuple[HychatError, ...]
    """What is wrong with files that cannot be read, or break the form."""

    def named(self, name: str) -> Recipe:
        """The recipe of that name.

        Raises:
            UsageError: There is none.
        """
        by_name = {recipe.name: recipe for recipe in self.sound}
        if recipe := by_name.get(name.lower()):
            return recipe
        raise UsageError(_("There is no recipe {name}.").format(name=name), hint=_nearest(name, by_name))


def known_recipes() -> Recipes:
    """All recipes that need no path."""
    by_name: dict[str, Recipe] = {}
    broken: list[HychatError] = []
    for path in _files():
        try:
            recipe = read_recipe_file(path)
        except HychatError as error:
            broken.append(error)
        else:
            by_name.setdefault(recipe.name, recipe)
    return Recipes(tuple(by_name.values()), tuple(broken))


def is_recipe_file(typed: str) -> bool:
    """Whether it is a path and no name."""
    return typed.endswith(_SUFFIXES)


def user_recipes_folder() -> Path:
    """Recipes of the user's own, beside the config file."""
    return config_file().parent / "recipes"


def _files() -> Iterator[Path]:
    for folder in (user_recipes_folder(), bundled("gguf/recipes")):
        yield from sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES)


def read_recipe_file(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        UsageError: There is no such file.
        ConversionError: It cannot be read, or breaks the form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(_("There is no file {path}.").format(path=path)) from error
    except OSError as error:
        raise ConversionError(
            _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror or error)
        ) from error
    except UnicodeDecodeError as error:
        raise ConversionError(
            _("{file} is not UTF-8 text (byte {position}).").format(file=path, position=error.start)
        ) from error
    return read_recipe(text, path)


def read_recipe(text: str, path: Path) -> Recipe:
    """The recipe in a file's text.

    Raises:
        ConversionError: It breaks the form; the error says where.
    """
    import yaml  # 8 ms, only for recipes

    loader = yaml.SafeLoader if may_be_deep(text) else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise ConversionError(_("{place}: not valid YAML: {problem}.").format(place=path, problem=problem)) from error
    said = _record(value, str(path), _RECIPE, Recipe)
    return Recipe(**said, folder=path.absolute().parent)


_Reader = Callable[[Any, str], Any]
"""Takes what the YAML says and its place, gives the value, or raises ConversionError."""


def _record(value: Any, place: str, readers: Mapping[str, _Reader], kind: type) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConversionError(_("{place}: lines of the form `key: value` expected.").format(place=place))
    said = {str(key): part for key, part in value.items() if part is not None}
    for key in said:
        if key not in readers:
            raise ConversionError(
                _("{place}: there is no key {key}.").format(place=place, key=key), hint=_nearest(key, readers)
            )
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    for key in needed:
        if key not in said:
            raise ConversionError(_("{place}: the key {key} is missing.").format(place=place, key=key))
    return {key: readers[key](part, f"{place}: {key}") for key, part in said.items()}


def _nearest(word: str, known: Iterable[str]) -> str:
    known = tuple(known)
    near = get_close_matches(word.lower(), known, n=1) or known
    return _("Known here: {keys}.").format(keys=", ".join(near))


def _matching(pattern: re.Pattern[str], expected: str) -> _Reader:
    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value:
            raise ConversionError(_("{place}: {expected} expected.").format(place=place, expected=expected))
        return value

    return read


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConversionError(_("{place}: text expected.").format(place=place), hint=_("Put numbers in quotes."))
    return value


def _one_of(choices: Iterable[str]) -> _Reader:
    """In capitals or not, as on the command line."""
    by_word = {choice.lower(): choice for choice in choices}

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or value.lower() not in by_word:
            raise ConversionError(
                _("{place}: one of {choices} expected.").format(place=place, choices=", ".join(by_word.values()))
            )
        return by_word[value.lower()]

    return read


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConversionError(_("{place}: a whole number from {low} up expected.").format(place=place, low=1))
    return value


def _truth(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise ConversionError(_("{place}: true or false expected.").format(place=place))
    return value


def _file_beside(value: Any, place: str) -> str:
    """The name of a file that cannot lead out of the recipe's folder."""
    name = _text(value, place)
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise ConversionError(_("{place}: the name of a file beside the recipe expected.").format(place=place))
    return name


def _source(value: Any, place: str) -> RecipeSource:
    said = _record(value, place, _SOURCE, RecipeSource)
    if ("repository" in said) == ("model" in said):
        raise ConversionError(_("{place}: either repository or model expected.").format(place=place))
    return RecipeSource(**said)


def _imatrix(value: Any, place: str) -> RecipeImatrix:
    return RecipeImatrix(**_record(value, place, _IMATRIX, RecipeImatrix))


_SOURCE: Final[Mapping[str, _Reader]] = {
    "repository": _matching(_REPOSITORY, "owner/name"),
    "revision": _matching(_REVISION, _("a commit, a branch or a tag")),
    "model": _matching(_NAME, _("the name of a model")),
}
_IMATRIX: Final[Mapping[str, _Reader]] = {"text": _file_beside, "chunks": _count}
_RECIPE: Final[Mapping[str, _Reader]] = {
    "name": _matching(_NAME, _("small letters, digits, dots, dashes and underscores")),
    "title": _text,
    "source": _source,
    "outtype": _one_of(OUTTYPES),
    "imatrix": _imatrix,
    "quantize": _one_of(FILE_TYPES),
    "keep_shared": _truth,
    "allow_requantize": _truth,
    "bytes": _count,
}
