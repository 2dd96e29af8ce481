"""What a model reads: control text written by us and by the template, text written by anyone else, and pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of prompt text of one trust, or a picture."""

    text: str
    is_control: bool
    """Control text may hold special tokens (`parse_special=True`); in any other text they stay plain characters."""
    picture: bytes = b""
    """A PNG or JPEG file, in the place of text."""


Prompt = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message as the builders see it: plain strings, no thoughts, no tags."""

    is_user: bool
    text: str
    pictures: tuple[bytes, ...] = ()
    """PNG or JPEG files; they stand before the text. None comes to a builder of a model that cannot see."""


class PromptBuilder(Protocol):
    """Lays a chat out the way one model family was trained on."""

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the model's next answer starts; the last turn is the user's."""
        ...

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the text that the model writes next stands inside a thought that the prompt opened."""
        ...

    @property
    def can_think(self) -> bool:
        """Whether thinking can be switched on for this model."""
        ...

    @property
    def thought_start(self) -> str:
        """Control text that the model opens its thought with, where the prompt does not."""
        ...

    @property
    def thought_end(self) -> str:
        """Control text that closes a thought and opens the answer."""
        ...

    @property
    def answer_start(self) -> str:
        """Control text that the model opens its answer with, where the prompt leaves its thought out."""
        ...


def control(text: str) -> Segment:
    """Text of ours or of the template."""
    return Segment(text, is_control=True)


def plain(text: str) -> Segment:
    """Text that a user, a file or a model wrote."""
    return Segment(text, is_control=False)


def seen(picture: bytes) -> Segment:
    """A picture."""
    return Segment("", is_control=False, picture=picture)


def begun(builder: PromptBuilder, thought: str, answer: str) -> Prompt:
    """What stands behind `render` so that the model goes on with what it has written; `think` is whether it has thought."""
    is_open = builder.starts_in_thought(think=bool(thought))
    segments = [control("" if is_open or not thought else builder.thought_start), plain(thought)]
    if answer:
        segments += [control(builder.thought_end if is_open or thought else builder.answer_start), plain(answer)]
    return tuple(segment for segment in segments if segment.text)


def joined(segments: Iterable[Segment]) -> Prompt:
    """The segments with empty ones left out and neighbours of one trust made one, as a tokenizer should see them."""
    found: list[Segment] = []
    for segment in segments:
        last = found[-1] if found else None
        if segment.text and last and not last.picture and last.is_control == segment.is_control:
            found[-1] = Segment(last.text + segment.text, segment.is_control)
        elif segment.text or segment.picture:
            found.append(segment)
    return tuple(found)


def alternating(turns: Iterable[ChatTurn]) -> list[ChatTurn]:
    """The turns with neighbours of one speaker made one, a blank line between.

    A turn that failed leaves a question without its answer, and no layout has a place for two questions in a row.
    """
    runs = ((is_user, [*run]) for is_user, run in groupby(turns, key=lambda turn: turn.is_user))
    return [
        ChatTurn(is_user, "\n\n".join(turn.text for turn in run), tuple(each for turn in run for each in turn.pictures))
        for is_user, run in runs
    ]
