"""An engine without a model: it says what it was told to say. For tests, demos and screenshots."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, Interrupted, UsageError
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.adapters import Adapter
from hychat.engine.experts import ExpertUse
from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment, seen
from hychat.engine.protocol import BenchResult, Done, EngineEvent, LoadedModel, Piece
from hychat.messages import _


@dataclass(frozen=True, slots=True)
class EchoBuilder:
    """Lays a chat out readably: `<user>` and `<assistant>` lines."""

    can_think: bool = False

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the next answer starts."""
        segments = [Segment("<system>", is_control=True), Segment(system, is_control=False)] if system else []
        for turn in turns:
            marker = "<user>" if turn.is_user else "<assistant>"
            segments += [
                Segment(marker, is_control=True),
                *map(seen, turn.pictures),
                Segment(turn.text, is_control=False),
            ]
        return (*segments, Segment("<assistant><think>" if think else "<assistant>", is_control=True))

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the answer starts inside a thought."""
        return think

    thought_start: Final = "<think>"
    thought_end: Final = "</think>"
    answer_start: Final = ""


Step = str | HychatError | StopReason | PrefillProgress | threading.Event
"""What happens next: text comes, an error, the end, progress, or a pause until the event is set or the answer cancelled."""
Script = Iterable[Sequence[Step]] | Callable[[Prompt], Sequence[Step]]
"""An entry for each request in turn, or a function that finds it."""


class EchoEngine:
    """Answers from a script; where the script ends it says the user's last words again. A token is a word.

    An entry that tells no progress begins with the whole prompt read.
    """

    def __init__(  # noqa: PLR0913 - each is one thing to pretend
        self,
        script: Script = (),
        *,
        load: Iterable[float | HychatError | threading.Event] = (1.0,),
        name: str = "echo",
        context_tokens: int = 4096,
        tokens_per_second: float | None = None,
        can_think: bool = False,
        can_see: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({"devices": "echo"}),
    ) -> None:
        """Without `tokens_per_second` it answers as fast as it can; `load` is how the loading goes, once."""
        self._script = script if callable(script) else _one_after_the_other(script)
        self._load = iter(load)
        self._pause_seconds = 1 / tokens_per_second if tokens_per_second else 0.0
        self._builder = EchoBuilder(can_think)
        defaults = GenerationSettings(temperature=0.7, seed=0)
        self._model = LoadedModel(name, self._builder, context_tokens, defaults, can_see=can_see, metadata=metadata)
        self.prompts: list[Prompt] = []
        """Every prompt it was asked, oldest first."""
        self.adapters: tuple[Adapter, ...] = ()
        self.settings: list[GenerationSettings] = []
        """The settings of each."""

    def open(self, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:
        """The model that is none."""
        for step in self._load:
            match step:
                case HychatError():
                    raise step
                case threading.Event():
                    _wait(step, cancel)
                    if cancel.is_set:
                        raise Interrupted(_("Stopped."))
                case fraction:
                    yield LoadProgress(fraction)
        return self._model

    def count(self, prompts: Sequence[Prompt], cancel: CancelToken) -> tuple[int, ...]:  # noqa: ARG002 - the protocol's
        """Words of each prompt."""
        return tuple(_tokens(prompt) for prompt in prompts)

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        """Say the next entry of the script."""
        self.prompts.append(prompt)
        self.settings.append(settings)
        total, said, stop = _tokens(prompt), 0, StopReason.COMPLETE
        due = time.monotonic()
        entry = self._script(prompt)
        if not any(isinstance(step, PrefillProgress) for step in entry):
            yield PrefillProgress(total, total)
        for step in entry:
            if isinstance(step, HychatError):
                raise step
            if isinstance(step, threading.Event):
                _wait(step, cancel)
            if cancel.is_set:
                stop = StopReason.CANCELLED
                break
            if isinstance(step, PrefillProgress):
                yield step
            elif isinstance(step, StopReason):
                stop = step
                break
            elif isinstance(step, str):
                if said == settings.max_tokens:
                    stop = StopReason.LENGTH
                    break
                due += self._pause_seconds  # by the clock: a sleep that took longer is made up for
                time.sleep(max(0.0, due - time.monotonic()))
                said += 1
                yield Piece(step)
        yield Done(stop, Usage(total, generated_tokens=said, decode_seconds=said * self._pause_seconds))

    def keep(self, path: str) -> bool:  # noqa: ARG002 - the protocol's
        """It has no KV cache."""
        return False

    def recall(self, path: str) -> bool:  # noqa: ARG002 - the protocol's
        """It has no KV cache."""
        return False

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        """It says the same with them."""
        self.adapters = tuple(adapters)

    def watch_experts(self) -> ExpertUse:
        """It has none."""
        raise UsageError(_("{name} is no mixture of experts.").format(name=self._model.name))

    def places(self) -> dict[str, dict[str, int]]:
        """It takes no memory worth telling."""
        return {}

    def bench(self, *, prompt_tokens: int, generated_tokens: int, repetitions: int) -> BenchResult:  # noqa: ARG002
        """It has no speed."""
        return BenchResult((0.0,) * repetitions, (0.0,) * repetitions)

    def close(self) -> None:
        """Nothing to end."""


def _one_after_the_other(entries: Iterable[Sequence[Step]]) -> Callable[[Prompt], Sequence[Step]]:
    left = iter(entries)
    return lambda prompt: _echo(prompt) if (entry := next(left, None)) is None else entry


def _wait(event: threading.Event, cancel: CancelToken) -> None:
    with cancel.waking(event.set):
        event.wait()


def _tokens(prompt: Prompt) -> int:
    return sum(len(segment.text.split()) or 1 for segment in prompt)


def _echo(prompt: Prompt) -> list[str]:
    """The words of the last text in the prompt, one piece each."""
    texts = [segment.text for segment in prompt if not segment.is_control]
    words = texts[-1].split() if texts else []
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
