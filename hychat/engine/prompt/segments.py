"""What a model reads: control text written by us and by the template, apart from text written by anyone else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of prompt text of one trust."""

    text: str
    is_control: bool
    """Control text may hold special tokens (`parse_special=True`); in any other text they stay plain characters."""


Prompt = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message as the builders see it: plain strings, no thoughts, no tags."""

    is_user: bool
    text: str


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
