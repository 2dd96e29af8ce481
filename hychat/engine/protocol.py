"""The door to every engine: what a model is asked, and what comes back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hychat.domain.cancel import CancelToken
from hychat.domain.event import PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.prompt.segments import Prompt, PromptBuilder


@dataclass(frozen=True, slots=True)
class Piece:
    """The next text of an answer, whole characters only."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer."""

    stop: StopReason
    usage: Usage


EngineEvent = PrefillProgress | Piece | Done


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to be asked."""

    name: str
    builder: PromptBuilder
    context_tokens: int
    """The most tokens that a prompt and its answer may have together."""
    defaults: GenerationSettings
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the engine reports of itself: description, parameters, devices, offloaded layers, threads."""


class Engine(Protocol):
    """Runs one model. Thread-safe; several streams may be open at once."""

    def open(self) -> LoadedModel:
        """Load the model; at once when it already is.

        Raises:
            ModelUnusable: The file cannot be loaded; the error says why.
            EngineError: The engine itself failed.
        """
        ...

    def count(self, prompts: Sequence[Prompt]) -> tuple[int, ...]:
        """Tokens of each prompt."""
        ...

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        """Answer a prompt: progress and pieces, then exactly one `Done`.

        Raises:
            PromptTooLong: The prompt does not fit the context.
            SchemaError: The settings' JSON schema cannot be used.
            EngineError: The engine failed; pieces already yielded stand.
        """
        ...

    def close(self) -> None:
        """End the engine; a second call does nothing."""
        ...
