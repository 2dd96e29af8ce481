"""The wish for a style, and the language it is put in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.domain.choices import Style
from hychat.engine.prompt.style import WORDING, language_of, styled

every_style = pytest.mark.parametrize("style", list(Style))


def test_without_a_style_a_text_stays_as_it_is() -> None:
    assert styled("hello\n", None) == "hello\n"


@every_style
def test_the_wish_stands_after_the_text_and_a_blank_line(style: Style) -> None:
    assert styled("What is a tree?", style) == f"What is a tree?\n\n{WORDING[style]['en']}"


@every_style
def test_a_chinese_text_is_followed_by_a_chinese_wish(style: Style) -> None:
    assert styled("树是什么？", style) == f"树是什么？\n\n{WORDING[style]['zh']}"


def test_every_style_is_worded_differently() -> None:
    wordings = [words for by_language in WORDING.values() for words in by_language.values()]

    assert len(set(wordings)) == len(wordings)


@given(st.text(), st.sampled_from(Style))
def test_a_stored_style_gives_the_same_text_every_time(text: str, style: Style) -> None:
    assert styled(text, style) == styled(text, style)
    assert styled(text, style).startswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "你好",
        "好",
        "树是什么？",
        "用 Python 写一个 quicksort function",
        "Python 怎么安装 numpy",
        "LLM 和 RAG 的区别",
        "Docker 容器 vs 虚拟机",
        "what 是什么意思",
        "翻译: The quick brown fox jumps over the lazy dog",
        "把下面这段翻译成中文：The quick brown fox jumps over the lazy dog",
        "总结一下\nThe quick brown fox jumps over the lazy dog",
        "```py\ndef add(a, b):\n    return a + b\n```\n\n解释这段代码",
        "```notes.txt\n今天天气很好\n```",
    ],
)
def test_chinese_with_english_words_is_chinese(text: str) -> None:
    assert language_of(text) == "zh"


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "",
        "1 + 1 = ?",
        "¿?",
        "What does 你好 mean?",
        "What does “今天天气很好” mean",
        "Translate 今天天气很好 into English",
        "Summarise this:\n今天天气很好，我们去公园散步",
        "````notes.md\n```\n代码\n```\n今天天气很好\n````\n\nsummarise",
        "def add(a, b):  # 求和",
        "このコードを説明してください",
    ],
)
def test_all_else_is_taken_for_english(text: str) -> None:
    assert language_of(text) == "en"
