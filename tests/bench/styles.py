"""Whether the styles bite: thirty questions in three styles, and what the answers look like.

Counts per 100 words: contractions, exclamation marks, slang, words of address; and the words of a sentence. Run it with
`python -m tests.bench.styles`; the same seeds for every style, so that only the wording differs.
"""

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from hychat.catalogue.find import locate
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.event import TurnFailed, TurnFinished
from hychat.domain.generation import GenerationSettings
from hychat.domain.message import Conversation
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.session.chat import ChatSession

QUESTIONS: Final = (
    "How do I boil an egg?",
    "What should I do on a rainy day?",
    "Why is the sky blue?",
    "How can I sleep better?",
    "What is a good way to learn guitar?",
    "How do I ask my boss for a raise?",
    "What makes a good friend?",
    "How do I start running?",
    "Why do people like music?",
    "What is the best way to save money?",
    "How do I make new friends in a new city?",
    "What should I cook for dinner tonight?",
    "How do plants grow?",
    "What can I do when I feel stressed?",
    "How do I write a good email?",
    "Why should I read books?",
    "How do I clean a bike chain?",
    "What is a healthy breakfast?",
    "How do I prepare for an exam?",
    "What should I pack for a trip to the beach?",
    "Why do cats purr?",
    "How can I be more confident?",
    "What is the point of exercise?",
    "How do I train a puppy?",
    "What is a good hobby to start?",
    "How do I take better photos?",
    "Why is sleep important?",
    "How do I say no politely?",
    "What should I know about recycling?",
    "How do I stay focused at work?",
)
_SLANG: Final = frozenset(
    (
        *(
            "hey",
            "yeah",
            "yep",
            "nope",
            "cool",
            "awesome",
            "gonna",
            "wanna",
            "gotta",
            "kinda",
            "stuff",
            "guys",
            "buddy",
        ),
        *("dude", "totally", "super", "folks", "lol", "okay", "ok", "yo", "chill", "vibe", "grab", "pal", "bro"),
    )
)
_WORD: Final = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?")
_CONTRACTION: Final = re.compile(r"\b[A-Za-z]+['’](?:s|re|ll|ve|d|m|t)\b")
_POSSESSIVE: Final = re.compile(
    r"\b(?!(?:it|that|what|here|there|let|who|how|he|she)\b)[A-Za-z]+['’]s\b", re.IGNORECASE
)
_SENTENCE_END: Final = re.compile(r"[.!?]+(?:\s|$)|\n+")
_ADDRESS: Final = frozenset(("you", "your", "you're", "you'll", "yourself"))


@dataclass(frozen=True, slots=True)
class Looks:
    """How a set of answers reads."""

    words: int
    contractions: float
    exclamations: float
    slang: float
    address: float
    sentence_words: float


def looks_of(answers: Iterable[str]) -> Looks:
    """Count."""
    text = "\n".join(answers)
    words = _WORD.findall(text)
    sentences = [part for part in _SENTENCE_END.split(text) if _WORD.search(part)]
    per_hundred = 100 / max(1, len(words))
    lowered = [word.lower().replace("’", "'") for word in words]
    contractions = len(_CONTRACTION.findall(text)) - len(_POSSESSIVE.findall(text))
    return Looks(
        words=len(words),
        contractions=contractions * per_hundred,
        exclamations=text.count("!") * per_hundred,
        slang=sum(word in _SLANG for word in lowered) * per_hundred,
        address=sum(word in _ADDRESS for word in lowered) * per_hundred,
        sentence_words=len(words) / max(1, len(sentences)),
    )


def answer(engine: EngineProcess, question: str, style: Style | None, seed: int) -> str:
    """One answer in a style."""
    settings = GenerationSettings(seed=seed, max_tokens=120)
    session = ChatSession(engine, Conversation(), settings=settings, style=style)
    for event in session.turn(question, CancelToken()):
        match event:
            case TurnFinished(message):
                return message.text
            case TurnFailed(error):
                raise error
            case _:
                pass
    raise AssertionError(question)


def main() -> None:
    """Print the table, and with `-v` the answers."""
    model = locate("starter")
    engine = EngineProcess(EngineOptions(path=model.path, name="starter", defaults=model.spec.defaults))
    print(f"{'style':>9} {'words':>6} {'contr.':>7} {'excl.':>6} {'slang':>6} {'you':>6} {'words/sentence':>15}")
    with ThreadPoolExecutor(4) as pool:
        for style in (None, *Style):
            jobs = [pool.submit(answer, engine, question, style, seed) for seed, question in enumerate(QUESTIONS)]
            answers = [job.result() for job in jobs]
            looks = looks_of(answers)
            print(
                f"{style or 'none':>9} {looks.words:6} {looks.contractions:7.2f} {looks.exclamations:6.2f} "
                f"{looks.slang:6.2f} {looks.address:6.2f} {looks.sentence_words:15.1f}"
            )
            if "-v" in sys.argv:
                print("\n".join(f"    {text[:300]!r}" for text in answers[:6]))
    engine.close()


if __name__ == "__main__":
    main()
