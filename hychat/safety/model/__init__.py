"""The semantic layer: how harmful a prompt or a reply is, by two small models that were trained by `hychat.safety.training`.

    classifier = Classifier.load()
    score = classifier.prompt(fold(text).text)
    if score and score.harm > classifier.threshold("prompt", score.language, 0.005): ...

All texts are folded (`hychat.safety.fold`). numpy is imported by `Classifier.load()`, not before.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Language = Literal["en", "zh"]
_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"
Kind = Literal["prompt", "response"]


@dataclass(frozen=True, slots=True)
class Score:
    """What the models think of a text."""

    harm: float
    """From 0 to 1; its meaning is given by the thresholds, it is no probability."""
    category: str
    """The likeliest kind of harm if it is harmful: violence, weapons, ... , other."""
    language: Language
    stage: Literal["net", "encoder"]
    """Which model settled it."""


class _Stages(Protocol):
    def prompts(self, texts: Sequence[str]) -> list[Score | None]: ...
    def reply(self, prompt: str, reply: str) -> Score | None: ...
    def threshold(self, kind: str, language: str, benign_fpr: float) -> float: ...


class Classifier:
    """Both stages; the encoder of a language is read when it is needed first. It may be shared by threads."""

    def __init__(self, stages: _Stages) -> None:
        """Made by `load`."""
        self._stages = stages

    @classmethod
    def load(cls) -> "Classifier":
        """Read the first stage's weights; most of the time is numpy's import.

        Raises:
            FileNotFoundError: when the package lacks its weights.
        """
        with _one_blas_thread():
            from hychat.safety.model.stages import load_stages  # imports numpy

        return cls(load_stages())

    def prompt(self, folded: str) -> Score | None:
        """How harmful a prompt is; None where it is in no script the models know."""
        return self._stages.prompts([folded])[0]

    def prompts(self, folded: Sequence[str]) -> list[Score | None]:
        """Many at once, which is faster than one by one."""
        return self._stages.prompts(folded)

    def reply(self, prompt: str, reply: str) -> Score | None:
        """How harmful a reply is, given what it answers (which may be empty)."""
        return self._stages.reply(prompt, reply)

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """The harm that this share (0.005, 0.01, 0.02, 0.05) of held-out harmless prompts or responses exceeded.

        Raises:
            KeyError: for any other share.
        """
        return self._stages.threshold(kind, language, benign_fpr)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """What imports numpy here gets one thread: more would wait, spinning, on the cores that the language model computes on."""
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BLAS_THREADS]
