"""What a chat is held under: its system text, the styles that come with hychat."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel, Style
from hychat.domain.errors import EngineCrashed
from hychat.domain.safety import SafetyAction
from hychat.engine.prompt.style import WORDING
from hychat.safety.guard import Guard, Layers, open_layers
from hychat.safety.guard_model import Ruling
from hychat.safety.words import WordList


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("style", Style)
def test_no_style_of_hychats_own_is_held_against_a_chat(
    style: Style, language: Literal["en", "zh"], tmp_path: Path
) -> None:
    guard = Guard(SafetyLevel.STRICT, open_layers(tmp_path / "words.yaml"))
    assert guard.system(WORDING[style][language]).action is SafetyAction.ALLOW


class Ruler:
    """A guard model that rules one text after the other, or cannot."""

    def __init__(self, *rulings: Ruling | None) -> None:
        self._rulings: Iterator[Ruling | None] = iter(rulings)

    def prompt(self, text: str, cancel: CancelToken | None = None) -> Ruling:  # noqa: ARG002 - the protocol's
        ruling = next(self._rulings)
        if ruling is None:
            raise EngineCrashed("The engine died.")
        return ruling

    def reply(self, prompt: str, text: str, cancel: CancelToken | None = None) -> Ruling:
        return self.prompt(prompt + text, cancel)


def strict(*rulings: Ruling | None) -> Guard:
    return Guard(SafetyLevel.STRICT, Layers(lambda: WordList([]), lambda: None), Ruler(*rulings))


def test_a_system_text_is_judged_again_where_the_guard_model_could_not_say_anything() -> None:
    guard = strict(None, Ruling("safe", ()))
    assert guard.system("a sailor").action is SafetyAction.BLOCK
    assert guard.system("a sailor").action is SafetyAction.ALLOW


def test_a_system_text_that_changed_is_judged_again_and_the_same_one_is_not() -> None:
    guard = strict(Ruling("safe", ()), Ruling("unsafe", ("violence",)))
    assert [guard.system(text).action for text in ("a sailor", "a sailor", "a pirate", "a pirate")] == [
        *[SafetyAction.ALLOW] * 2,
        *[SafetyAction.BLOCK] * 2,
    ]
