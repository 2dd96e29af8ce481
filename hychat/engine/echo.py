"""An engine without a model: it says what it was told to say. For tests, demos and screenshots."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment
from hychat.engine.protocol import BenchResult, Done, EngineEvent, LoadedModel, Piece


@dataclass(frozen=True, slots=True)
class EchoBuilder:
    """Lays a chat out readably: `<user>` and `<assistant>` lines."""

    can_think: bool = False

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the next answer starts."""
        segments = [Segment("<system>", is_control=True), Segment(system, is_control=False)] if system else []
        for turn in turns:
            marker = "<user>" if turn.is_user else "<assistant>"
            segments += [Segment(marker, is_control=True), Segment(turn.text, is_control=False)]
        return (*segments, Segment("<assistant><think>" if think else "<assistant>", is_control=True))

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the answer starts inside a thought."""
        return think


class EchoEngine:
    """Answers from a script, one entry a request; where the script ends it says the user's last words again.

    An entry is the pieces of an answer; an error among them is raised there. A token is a word.
    """

    def __init__(
        self,
        script: Iterable[Sequence[str | HychatError]] = (),
        *,
        context_tokens: int = 4096,
        tokens_per_second: float | None = None,
        can_think: bool = False,
    ) -> None:
        """Without `tokens_per_second` it answers as fast as it can."""
        self._script = iter(script)
        self._context_tokens = context_tokens
        self._pause_seconds = 1 / tokens_per_second if tokens_per_second else 0.0
        self._builder = EchoBuilder(can_think)
        self.prompts: list[Prompt] = []
        """Every prompt it was asked, oldest first."""
        self.settings: list[GenerationSettings] = []
        """The settings of each."""

    def open(self, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:  # noqa: ARG002 - the protocol's
        """The model that is none."""
        yield LoadProgress(1.0)
        defaults = GenerationSettings(temperature=0.7, seed=0)
        return LoadedModel("echo", self._builder, self._context_tokens, defaults, {"devices": "echo"})

    def count(self, prompts: Sequence[Prompt], cancel: CancelToken) -> tuple[int, ...]:  # noqa: ARG002 - the protocol's
        """Words of each prompt."""
        return tuple(_tokens(prompt) for prompt in prompts)

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        """Say the next entry of the script."""
        self.prompts.append(prompt)
        self.settings.append(settings)
        total = _tokens(prompt)
        yield PrefillProgress(total, total)
        said, stop = 0, StopReason.COMPLETE
        entry = next(self._script, None)
        for piece in _echo(prompt) if entry is None else entry:
            if isinstance(piece, HychatError):
                raise piece
            if cancel.is_set:
                stop = StopReason.CANCELLED
                break
            if said == settings.max_tokens:
                stop = StopReason.LENGTH
                break
            time.sleep(self._pause_seconds)
            said += 1
            yield Piece(piece)
        yield Done(stop, Usage(prompt_tokens=total, generated_tokens=said))

    def keep(self, path: str) -> bool:  # noqa: ARG002 - the protocol's
        """It has no KV cache."""
        return False

    def recall(self, path: str) -> bool:  # noqa: ARG002 - the protocol's
        """It has no KV cache."""
        return False

    def bench(self, *, prompt_tokens: int, generated_tokens: int, repetitions: int) -> BenchResult:  # noqa: ARG002
        """It has no speed."""
        return BenchResult((0.0,) * repetitions, (0.0,) * repetitions)

    def close(self) -> None:
        """Nothing to end."""


def _tokens(prompt: Prompt) -> int:
    return sum(len(segment.text.split()) or 1 for segment in prompt)


def _echo(prompt: Prompt) -> list[str]:
    """The words of the last text in the prompt, one piece each."""
    texts = [segment.text for segment in prompt if not segment.is_control]
    words = texts[-1].split() if texts else []
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
