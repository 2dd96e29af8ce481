"""Thought and answer, told apart in whatever a model writes."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.event import Channel, TokenEvent
from hychat.engine.prompt.thought import ThoughtParser

LONGEST_TAG = len("</answer:opensource>")
TAGS = [
    f"<{slash}{name}{suffix}>" for slash in ("", "/") for name in ("think", "answer") for suffix in ("", ":opensource")
]
PIECES = [*TAGS, "answer>", "<", "</", "think", ">", "\n", " ", "  \n", "w", "字", "I think.", ":", "`", "ans", "wer>"]

any_text = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
"""Tags, pieces of tags, words and white space."""
whole_pieces = st.lists(st.sampled_from([*TAGS, "\n", " ", "w1", "字2", "x3", "z4 "]), max_size=24).map("".join)


def read(*pieces: str, starts_in_thought: bool = False) -> tuple[str, str]:
    """Thought and answer."""
    parser = ThoughtParser(starts_in_thought)
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.finish()
    return _joined(events, Channel.THOUGHT), _joined(events, Channel.ANSWER)


def _joined(events: list[TokenEvent], channel: Channel) -> str:
    return "".join(event.text for event in events if event.channel is channel)


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(edges)]


# As the models' own documentation shows it


def test_a_thought_and_an_answer() -> None:
    assert read("<think>\nLet me see.\n</think>\n<answer>\nFour.\n</answer>") == ("Let me see.", "Four.")


def test_a_thought_whose_closing_tag_follows_its_last_word() -> None:
    assert read("<think>\nLet me see.</think>\n<answer>\nFour.</answer>") == ("Let me see.", "Four.")


def test_a_fast_answer_after_an_empty_thought() -> None:
    assert read("<think>\n\n</think>\n<answer>\nFour.\n</answer>") == ("", "Four.")


def test_an_answer_after_the_empty_thought_of_the_prompt() -> None:
    assert read("<answer>\nFour.\n</answer>") == ("", "Four.")


def test_a_thought_that_the_prompt_opened() -> None:
    assert read("\nLet me see.\n</think>\n\nFour.", starts_in_thought=True) == ("Let me see.", "Four.")


def test_tags_with_a_suffix() -> None:
    text = "<think:opensource>Let me see.</think:opensource>Four."

    assert read(text) == ("Let me see.", "Four.")
    assert read(text.removeprefix("<think:opensource>"), starts_in_thought=True) == ("Let me see.", "Four.")


def test_a_text_without_tags_comes_out_as_it_is() -> None:
    assert read("\n  def f():\n    return a < b\n\n") == ("", "\n  def f():\n    return a < b\n\n")


# Drift


def test_a_lost_opening_tag_costs_what_stood_before_the_closing_one() -> None:
    assert read("Let me see.\n</think>\n<answer>\nFour.\n</answer>") == ("", "Let me see.\n\n\nFour.")


def test_a_lost_closing_tag_before_an_answer_tag() -> None:
    assert read("<think>\nLet me see.\n<answer>\nFour.\n</answer>") == ("Let me see.", "Four.")


def test_a_lost_answer_tag() -> None:
    assert read("<think>\nLet me see.\n</think>\nFour.\n</answer>") == ("Let me see.", "Four.")


def test_a_lost_closing_answer_tag() -> None:
    assert read("<think>\nLet me see.\n</think>\n<answer>\nFour.") == ("Let me see.", "Four.")


def test_a_stray_closing_answer_tag_at_the_end_of_a_bare_answer() -> None:
    assert read("Four.\n</answer>") == ("", "Four.")


def test_a_thought_closed_by_the_wrong_tag() -> None:
    assert read("<think>\nLet me see.\n</answer>\nFour.") == ("Let me see.", "Four.")


def test_a_thought_closed_by_the_wrong_tag_with_no_answer_after_it() -> None:
    assert read("<think>\nLet me see.\n</answer>") == ("Let me see.", "")


def test_an_answer_tag_that_lost_its_head() -> None:
    assert read("<think>\nLet me see.\n</think>\nanswer>\nFour.\n</answer>") == ("Let me see.", "Four.")


@pytest.mark.parametrize("tag", TAGS)
def test_doubled_tags(tag: str) -> None:
    text = "<think>\nLet me see.\n</think>\n<answer>\nFour.\n</answer>"
    doubled = text.replace(tag, f"{tag}\n{tag}")

    assert read(doubled) == ("Let me see.", "Four.")


def test_an_opening_tag_written_again_inside_a_thought_that_the_prompt_opened() -> None:
    assert read("<think>\nLet me see.\n</think>\nFour.", starts_in_thought=True) == ("Let me see.", "Four.")


def test_a_line_before_the_thought_stays_in_the_answer() -> None:
    assert read("Okay.\n<think>\nLet me see.\n</think>\n<answer>\nFour.\n</answer>") == (
        "Let me see.",
        "Okay.\n\n\nFour.",
    )


def test_white_space_before_the_thought_is_left_out() -> None:
    assert read(" \n\n<think>\nLet me see.\n</think>\nIt is four.") == ("Let me see.", "It is four.")


def test_the_end_of_the_text_inside_a_thought() -> None:
    assert read("<think>\nLet me") == ("Let me", "")


def test_the_end_of_the_text_inside_a_tag() -> None:
    assert read("<think>\nLet me see.</thi") == ("Let me see.</thi", "")


def test_a_second_thought() -> None:
    assert read("<think>\nOne.\n</think>\n<think>\nTwo.\n</think>\nFour.") == ("One.\n\nTwo.", "Four.")


# Tags that are spoken of


@pytest.mark.parametrize(
    "text",
    [
        "The tag <think> opens a thought and </think> closes it.",
        "Models write:\n<think>\nhm\n</think>\nand then they answer.",
        "Look:\n```xml\n<answer>\n42\n</answer>\n```\n",
        "One line.\nAnother.\n<think>\nhm\n</think>\n",
        "Write `<think>`\n<think>\nhm\n</think>\n",
        "a <thinker> and an answer> and </answers>",
    ],
)
def test_an_answer_may_speak_of_tags(text: str) -> None:
    assert read(text) == ("", text)


def test_an_answer_after_a_thought_may_speak_of_tags() -> None:
    answer = "The tag </think> closes a thought, <answer> and </answer> hold the answer."

    assert read(f"<think>\nhm\n</think>\n<answer>\n{answer}\n</answer>") == ("hm", answer)


def test_an_answer_may_begin_with_a_tag_that_it_speaks_of() -> None:
    assert read("<answer>\n<think> opens a thought.\n</answer>") == ("", "<think> opens a thought.")


def test_a_thought_may_speak_of_the_answer_tag() -> None:
    thought = "I must write <answer>Four</answer> now."

    assert read(f"<think>\n{thought}\n</think>\n<answer>\nFour.\n</answer>") == (thought, "Four.")


# Streaming


@settings(max_examples=1000)
@given(any_text, st.lists(st.integers(0, 400), max_size=30), st.booleans())
def test_where_a_text_is_cut_changes_nothing(text: str, places: list[int], starts_in_thought: bool) -> None:
    whole = read(text, starts_in_thought=starts_in_thought)

    assert read(*cut(text, places), starts_in_thought=starts_in_thought) == whole


@given(whole_pieces, st.booleans())
def test_nothing_but_tags_and_white_space_is_lost(text: str, starts_in_thought: bool) -> None:
    parser = ThoughtParser(starts_in_thought)
    events = parser.feed(text) + parser.finish()
    out = "".join(event.text for event in events)

    assert _without_tags(out) == _without_tags(text)


@given(st.text())
def test_a_text_without_angle_brackets_is_all_answer(text: str) -> None:
    plain = text.replace("<", "").replace(">", "")

    assert read(*plain) == ("", plain)


@given(any_text, st.booleans())
def test_no_more_than_a_tag_waits_for_what_follows(text: str, starts_in_thought: bool) -> None:
    parser = ThoughtParser(starts_in_thought)
    for char in text:
        parser.feed(char)
        assert len(parser._unread) < LONGEST_TAG


def test_words_are_given_out_as_they_come() -> None:
    parser = ThoughtParser(starts_in_thought=False)

    assert parser.feed("<think>\nLet") == [TokenEvent("Let", Channel.THOUGHT)]
    assert parser.feed(" me") == [TokenEvent(" me", Channel.THOUGHT)]
    assert parser.feed("\n</think") == []
    assert parser.feed(">\n<answer>\nFo") == [TokenEvent("Fo", Channel.ANSWER)]
    assert parser.feed("ur. <") == [TokenEvent("ur.", Channel.ANSWER)]
    assert parser.finish() == [TokenEvent(" <", Channel.ANSWER)]


def _without_tags(text: str) -> str:
    return re.sub("|".join(TAGS), "", "".join(text.split()))
