"""The door to every engine: what a model is asked, and what comes back."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from hychat.domain.cancel import CancelToken
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.adapters import Adapter
from hychat.engine.experts import ExpertUse
from hychat.engine.prompt.segments import Prompt, PromptBuilder

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Piece:
    """The next text of an answer, whole characters only."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer."""

    stop: StopReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Tokens per second of each repetition."""

    prefill: tuple[float, ...]
    decode: tuple[float, ...]


EngineEvent = LoadProgress | PrefillProgress | Piece | Done


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to be asked."""

    name: str
    builder: PromptBuilder
    context_tokens: int
    """The most tokens that a prompt and its answer may have together."""
    defaults: GenerationSettings
    can_see: bool = False
    """Whether a prompt may hold pictures."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the engine reports of itself: description, parameters, devices, offloaded layers, threads."""


class Engine(Protocol):
    """Runs one model. Thread-safe; several streams may be open at once."""

    def open(self, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:
        """Load the model and return it; progress comes on the way, none when it already is loaded.

        Raises:
            ModelUnusable: The file cannot be loaded; the error says why.
            EngineError: The engine itself failed.
            Interrupted: `cancel` was set meanwhile.
        """
        ...

    def count(self, prompts: Sequence[Prompt], cancel: CancelToken) -> tuple[int, ...]:
        """Tokens of each prompt. Raises as `open`."""
        ...

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        """Answer a prompt: progress and pieces, then exactly one `Done`.

        Raises:
            PromptTooLong: The prompt does not fit the context.
            SchemaError: The settings' JSON schema cannot be used.
            EngineError: The engine failed; pieces already yielded stand.
        """
        ...

    def keep(self, path: str) -> bool:
        """Write the KV cache that the last answer left to a file; False where that is not possible."""
        ...

    def recall(self, path: str) -> bool:
        """Read a KV cache that `keep` wrote; False where it does not fit this model. The model must be open."""
        ...

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The LoRA adapters that it answers with."""
        ...

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        """Answer with these from now on; asked between answers.

        Raises:
            ModelUnusable: One is no adapter, or another model's; those before stand.
            ModelNotFound: There is no such file.
        """
        ...

    def watch_experts(self) -> ExpertUse:
        """Count which experts are chosen, from the first call on; what was counted so far. It takes time, so none is without it.

        Raises:
            UsageError: The model is no mixture of experts.
            ModelTooLarge: There is no memory for it.
            EngineError: The engine failed.
        """
        ...

    def places(self) -> Mapping[str, Mapping[str, int]]:
        """Bytes that were taken, by memory (`CPU`, `CUDA0`) and use; nothing before the model is open."""
        ...

    def bench(self, *, prompt_tokens: int, generated_tokens: int, repetitions: int) -> BenchResult:
        """Measure the model's speed. Raises as `open`."""
        ...

    def close(self) -> None:
        """End the engine; a second call does nothing."""
        ...


def result_of(steps: Generator[object, None, _Result]) -> _Result:
    """What a generator returns, once all that it yields was passed over."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result
