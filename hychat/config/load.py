"""Reading the settings: config file, then environment, each checked by itself so that an error names its place."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hychat.config.schema import KEYS, Config, key_named
from hychat.domain.errors import ConfigError
from hychat.domain.text import may_be_deep
from hychat.messages import _

if TYPE_CHECKING:
    from yaml import Node, YAMLError

UNSAID: Final = frozenset({"", "~", "null", "Null", "NULL"})
"""Values that say nothing, when they are not quoted."""


class Said(NamedTuple):
    """A value, and what said it."""

    value: Any
    origin: str
    """`file`, or the name of the variable."""


class Entry(NamedTuple):
    """One key of a config file, and the characters it covers."""

    name: str
    text: str | None
    """Its value as it is written; None where that is empty or null, which says nothing."""
    is_scalar: bool
    """Whether the value is one text, not a list or a mapping."""
    line: int
    column: int
    """Characters before the key in its line."""
    key_start: int
    value_start: int
    value_end: int


def load(file: Path, environment: Mapping[str, str]) -> Config:
    """The settings in force.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it or in the environment is not known.
    """
    return Config(**{name: said.value for name, said in what_is_said(file, environment).items()})


def what_is_said(file: Path, environment: Mapping[str, str]) -> dict[str, Said]:
    """What file and environment say, by key; the environment wins.

    Raises:
        ConfigError: As `load`.
    """
    return {**_said_by_file(file), **said_by_environment(environment)}


def said_by_environment(environment: Mapping[str, str]) -> dict[str, Said]:
    """What the environment says, by key.

    An empty variable says nothing; a HYCHAT_* that is no key is another program's, such as a container's.

    Raises:
        ConfigError: A variable has a value that its key does not take.
    """
    texts = {key.name: environment.get(key.variable, "") for key in KEYS.values()}
    return {
        name: Said(KEYS[name].read(text, KEYS[name].variable), KEYS[name].variable)
        for name, text in texts.items()
        if text
    }


def _said_by_file(file: Path) -> dict[str, Said]:
    text = read_text(file)
    return {name: Said(value, "file") for name, value in _values(text, file)} if text.strip() else {}


def read_text(file: Path) -> str:
    """What stands in the config file; nothing where there is none.

    Raises:
        ConfigError: It is there and cannot be read as text.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:  # line ends as they are: they are written back
            return text.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(
            _("{file} cannot be read: {reason}.").format(file=file, reason=error.strerror or error)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            _("{file} is not UTF-8 text (byte {position}).").format(file=file, position=error.start)
        ) from error


def _values(text: str, file: Path) -> Iterator[tuple[str, Any]]:
    """Each key that is said, with the value it means."""
    for entry in entries(text, file):
        place = f"{file}:{entry.line}"
        key = key_named(entry.name, place)
        if not entry.is_scalar:
            raise key.refusal(entry.text or "", place)
        if entry.text is not None:
            yield entry.name, key.read(entry.text, place)


def entries(text: str, file: Path) -> tuple[Entry, ...]:
    """The top level of a config file, key by key.

    Nodes are read as they are written, not as YAML values: `no`, `1.80` and `0123` stay what the user typed.

    Raises:
        ConfigError: It is not YAML, not a mapping, or says a key twice.
    """
    import yaml  # 8 ms, only where there is a config file

    loader = yaml.BaseLoader if may_be_deep(text) else getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        root = yaml.compose(text, loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(file, error) from error
    if root is None:
        return ()
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(_("{file} must hold lines of the form `key: value`.").format(file=file))
    found = tuple(_entry(text, key, value) for key, value in root.value)
    _refuse_twice(found, file)
    return found


def _entry(text: str, key: "Node", value: "Node") -> Entry:
    start, end = value.start_mark.index, value.end_mark.index
    written = text[start:end].strip()
    is_scalar = isinstance(value.value, str)
    return Entry(
        name=text[key.start_mark.index : key.end_mark.index] if isinstance(key.value, list) else key.value,
        text=None if written in UNSAID else value.value if is_scalar else written,
        is_scalar=is_scalar,
        line=key.start_mark.line + 1,
        column=key.start_mark.column,
        key_start=key.start_mark.index,
        value_start=start,
        value_end=end,
    )


def _refuse_twice(found: tuple[Entry, ...], file: Path) -> None:
    firsts: dict[str, Entry] = {}
    for entry in found:
        first = firsts.setdefault(entry.name, entry)
        if first is not entry:
            raise ConfigError(
                _("{place}: {key} stands in line {first} already.").format(
                    place=f"{file}:{entry.line}", key=entry.name, first=first.line
                )
            )


def _not_yaml(file: Path, error: "YAMLError | RecursionError") -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
    parts = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    problem = ", ".join(part for part in parts if part) or error
    return ConfigError(_("{place}: not valid YAML: {problem}.").format(place=place, problem=problem))
