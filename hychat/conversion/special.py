"""Which tokens begin and end a text, and the chat template.

Checkpoints say it in several places that do not agree: `config.json` of a 7B gives 3, a plain dollar sign, as the end of a
document. A token that stands for text would end answers in their middle, so only control tokens count.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hychat.conversion.checkpoint import Config, read_json_if_there
from hychat.conversion.safetensors import damaged, unreadable
from hychat.conversion.vocabulary import Vocabulary
from hychat.domain.errors import ConversionError
from hychat.messages import _

_GENERATION: Final = "generation_config.json"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_TEMPLATE: Final = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids; None where the checkpoint names none."""

    bos: int | None
    eos: int
    """What an answer ends with."""
    eot: int | None
    """Another token that ends one."""
    pad: int | None
    adds_bos: bool | None
    template: str | None

    def add_to(self, writer: Any) -> None:
        """Write the keys that llama.cpp reads them from."""
        writer.add_eos_token_id(self.eos)
        if self.bos is not None:
            writer.add_bos_token_id(self.bos)
        if self.eot is not None:
            writer.add_eot_token_id(self.eot)
        if self.pad is not None:
            writer.add_pad_token_id(self.pad)
        if self.adds_bos is not None:
            writer.add_add_bos_token(self.adds_bos)
        if self.template:
            writer.add_chat_template(self.template)


def read_special(folder: Path, config: Config, vocabulary: Vocabulary) -> SpecialTokens:
    """The special tokens of a checkpoint.

    Raises:
        InputUnreadable: A file is damaged.
        ConversionError: No control token ends a text.
    """
    generation = read_json_if_there(folder / _GENERATION)
    tokenizer = read_json_if_there(folder / _TOKENIZER_CONFIG)
    said = _Said(vocabulary, generation, tokenizer, config.values)
    ends = said.ids("eos")
    if not ends:
        raise ConversionError(
            _("{path} names no control token that ends an answer.").format(path=folder),
            hint=_("Write its id as eos_token_id into {file}.").format(file=_GENERATION),
        )
    adds_bos = tokenizer.get("add_bos_token")
    return SpecialTokens(
        bos=next(iter(said.ids("bos")), None),
        eos=ends[0],
        eot=next(iter(ends[1:]), None),
        pad=next(iter(said.ids("pad")), None),
        adds_bos=adds_bos if isinstance(adds_bos, bool) else None,
        template=_template(folder, tokenizer),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What the files say."""

    vocabulary: Vocabulary
    generation: dict[str, Any]
    tokenizer: dict[str, Any]
    config: dict[str, Any]

    def ids(self, kind: str) -> list[int]:
        """Control tokens, each once: where answers stop, the tokenizer's text, the config's ids."""
        return [*dict.fromkeys(filter(self.vocabulary.is_control, self._ids(kind)))]

    def _ids(self, kind: str) -> Iterator[int]:
        if kind == "eos":
            yield from _numbers(self.generation.get("eos_token_id"))
        match self.tokenizer.get(f"{kind}_token"):
            case str(text) | {"content": str(text)}:
                yield from _numbers(self.vocabulary.control_id(text))
        yield from _numbers(self.config.get(f"{kind}_token_id"))
        if kind == "eos":
            yield from _numbers(self.config.get("eod_token_id"))
        else:
            yield from _numbers(self.generation.get(f"{kind}_token_id"))


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [number for number in values if type(number) is int]


def _template(folder: Path, tokenizer: dict[str, Any]) -> str | None:
    """In a file of its own, else in the tokenizer's config: one, or several by name."""
    path = folder / _TEMPLATE
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise damaged(path, _("it is no UTF-8 text")) from error
    match tokenizer.get("chat_template"):
        case str(text):
            return text
        case list(named):
            by_name = {item.get("name"): item.get("template") for item in named if isinstance(item, dict)}
            chosen = by_name.get("default")
            return chosen if isinstance(chosen, str) else None
        case _:
            return None
