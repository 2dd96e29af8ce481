"""One reading of a text, whatever it is disguised as, and the way back to what was written."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.safety.fold import fold

DISGUISED = {
    "How to BUY a Boat": "how to buy a boat",
    "ｂｏａｔ": "boat",
    "b\u200bo\u200dat": "boat",
    "b\u0301o\u0336a\u0308t": "boat",
    "bo\x01a\x7ft\x1b": "boat",
    "𝓫𝓸𝓪𝓽 🅱🅾🅰🆃": "boat boat",
    "bоаt": "boat",
    "Κit": "kit",
    "b0at m@k3r": "boat maker",
    "b.o.a.t": "boat",
    "b-o-a-t n-o": "boat no",
    "b. o. a. t. and": "boat. and",
    "b\no\na\nt\n \nn\no\n": "boat\n \nno\n",
    "b o a t": "boat",
    "b u y  a  b o a t": "buy a boat",
    "b - u - y": "buy",
    "b*oat": "boat",
    "p*ison a w#ap%n": "poison a weapon",
    "f**k": "fuck",
    "boooooat": "boat",
    "don't": "dont",
    "製造": "制造",
    "制.造 制 造 制🔥造": "制造制造制造",
    "制，造，船": "制造船",
}
"""What is written, and what is read."""

UNTOUCHED = (
    "a version 1.2.3.4 of gpt4, mp3 and covid19",
    "2nd of 4k in 3d",
    "x86_64 my_var foo.bar",
    "see example.com/a/path for e.g. more",
    "привет мир",
    "안녕하세요 세계",
    "你好,世界。我们走吧。",
    "ありがとうございます",
    "i am a man",
    "x, y, z by j. r. r. smith",
    "printf %s%x",
    "*kind* and **bold** words",
)


@pytest.mark.parametrize(("written", "read"), DISGUISED.items())
def test_a_disguise_is_undone(written: str, read: str) -> None:
    assert fold(written).text == read


@pytest.mark.parametrize("text", UNTOUCHED)
def test_normal_words_stay_as_they_are(text: str) -> None:
    assert fold(text).text == text


def test_a_span_leads_back_to_what_was_written() -> None:
    written = "please: ｍ-a-k-е a b\u200b0at"
    folded = fold(written)
    assert folded.text == "please: make a boat"
    for word, original in (("make", "ｍ-a-k-е"), ("boat", "b\u200b0at")):
        at = folded.text.index(word)
        start, end = folded.span(at, at + len(word))
        assert written[start:end] == original


@given(st.text())
def test_every_character_read_comes_from_somewhere_in_order(text: str) -> None:
    folded = fold(text)
    spans = [folded.span(at, at + 1) for at in range(len(folded.text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[0] <= second[0] and first[1] <= second[1] for first, second in pairwise(spans))


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_nothing_is_made_up_of_plain_text(text: str) -> None:
    assert len(fold(text).text) <= len(text)


@given(
    st.text(alphabet="abc ABC.,12*-炸弹，🔥\u200b\x00\x01\x1b\x7fа\t\r\n")
    | st.text(alphabet=st.characters(codec="ascii"))
)
def test_only_lower_case_remains_and_nothing_unseen(text: str) -> None:
    read = fold(text).text
    assert read == read.lower()
    assert "\u200b" not in read
    assert all(sign in "\t\n\r" or unicodedata.category(sign) != "Cc" for sign in read)


@given(st.lists(st.sampled_from(["ab", "B", " ", ". ", "\x01", "\x7f\x00"])).map("".join))
def test_what_controls_stand_in_is_read_as_without_them_and_leads_back(text: str) -> None:
    folded = fold(text)
    assert folded.text == fold("".join(filter(str.isprintable, text))).text
    for at, letter in enumerate(folded.text):
        start, end = folded.span(at, at + 1)
        assert text[start:end].lower() == letter


@given(st.text(), st.text())
def test_an_empty_span_is_empty(before: str, after: str) -> None:
    folded = fold(before + after)
    start, end = folded.span(len(folded.text), len(folded.text))
    assert start == end


@pytest.mark.parametrize(
    "unit",
    [
        "k.",
        "k ",
        "k. ",
        "ｋ",
        "a\u0301",
        "炸.",
        "炸，",
        "b0",
        "k",
        " ",
        "*",
        "a*",
        "аb ",
        "🔥炸",
        "\u200b",
        "製",
        "'",
        "a'b",
        "1a!",
        "k*",
        "k*l ",
    ],
)
def test_half_a_million_characters_are_read_soon_enough(unit: str) -> None:
    text = unit * (500_000 // len(unit))
    assert len(fold(text).text) <= len(text)  # what is quadratic would take minutes, and be ended
