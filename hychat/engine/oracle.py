"""A model that is asked for one short answer at a time: always the likeliest one, so that a text always gets the same."""

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Final, assert_never

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import AnswerIncomplete, Interrupted
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import TEMPERATURE_RANGE, GenerationSettings, StopReason
from hychat.engine.prompt.segments import ChatTurn
from hychat.engine.protocol import Done, Engine, Piece, result_of
from hychat.messages import _

_PROBE: Final = (ChatTurn(is_user=True, text="?"),)


class EngineOracle:
    """Asks an engine of its own, which it opens for the first question. Thread-safe, as the engine is."""

    def __init__(self, open_engine: Callable[[], Engine], *, most_tokens: int = 64, is_whole: bool = True) -> None:
        """`open_engine` makes the engine, not yet loaded; an answer has no more tokens than `most_tokens`.

        One that would have more is cut, or with `is_whole` an error.
        """
        self._is_whole = is_whole
        self._open_engine = open_engine
        self._settings = GenerationSettings(
            temperature=TEMPERATURE_RANGE[0],
            top_k=1,  # this is what makes it the likeliest
            top_p=1.0,
            min_p=0.0,
            repeat_penalty=1.0,
            seed=0,
            max_tokens=most_tokens,
            think=False,
        )
        self._opening = threading.Lock()
        self._engine: Engine | None = None

    def frame(self, cancel: CancelToken) -> str:
        """What the model's own template writes around a question. Loads the model; raises as `ask`."""
        model = result_of(self._engine_of_all().open(cancel))
        prompt = model.builder.render("", _PROBE, think=False)
        return "".join(segment.text for segment in prompt if segment.is_control)

    def ask(self, turns: Sequence[str], cancel: CancelToken, pictures: Sequence[bytes] = ()) -> str:
        """What the model says of a chat, laid out by its own template: the user's words first, then by turns.

        The pictures (PNG or JPEG) stand before the first words.

        Raises:
            PromptTooLong: The chat does not fit the context.
            AnswerIncomplete: The answer was cut before its end.
            Interrupted: `cancel` was set.
            HychatError: The model is not there, cannot be loaded, or its engine failed.
        """
        return result_of(self.asking(turns, cancel, pictures))

    def asking(
        self, turns: Sequence[str], cancel: CancelToken, pictures: Sequence[bytes] = ()
    ) -> Generator[LoadProgress | PrefillProgress | Piece, None, str]:
        """As `ask`, with what comes on the way."""
        engine = self._engine_of_all()
        model = yield from engine.open(cancel)
        chat = [
            ChatTurn(is_user=index % 2 == 0, text=text, pictures=() if index else tuple(pictures))
            for index, text in enumerate(turns)
        ]
        prompt = model.builder.render("", chat, think=False)
        said: list[str] = []
        for event in engine.stream(prompt, self._settings, cancel):
            match event:
                case Done():
                    self._check_end(event.stop)
                case LoadProgress() | PrefillProgress():
                    yield event
                case Piece():
                    said.append(event.text)
                    yield event
                case _:
                    assert_never(event)
        return "".join(said)

    def close(self) -> None:
        """End the engine; a second call does nothing."""
        if self._engine is not None:
            self._engine.close()

    def _check_end(self, stop: StopReason) -> None:
        if stop is StopReason.CANCELLED:
            raise Interrupted(_("Stopped."))
        if stop is not StopReason.COMPLETE and self._is_whole:
            raise AnswerIncomplete(_("The answer was cut before its end."))

    def _engine_of_all(self) -> Engine:
        """The one engine, not necessarily loaded."""
        with self._opening:
            if self._engine is None:
                self._engine = self._open_engine()
        return self._engine
