"""What is blocked never comes out, not for a moment; what is not comes a sentence late at most."""

import re

from hypothesis import given
from hypothesis import strategies as st

from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.safety.window import Window

LONGEST_WAIT = 160 + 40
"""Characters after which something comes, without an end of a sentence."""


def bad_words(text: str, _shown: int = 0) -> SafetyVerdict:
    found = re.search("very bad phrase|很坏的话", text)
    return (
        SafetyVerdict(SafetyAction.BLOCK, "test", 1.0, "words", found[0])
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


@given(st.text(alphabet="ab .。\n", max_size=600))
def test_text_waits_for_its_sentence_at_most(text: str) -> None:
    window = Window(bad_words)
    shown, since = 0, 0
    for letter in text:
        since += 1
        if out := window.feed(letter):
            shown += len(out)
            since = 0
        assert since <= LONGEST_WAIT
    assert shown + len(window.finish()) == len(text)
