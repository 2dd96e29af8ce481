"""A scheduler in the test's own process, driven to the end of what it was asked, and what it said."""

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hychat.engine import wire
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.model import Model
from hychat.engine.llama.scheduler import Scheduler
from hychat.engine.llama.vision import Vision
from hychat.engine.prompt.segments import Prompt, control, plain

GREEDY: Final = wire.Sampling(0.0, 1, 1.0, 0.0, 1.0, 1, 24, None)
"""The likeliest token each time, a few of them."""
WARM: Final = wire.Sampling(0.8, 40, 0.95, 0.0, 1.05, 1, 24, None)
WILD: Final = wire.Sampling(1.8, 0, 1.0, 0.0, 1.0, 1, 24, None)
"""Any token may come."""


_KEPT: Final[list[object]] = []
"""llama.cpp keeps a bare pointer to its log callback, and calls it to the very end."""


def load_quietly(path: str, overrides: Mapping[str, int] | None = None) -> Model:
    """Load a model; what llama.cpp says is dropped."""
    silence = lib.llama_log_callback(lambda *_line: None)
    _KEPT.append(silence)
    lib.llama_log_set(silence, None)
    return Model.load(path, overrides=overrides)


def chatml(*turns: str, system: str = "") -> Prompt:
    """A chat as the starter reads it: user and assistant in turn, the user first."""
    prompt = [control("<|im_start|>system\n"), plain(system), control("<|im_end|>\n")] if system else []
    for index, text in enumerate(turns):
        speaker = "assistant" if index % 2 else "user"
        prompt += [control(f"<|im_start|>{speaker}\n"), plain(text), control("<|im_end|>\n")]
    return (*prompt, control("<|im_start|>assistant\n"))


def as_sent(prompt: Prompt) -> list[list[object]]:
    """A prompt as the wire carries it."""
    return [
        [b2a_base64(segment.picture, newline=False).decode(), None]
        if segment.picture
        else [segment.text, segment.is_control]
        for segment in prompt
    ]


class Desk:
    """Takes questions, works them off, and knows the answers by their number.

    One thread: two crawl where the machine has something else to do.
    """

    def __init__(
        self,
        model: Model,
        *,
        context_tokens: int = 2048,
        slots: int = 4,
        threads: int = 1,
        projector: Path | None = None,
    ) -> None:
        self.replies: list[wire.Reply] = []
        self.scheduler = Scheduler(
            model,
            self.replies.append,
            context_tokens=context_tokens,
            slots=slots,
            threads=threads,
            adapt_threads=False,
            vision=Vision(model, str(projector), threads=threads) if projector else None,
        )
        self._last = 0

    def ask(self, prompt: Prompt, sampling: wire.Sampling = WARM) -> int:
        """Hand a question in; its number."""
        self._last += 1
        self.scheduler.submit(wire.Generate(self._last, as_sent(prompt), sampling))
        return self._last

    def work(self, steps: int | None = None) -> None:
        """Make so many steps, or all there are to make."""
        made = 0
        while not self.scheduler.is_idle and made != steps:
            self.scheduler.allow()
            self.scheduler.step()
            made += 1

    def answer(self, prompt: Prompt, sampling: wire.Sampling = WARM) -> str:
        """Ask, and work until there is nothing left to do."""
        number = self.ask(prompt, sampling)
        self.work()
        return self.text(number)

    def pieces(self, number: int) -> list[str]:
        return [reply.text for reply in self._replies_to(number) if isinstance(reply, wire.Piece)]

    def text(self, number: int) -> str:
        return "".join(self.pieces(number))

    def done(self, number: int) -> wire.Done:
        """How an answer ended; it must have."""
        (end,) = [reply for reply in self._replies_to(number) if isinstance(reply, wire.Done)]
        return end

    def failed(self, number: int) -> wire.Failed:
        (end,) = [reply for reply in self._replies_to(number) if isinstance(reply, wire.Failed)]
        return end

    def tokens(self, number: int) -> tuple[int, int, int]:
        """Of the prompt, those of them found in the cache, and those generated."""
        prompt, reused, generated = (int(figure) for figure in self.done(number).usage[:3])
        return prompt, reused, generated

    def progress(self, number: int) -> list[tuple[int, int]]:
        return [(reply.done, reply.total) for reply in self._replies_to(number) if isinstance(reply, wire.Prefill)]

    def logits(self) -> list[float]:
        """Of the next token, after the last step."""
        row = lib.llama_get_logits_ith(self.scheduler._cache.context.handle, -1)
        return list(row[: self.scheduler._model.vocab_size])

    @property
    def context_tokens(self) -> int:
        """Cells that the context has by now."""
        return self.scheduler._cache.context.tokens

    def close(self) -> None:
        self.scheduler.close()

    def _replies_to(self, number: int) -> Sequence[wire.Reply]:
        return [reply for reply in self.replies if reply.request == number]
