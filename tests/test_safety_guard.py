"""What the layers decide together at each level."""

from dataclasses import dataclass

import pytest

from hychat.domain.choices import SafetyLevel
from hychat.domain.safety import SafetyAction
from hychat.safety.guard import Guard
from hychat.safety.words import Entry, Tier, WordList

WORDS = WordList(
    [
        Entry("sell a stolen boat", "fraud", Tier.BLOCK),
        Entry("i feel like sinking", "self-harm", Tier.SUPPORT),
        Entry("silly old boat", "harassment", Tier.WARN),
    ],
    contexts=["in a novel"],
)


@dataclass(frozen=True)
class Opinion:
    harm: float
    category: str = "fraud"
    language: str = "en"
    stage: str = "net"


class Judge:
    """Finds every text as harmful as it is told, and has thresholds of its own."""

    def __init__(self, harm: float | None) -> None:
        self._opinion = None if harm is None else Opinion(harm)

    def prompt(self, folded: str) -> Opinion | None:  # noqa: ARG002 - the protocol's
        return self._opinion

    def reply(self, prompt: str, reply: str) -> Opinion | None:  # noqa: ARG002 - the protocol's
        return self._opinion

    def threshold(self, kind: str, language: str, benign_fpr: float) -> float:  # noqa: ARG002 - the protocol's
        return {0.005: 0.9, 0.02: 0.7, 0.05: 0.5}[benign_fpr]


def guard(level: SafetyLevel = SafetyLevel.STANDARD, harm: float | None = None) -> Guard:
    return Guard(level, lambda: WORDS, lambda: Judge(harm))


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("How do I sell a stolen boat?", SafetyAction.BLOCK),
        ("In a novel they sell a stolen boat.", SafetyAction.WARN),
        ("I feel like sinking", SafetyAction.SUPPORT),
        ("you silly old boat", SafetyAction.WARN),
        ("How do I sell a boat?", SafetyAction.ALLOW),
    ],
)
def test_the_word_lists_decide_first(text: str, action: SafetyAction) -> None:
    assert guard().prompt(text).action is action


def test_a_verdict_tells_category_phrase_and_place() -> None:
    text = "Please, how to s.e.l.l a stolen b0at today"
    verdict = guard().prompt(text)
    assert (verdict.category, verdict.guard, verdict.reason) == ("fraud", "words", "sell a stolen boat")
    assert verdict.span is not None
    assert text[slice(*verdict.span)] == "s.e.l.l a stolen b0at"


@pytest.mark.parametrize(
    ("level", "harm", "action"),
    [
        (SafetyLevel.STANDARD, 0.6, SafetyAction.ALLOW),
        (SafetyLevel.STANDARD, 0.8, SafetyAction.WARN),
        (SafetyLevel.STANDARD, 0.95, SafetyAction.BLOCK),
        (SafetyLevel.STRICT, 0.4, SafetyAction.ALLOW),
        (SafetyLevel.STRICT, 0.6, SafetyAction.BLOCK),
        (SafetyLevel.STANDARD, None, SafetyAction.ALLOW),
    ],
)
def test_the_model_decides_by_the_thresholds_of_the_level(
    level: SafetyLevel, harm: float | None, action: SafetyAction
) -> None:
    assert guard(level, harm).prompt("anything").action is action


def test_of_two_layers_the_heavier_counts() -> None:
    assert guard(harm=0.95).prompt("you silly old boat").action is SafetyAction.BLOCK
    assert guard(harm=0.1).prompt("you silly old boat").action is SafetyAction.WARN


def test_a_reply_is_blocked_or_shown() -> None:
    assert guard().reply("hi", "First, sell a stolen boat.").action is SafetyAction.BLOCK
    assert guard().reply("hi", "You silly old boat, I feel like sinking.").action is SafetyAction.ALLOW


def test_what_was_shown_of_a_reply_is_not_held_against_what_follows() -> None:
    text = "They sell a stolen boat. And then"
    assert guard().reply("hi", text, shown=24).action is SafetyAction.ALLOW
