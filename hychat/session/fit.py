"""Makes a prompt fit the context: whole oldest turns go first, the data of a prompt is cut only when the user says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from hychat.domain.choices import Truncate
from hychat.domain.message import FilePart, ImagePart, Message, Part, Role, TextPart

_ANSWER_SHARE: Final = 4
"""At most a quarter of the context is kept free for the answer while history is dropped."""
_ANSWER_TOKENS: Final = 512
_LEAST_ANSWER_TOKENS: Final = 64
_KEPT_SHARE: Final = 0.75
"""Dropping goes down to this share of the room, so that the next turns find their prefix in the KV cache."""
_MOST_CHARACTERS_PER_TOKEN: Final = 16
_CUT_STEP_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens that a prompt may have."""

    with_history: int
    alone: int
    """For a prompt that has no history left to drop."""


def room(context_tokens: int, max_tokens: int | None) -> Room:
    """What the answer leaves of the context."""
    wanted = min(max_tokens or _ANSWER_TOKENS, context_tokens // _ANSWER_SHARE)
    least = min(wanted, _LEAST_ANSWER_TOKENS)
    return Room(context_tokens - wanted, context_tokens - least)


def split_turns(messages: Sequence[Message]) -> tuple[tuple[Message, ...], ...]:
    """A branch as turns: a user's message and what answered it."""
    turns: list[tuple[Message, ...]] = []
    for message in messages:
        if message.role is Role.USER or not turns:
            turns.append((message,))
        else:
            turns[-1] = (*turns[-1], message)
    return tuple(turns)


def turns_to_drop(turns: int, tokens_without: Callable[[int], int], room: Room) -> int:
    """How many of the oldest turns to leave out of a prompt that does not fit; `tokens_without(n)` counts it without n.

    As many as bring it down to three quarters of the room; all, where even that is not enough.
    """
    low, high = 1, turns
    while low < high:
        middle = (low + high) // 2
        if tokens_without(middle) <= room.with_history * _KEPT_SHARE:
            high = middle
        else:
            low = middle + 1
    return low


def cut_to_fit(
    parts: tuple[Part, ...],
    truncate: Truncate,
    tokens_of: Callable[[tuple[Part, ...]], int],
    limit: int,
    *,
    can_see: bool = False,
) -> tuple[Part, ...]:
    """The parts with the longest of their data cut at one end, so that `tokens_of` them is at most `limit`.

    What was read out of a picture is data too, where the model cannot see.

    Where there is no data, or cutting it is not enough, the parts come back as they were cut; the caller counts again.
    """
    index = _longest(parts, can_see=can_see)
    if index is None:
        return parts
    text = _text(parts[index])
    low, high = 0, min(len(text), limit * _MOST_CHARACTERS_PER_TOKEN)
    while high - low > _CUT_STEP_CHARACTERS:
        middle = (low + high + 1) // 2
        if tokens_of(_with_text(parts, index, _kept(text, middle, truncate))) <= limit:
            low = middle
        else:
            high = middle
    return _with_text(parts, index, _kept(text, low, truncate))


def _kept(text: str, characters: int, truncate: Truncate) -> str:
    if truncate is Truncate.TAIL:
        return text[:characters]
    return text[len(text) - characters :]


def _longest(parts: Sequence[Part], *, can_see: bool) -> int | None:
    """The data to cut: the longest file or picture's text, else the longest text."""
    kinds = (FilePart,) if can_see else (FilePart, ImagePart)
    data = [index for index, part in enumerate(parts) if isinstance(part, kinds) and _text(part)]
    texts = [index for index, part in enumerate(parts) if isinstance(part, TextPart)]
    return max(data or texts, key=lambda index: len(_text(parts[index])), default=None)


def _text(part: Part) -> str:
    match part:
        case FilePart(attachment) | ImagePart(attachment):
            return attachment.text
        case TextPart(text):
            return text
        case _:
            return ""


def _with_text(parts: tuple[Part, ...], index: int, text: str) -> tuple[Part, ...]:
    part, cut = parts[index], cast("Part", TextPart(text))
    if isinstance(part, FilePart | ImagePart):
        cut = replace(part, attachment=replace(part.attachment, text=text))
    return (*parts[:index], cut, *parts[index + 1 :])
