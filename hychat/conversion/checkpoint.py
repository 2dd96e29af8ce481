"""A checkpoint as Hugging Face lays it out: `config.json`, and the tensors in one safetensors file or in many."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hychat.conversion.safetensors import StoredTensor, damaged, read_shard, unreadable
from hychat.domain.errors import ConversionError, InputUnreadable
from hychat.engine.gguf_cursor import shown
from hychat.messages import _

CONFIG: Final = "config.json"
_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"
_JSON_LIMIT_BYTES: Final = 256 << 20
"""A tokenizer of 128,000 tokens takes 10 MB."""
_MOST_OF_ANYTHING: Final = 1 << 30
_LARGEST_NUMBER: Final = 1e12


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        InputUnreadable: It cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > _JSON_LIMIT_BYTES:
            raise damaged(path, _("it is far too large"))
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, _("it is no JSON")) from error
    if not isinstance(value, dict):
        raise damaged(path, _("it is no JSON object"))
    return value


def read_json_if_there(path: Path) -> dict[str, Any]:
    """The same; empty where there is no such file."""
    return read_json(path) if path.is_file() else {}


@dataclass(frozen=True, slots=True)
class Config:
    """`config.json`. Newer files have other names for some values, hence several; the first that is there counts.

    All raise InputUnreadable where a value is missing or of another kind.
    """

    path: Path
    values: dict[str, Any]

    def get(self, *names: str) -> Any:
        """None where there is none of them."""
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)

    def integer(self, *names: str, default: int | None = None) -> int:
        """A count, from 1 on."""
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]  # one for each layer
        if type(value) is int and 0 < value < _MOST_OF_ANYTHING:
            return value
        raise self._wrong(names[0])

    def number(self, *names: str, default: float | None = None) -> float:
        """A positive number."""
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if type(value) in {int, float} and 0 < value < _LARGEST_NUMBER:
            return float(value)
        raise self._wrong(names[0])

    def truth(self, name: str, *, default: bool) -> bool:
        """Yes or no."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        raise self._wrong(name)

    def section(self, *names: str) -> "Config":
        """An object inside; empty where there is none."""
        value = self.get(*names)
        if value is None or isinstance(value, dict):
            return Config(self.path, value or {})
        raise self._wrong(names[0])

    def _wrong(self, name: str) -> InputUnreadable:
        message = _("{path} does not say {name} as it must.")
        return InputUnreadable(message.format(path=self.path, name=name), hint=_("Fetch the file again."))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with a model in it."""

    folder: Path
    config: Config
    tensors: dict[str, StoredTensor]

    @property
    def architecture(self) -> str:
        """The class of transformers that it is for."""
        return architecture_of(self.config)


def architecture_of(config: Config) -> str:
    """The class of transformers that a checkpoint is for; empty where it does not say."""
    match config.get("architectures"):
        case [str(name), *_others]:
            return name
        case _:
            return ""


def read_config(folder: Path) -> Config:
    """The checkpoint's sizes.

    Raises:
        InputUnreadable: There is no checkpoint, or its config cannot be read.
    """
    if not folder.is_dir():
        raise InputUnreadable(
            _("There is no folder {path}.").format(path=folder),
            hint=_("Give a folder with a Hugging Face checkpoint, or owner/repository to fetch one."),
        )
    path = folder / CONFIG
    if not path.is_file():
        raise InputUnreadable(
            _("{path} has no {file}, so it is no Hugging Face checkpoint.").format(path=folder, file=CONFIG),
            hint=_("Give the folder that config.json and the .safetensors files lie in."),
        )
    return Config(path, read_json(path))


def open_checkpoint(folder: Path, config: Config) -> Checkpoint:
    """Read where every tensor lies.

    Raises:
        InputUnreadable: A file is missing or damaged.
        ConversionError: Its weights are of another format.
    """
    tensors: dict[str, StoredTensor] = {}
    for name in _shards(folder):
        path = folder / name
        if not path.is_file():
            raise InputUnreadable(
                _("{path} is missing, which the checkpoint's index names.").format(path=path),
                hint=_("Fetch it again; the download may have been stopped."),
            )
        for tensor in read_shard(path).values():
            if tensor.name in tensors:
                raise damaged(path, _("{name} stands in another file too").format(name=shown(tensor.name)))
            tensors[tensor.name] = tensor
    return Checkpoint(folder, config, tensors)


def _shards(folder: Path) -> list[str]:
    index = folder / _INDEX
    if index.is_file():
        return _named_by(index)
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if _SINGLE in found:
        return [_SINGLE]
    if not found:
        raise ConversionError(
            _("{path} has no safetensors files.").format(path=folder),
            hint=_(
                "Checkpoints of other formats (.bin, .pt) are converted by transformers: save_pretrained() writes these."
            ),
        )
    return found


def _named_by(index: Path) -> list[str]:
    match read_json(index):
        case {"weight_map": dict(places)} if places and all(_is_file_name(name) for name in places.values()):
            return sorted(set(places.values()))
    raise damaged(index, _("its weight_map does not name safetensors files"))


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and not {"/", "\\", "\0"} & set(name)
