"""The semantic layer: how harmful a prompt or a reply is, by two small models that were trained by `hychat.safety.training`.

    classifier = Classifier.load()
    score = classifier.prompt(fold(text).text)
    if score and score.harm > classifier.threshold("prompt", score.language, 0.005): ...

All texts are folded (`hychat.safety.fold`). numpy is imported when the first stage does not settle a text.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from hychat.safety.model.stages import Reader, Stages

Language = Literal["en", "zh"]
_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"
Kind = Literal["prompt", "response"]
Stage = Literal["net", "encoder"]


@dataclass(frozen=True, slots=True)
class Score:
    """What the models think of a text."""

    harm: float
    """From 0 to 1; its meaning is given by the thresholds, it is no probability."""
    category: str
    """The likeliest kind of harm if it is harmful: violence, weapons, ... , other."""
    language: Language
    stage: Stage
    """Which model settled it."""


class Classifier:
    """Both stages. It may be shared by threads."""

    def __init__(self, stages: "Stages") -> None:
        """Made by `load`."""
        self._stages = stages

    @classmethod
    def load(cls) -> "Classifier":
        """Read the first stage; the encoder of a language is read when it is needed first.

        Raises:
            FileNotFoundError: when the package lacks its weights.
        """
        from hychat.safety.model.net import Net
        from hychat.safety.model.stages import Stages

        folder = Path(str(files("hychat.safety.model")))

        def open_reader(language: Language) -> "Reader":
            with _one_blas_thread():
                from hychat.safety.model.reader import read  # imports numpy

            return read(folder, language)

        return cls(Stages(Net.read(folder), open_reader))

    def prompt(self, folded: str) -> Score | None:
        """How harmful a prompt is; None where it is in no script the models know."""
        return self._stages.prompts([folded])[0]

    def prompts(self, folded: Sequence[str], benign_fpr: float) -> list[Score | None]:
        """Many at once, which is faster than one by one; for one who acts from the threshold of this share on."""
        return self._stages.prompts(folded, benign_fpr)

    def reply(self, prompt: str, reply: str) -> Score | None:
        """How harmful a reply is, given what it answers (which may be empty)."""
        return self._stages.reply(prompt, reply)

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:
        """The harm that this share (0.005, 0.01, 0.02, 0.05) of held-out harmless prompts or responses exceeded.

        Raises:
            KeyError: for any other share.
        """
        return self._stages.net.threshold(kind, language, benign_fpr)


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
