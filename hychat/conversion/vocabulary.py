"""A checkpoint's tokens, merges and special tokens, as llama.cpp wants them.

Hunyuan has two token families, which llama.cpp tells apart by `tokenizer.ggml.pre`: `hunyuan-dense` (0.5B, 1.8B, 4B, Hy3) and
`hunyuan` (7B, A13B). They come as `tokenizer.json`, the second also as a tiktoken file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hychat.conversion.byte_pairs import letters, merges_of, read_ranks, special_tokens
from hychat.conversion.checkpoint import Config, read_json
from hychat.conversion.families import OTHER_CONVERTER
from hychat.conversion.safetensors import damaged
from hychat.domain.errors import ConversionError, InputUnreadable
from hychat.messages import _

TOKENIZER: Final = "tokenizer.json"
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's types of tokens."""

_THREE_DIGITS: Final = r"\p{N}{1,3}"
_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LOOKS_SPECIAL: Final = re.compile(r"<\|.*\|>|<｜.*｜>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What text is cut into."""

    pre: str
    """llama.cpp's name for how text is cut before pairs are merged."""
    tokens: list[str]
    """By id; bytes are written in GPT-2's letters."""
    types: list[int]
    merges: list[str]

    def control_id(self, text: str) -> int | None:
        """The id of a control token."""
        ids = (number for number, token in enumerate(self.tokens) if token == text)
        return next((number for number in ids if self.types[number] == CONTROL), None)

    def is_control(self, token_id: int) -> bool:
        """Whether it is one that stands for no text."""
        return 0 <= token_id < len(self.types) and self.types[token_id] == CONTROL

    def add_to(self, writer: Any) -> None:
        """Write the keys that llama.cpp reads them from."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        writer.add_token_merges(self.merges)


def read_vocabulary(folder: Path, config: Config) -> Vocabulary:
    """The tokens of a checkpoint.

    Raises:
        InputUnreadable: It has none, or the file is damaged.
        ConversionError: They are of no Hunyuan model.
    """
    count = config.integer("vocab_size")
    if (folder / TOKENIZER).is_file():
        return _of_tokenizer(folder / TOKENIZER, count)
    files = sorted(folder.glob("*.tiktoken"))
    if not files:
        raise InputUnreadable(
            _("{path} has no tokenizer: neither {file} nor a .tiktoken file.").format(path=folder, file=TOKENIZER),
            hint=_("Fetch the whole repository; convert needs its small files too."),
        )
    return _of_tiktoken(files[0], count)


def _of_tiktoken(path: Path, count: int) -> Vocabulary:
    ranks = read_ranks(path)
    letter = letters()

    def written(token: bytes) -> str:
        return "".join(letter[byte] for byte in token)

    special = special_tokens(max(0, count - len(ranks)))
    tokens = [*map(written, ranks), *special]
    _check_fits(len(tokens), count, path)
    merges = [f"{written(left)} {written(right)}" for left, right in merges_of(ranks)]
    return Vocabulary("hunyuan", tokens, [NORMAL] * len(ranks) + [CONTROL] * len(special), merges)


def _check_fits(tokens: int, count: int, path: Path) -> None:
    if tokens > count:
        raise InputUnreadable(
            _("{path} has {tokens} tokens, and config.json says {count}.").format(
                path=path, tokens=tokens, count=count
            ),
            hint=_("The files may be of two different models."),
        )


def _of_tokenizer(path: Path, count: int) -> Vocabulary:
    match read_json(path):
        case {"model": {"type": "BPE", "vocab": dict(vocabulary), "merges": list(merges)}, **rest}:
            pre = _pre_of(rest.get("pre_tokenizer"), path)
        case {"model": {"type": str(kind)}} if kind != "BPE":
            raise _unknown(path)
        case _:
            raise damaged(path, _("it has no tokens"))
    by_id = _numbered(vocabulary.items(), path)
    types = dict.fromkeys(by_id, NORMAL)
    for token_id, text, is_special in _added(rest.get("added_tokens"), path):
        is_control = is_special or _LOOKS_SPECIAL.fullmatch(text)
        by_id[token_id] = text if is_control else text.replace("▁", " ")  # as llama.cpp looks for it in text
        types[token_id] = CONTROL if is_control else USER_DEFINED
    _check_fits(max(by_id, default=0) + 1, count, path)
    return Vocabulary(
        pre,
        [by_id.get(number, f"[PAD{number}]") for number in range(count)],
        [types.get(number, UNUSED) for number in range(count)],
        [_merge(merge, path) for merge in merges],
    )


def _numbered(items: Any, path: Path) -> dict[int, str]:
    by_id = {number: text for text, number in items if type(number) is int and number >= 0 and _is_text(text)}
    if len(by_id) != len(items):
        raise damaged(path, _("its tokens are not numbered"))
    return by_id


def _is_text(text: str) -> bool:
    """JSON can hold halves of characters, which no file of UTF-8 can."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _added(tokens: Any, path: Path) -> Iterator[tuple[int, str, bool]]:
    for token in tokens if isinstance(tokens, list) else ():
        match token:
            case {"id": int(number), "content": str(text)} if number >= 0 and _is_text(text):
                yield number, text, token.get("special") is True
            case _:
                raise damaged(path, _("its tokens are not numbered"))


def _merge(merge: Any, path: Path) -> str:
    """Older files write `a b`, newer ones a pair."""
    match merge:
        case str(text) if text.count(" ") == 1 and _is_text(text):
            return text
        case [str(left), str(right)] if _is_text(left + right) and " " not in left + right:
            return f"{left} {right}"
    raise damaged(path, _("its merges are no pairs"))


def _pre_of(pre_tokenizer: Any, path: Path) -> str:
    """Family A cuts off up to three digits with an expression of their own; family B keeps English contractions apart."""
    expressions = list(_expressions(pre_tokenizer))
    if _THREE_DIGITS in expressions:
        return "hunyuan-dense"
    if any(expression.startswith(_CONTRACTIONS) and _THREE_DIGITS not in expression for expression in expressions):
        return "hunyuan"
    raise _unknown(path)


def _expressions(pre_tokenizer: Any) -> Iterator[str]:
    match pre_tokenizer:
        case {"type": "Sequence", "pretokenizers": list(steps)}:
            for step in steps:
                if isinstance(step, dict) and step.get("type") == "Split":
                    yield from _expressions(step)
        case {"type": "Split", "pattern": {"Regex": str(expression)}}:
            yield expression


def _unknown(path: Path) -> ConversionError:
    return ConversionError(
        _("{path} cuts text as no Hunyuan model does.").format(path=path),
        hint=OTHER_CONVERTER,
    )
