"""What is blocked never comes out, not for a moment; what is not comes a sentence late at most."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.domain.choices import SafetyLevel
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.safety.guard import Guard, Layers
from hychat.safety.window import Window
from hychat.safety.words import Entry, Tier, WordList

LONGEST_WAIT = 130 + 1
"""Letters after which something comes, without an end of a sentence."""
MOST_WAITING = 1000
"""Characters of any kind that wait at most."""


def bad_words(text: str, _shown: int = 0) -> SafetyVerdict:
    found = re.search("very bad phrase|很坏的话", text)
    return (
        SafetyVerdict(SafetyAction.BLOCK, "test", 1.0, "words", found[0], found.span())
        if found
        else SafetyVerdict(SafetyAction.ALLOW)
    )


def written(*pieces: str) -> tuple[str, Window]:
    window = Window(bad_words)
    shown = "".join([*map(window.feed, pieces), window.finish()])
    return shown, window


def test_a_harmless_answer_comes_out_whole() -> None:
    assert written("One sentence. ", "Another", " one.")[0] == "One sentence. Another one."


def test_a_sentence_is_held_back_until_it_ends() -> None:
    window = Window(bad_words)
    assert window.feed("It is not yet") == ""
    assert window.feed(" over. And") == "It is not yet over. "
    assert window.finish() == "And"


def test_chinese_sentences_end_too() -> None:
    window = Window(bad_words)
    assert window.feed("今天天气很好。明天") == "今天天气很好。"
    assert window.feed("也是！") == "明天也是！"


def test_a_sentence_with_what_is_blocked_does_not_come_out_and_nothing_behind_it() -> None:
    shown, window = written("All is well. ", "This has a very bad ph", "rase in it. ", "And more.")
    assert shown == "All is well. "
    assert window.verdict is not None
    assert window.verdict.reason == "very bad phrase"


def test_what_is_never_finished_is_checked_all_the_same() -> None:
    shown, window = written("no end to this " * 30, "very bad phrase", " and so on" * 30)
    assert window.verdict is not None
    assert "very" not in shown


@given(
    st.lists(
        st.sampled_from(
            ["word ", "very ", "bad ", "phrase", "very bad phrase", ". ", "\n", "很坏", "的话", "！", "x" * 50]
        )
    )
)
def test_blocked_text_is_never_seen_however_it_is_cut(pieces: list[str]) -> None:
    window = Window(bad_words)
    shown = ""
    for piece in pieces:
        shown += window.feed(piece)
        assert bad_words(shown).action is SafetyAction.ALLOW
    shown += window.finish()
    assert bad_words(shown).action is SafetyAction.ALLOW
    whole = "".join(pieces)
    if bad_words(whole).action is SafetyAction.ALLOW:
        assert shown == whole
    assert whole.startswith(shown)


@given(st.lists(st.sampled_from(["ab", "a ", ". ", "。", "\n", "***" * 20, " " * 90]), max_size=300).map("".join))
def test_text_waits_for_its_sentence_at_most(text: str) -> None:
    window = Window(bad_words)
    shown, letters = 0, 0
    for at, letter in enumerate(text, start=1):
        letters += letter.isalnum()
        if out := window.feed(letter):
            shown += len(out)
            letters = sum(map(str.isalnum, text[shown:at]))
        assert letters <= LONGEST_WAIT
        assert at - shown <= MOST_WAITING
    assert shown + len(window.finish()) == len(text)


def test_ordinary_sentences_come_out_as_they_end() -> None:
    text = "First, open the door. Then look around! Is anybody there? Nobody answered.\nHe left. 他走进了房间。里面没有人。"
    assert releases(text) == [
        "First, open the door. ",
        "Then look around! ",
        "Is anybody there? ",
        "Nobody answered.\n",
        "He left. 他走进了房间。",
        "里面没有人。",
    ]


def releases(text: str) -> list[str]:
    """What comes out of it, written letter by letter."""
    window = Window(bad_words)
    return [*filter(None, [*map(window.feed, text), window.finish()])]


def test_a_list_of_short_lines_comes_out_in_bunches() -> None:
    text = "".join(f"- pear {number}\n" for number in range(100))
    bunches = releases(text)
    assert "".join(bunches) == text
    assert len(bunches) > 5
    assert max(map(len, bunches)) < 300


def bombs(text: str, shown: int) -> SafetyVerdict:
    return BOMBS.reply("", text, shown)


BOMBS = Guard(
    SafetyLevel.STANDARD,
    Layers(lambda: WordList([Entry("make a bomb at home", "weapons", Tier.BLOCK)]), lambda: None),
)
SPREAD = {
    "lines": ("Sure, like this:\n1. ", "make\na\nbomb\nat home\nat once, with what you have\n"),
    "letters on lines": ("Sure.\n", "\n".join("make a bomb at home") + "\nand so on. "),
    "letters as sentences": ("This is how it is done. ", ". ".join("makeabombathome") + ". "),
    "stars": ("This is how it is done. ", ("*" * 30).join("make a bomb at home")),
}
"""What is harmless, and a phrase that is spread behind it."""


@pytest.mark.parametrize("spread", SPREAD)
def test_a_phrase_that_is_spread_over_lines_and_signs_never_begins_to_come_out(spread: str) -> None:
    before, phrase = SPREAD[spread]
    window = Window(bombs)
    shown = "".join([*map(window.feed, before + phrase), window.finish()])
    assert window.verdict is not None
    assert before.startswith(shown)


def test_short_sentences_before_what_is_blocked_come_out() -> None:
    window = Window(bombs)
    assert window.feed("Sure. All is well. Now make a bomb at home. And ") == "Sure. All is well. "
    assert window.verdict is not None
    assert window.feed("so on, as long as you like. ") == window.finish() == ""
