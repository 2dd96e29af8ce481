"""Markdown in the full-screen chat: cut into blocks while it grows, and laid out in rows."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.style import Style

from hychat.tui.markdown.block import Block, Kind, code_of
from hychat.tui.markdown.blocks import Blocks
from hychat.tui.markdown.characters import CLOSING, OPENING, graphemes
from hychat.tui.markdown.layout import rows
from hychat.tui.markdown.look import Look, Row

LOOK = Look(
    text=Style(color="white"),
    muted=Style(dim=True),
    heading=Style(bold=True, color="blue"),
    strong=Style(bold=True),
    emphasis=Style(italic=True),
    strike=Style(strike=True),
    code=Style(color="cyan"),
    code_block=Style(bgcolor="black"),
    language=Style(dim=True),
    link=Style(underline=True),
    quote_bar=Style(color="green"),
    bullet=Style(color="yellow"),
    rule=Style(dim=True),
    table_header=Style(bold=True),
    tokens={"Keyword": Style(color="magenta"), "Name.Function": Style(color="red")},
)

FRAGMENTS = (
    "one", "two words", "你好，世界。这是一个很长的句子，需要换行，不能断开。", "a line that is wrapped in 40 columns", "===",
    "# head", "## h2 **b** ##", "---", "***", "", "", "", "- a", "- b", "  - nested", "   more", "-", "* s", "+ p", "- [x] done",
    "1. x", "2. y", "10. z", "1)", "    - q", "```python", "```", "~~~", "    code", "- ```js", "  var a", "def f(x):", "> quote",
    "> - q", ">", "lazy", "| a | b |", "|---|--:|", "| 1 | 你<br>x | z", "text *em", "ph* and `co", "de`", "<div>", "|-", "| |",
    "[l](http://x.y/z)", "![i](u.png)", "\\", "\tx", "&#13;&#27;&#x202e;", "a  ", "|", "#", "[", "**", "$$", "$x_1$",
    r"\[ a_1", r"\]",     "👩‍👩‍👧👍🏽🇨🇳🇫🇷", "e\u0301\u200d", "\u200d", "\ufe0f", "x" * 70, "字" * 70, "\r", "- " * 20, "> " * 20,
)  # fmt: skip
LONG_FRAGMENTS = (
    "word " * 500, "字" * 2_500, "你好，世界。" * 500, "x" * 9_000, "# " + "y " * 5_000, "👩‍👩‍👧🇨🇳" * 600,
    "\n".join(["code"] * 60), "| c |\n" * 60, "- " + "z" * 9_000, "`" * 9_000, " " * 9_000, "$$" * 4_500,
)  # fmt: skip
documents = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=9), max_size=16).map("\n".join)
long_documents = st.lists(st.sampled_from((*FRAGMENTS, *LONG_FRAGMENTS)), max_size=8).map("\n".join)
words = st.text(st.sampled_from("abcdefgZ字世界，。！é👍🇨🇳“”（）"), min_size=1, max_size=12)


def fed(pieces: Sequence[str]) -> Blocks:
    blocks = Blocks()
    for piece in pieces:
        blocks.feed(piece)
    return blocks


def laid_out(text: str, width: int = 40) -> list[Row]:
    """All rows as a reader sees them."""
    result: list[Row] = []
    for block in Blocks(text).blocks:
        result += [Row([])] if block.opens and result else []
        result += rows(block, width, LOOK)
    return result


def shown(text: str, width: int = 40) -> str:
    return "\n".join(row.text.rstrip() for row in laid_out(text, width))


def style_of(text: str, part: str, width: int = 40) -> Style:
    """The style of the segment that reads like that."""
    return next(s.style or Style() for row in laid_out(text, width) for s in row.segments if s.text.strip() == part)


def cut(text: str, places: Sequence[int]) -> list[str]:
    cuts = sorted({min(place, len(text)) for place in places})
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


# Growing


@given(documents, st.lists(st.integers(0, 300), max_size=20))
def test_pieces_give_the_same_blocks_as_the_whole(text: str, places: list[int]) -> None:
    assert fed(cut(text, places)).blocks == Blocks(text).blocks


@settings(max_examples=60, deadline=None)
@given(long_documents, st.lists(st.integers(0, 60_000), max_size=30))
def test_pieces_of_long_lines_give_the_same_blocks_as_the_whole(text: str, places: list[int]) -> None:
    assert fed(cut(text, places)).blocks == Blocks(text).blocks


@given(documents, st.lists(st.integers(0, 300), max_size=8))
def test_a_stable_block_is_never_changed(text: str, places: list[int]) -> None:
    blocks = Blocks()
    kept: list[Block] = []
    for piece in cut(text, places):
        blocks.feed(piece)
        assert list(blocks.blocks)[: len(kept)] == kept
        kept = list(blocks.blocks)[: blocks.stable]


def test_what_was_read_becomes_stable_while_a_line_goes_on() -> None:
    blocks = fed(["word "] * 20_000)

    assert blocks.stable > 45
    assert len(blocks.blocks) == blocks.stable + 1
    assert all(len(block.source) <= 2_000 for block in blocks.blocks)


def test_long_code_comes_in_pieces_that_know_their_line() -> None:
    code = "\n".join(f"line {number}" for number in range(1, 121))
    blocks = Blocks(f"```py\n{code}\n```\n").blocks

    assert [(block.line, block.continues, block.language) for block in blocks] == [
        (1, False, "py"),
        (51, True, "py"),
        (101, True, "py"),
    ]
    assert {code_of(blocks, index) for index in range(3)} == {code}


def test_a_line_of_code_longer_than_a_piece_is_whole_when_copied() -> None:
    code = "x" * 20_000 + "\n\tend"
    blocks = fed(cut(f"text\n```\n{code}\n```\nmore", range(0, 20_000, 777))).blocks

    assert code_of(blocks, 1) == code
    assert code_of(blocks, len(blocks) - 2) == code


def test_copied_code_keeps_its_tabs_and_loses_the_indent_of_its_item() -> None:
    blocks = Blocks("- make:\n\n  ```make\n  all:\n  \techo\n  ```\n").blocks

    assert code_of(blocks, 1) == "all:\n\techo"


def test_a_table_of_ten_thousand_rows_has_the_same_columns_in_all_pieces() -> None:
    blocks = Blocks("| n | name |\n|--:|---|\n" + "".join(f"| {n} | row |\n" for n in range(10_000))).blocks

    assert len(blocks) == 200
    assert rows(blocks[0], 40, LOOK)[2].text.rstrip() == "    0  row"
    assert rows(blocks[199], 40, LOOK)[-1].text.rstrip() == " 9999  row"
    assert blocks[0].table is not None
    assert [block.table for block in blocks[1:]] == [blocks[0].table] * 199


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    blocks = Blocks("他说：“你好，世界。”" * 400).blocks

    assert len(blocks) == 3
    assert all(block.source.endswith("。”") for block in blocks)
    assert "".join(block.source for block in blocks) == "他说：“你好，世界。”" * 400


# Reading


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("# head\ntext", "heading paragraph"),
        ("head\n===\ntext", "heading paragraph"),
        ("two\nlines\n---", "heading"),
        ("text\n\n---", "paragraph rule"),
        ("#no head", "paragraph"),
        ("```\nopen", "code"),
        ("~~~\n```\n~~~\ntext", "code paragraph"),
        ("    code\n\n    more\n\ntext", "code paragraph"),
        ("above\n| a | b |\n|---|---|\n| 1 | 2 |\n\nbelow", "paragraph table paragraph"),
        ("| a | b |\n|---|", "paragraph"),
        ("a\r\n===\r\n- b\r\n", "heading paragraph"),
        ("$$\n- a\n= b\n$$\ntext", "math paragraph"),
        ("<div>\n<b>x</b>\n</div>", "paragraph"),
        ("It was\n1984. A year\n- item", "paragraph paragraph"),
        ("", ""),
    ],
)
def test_a_text_consists_of(text: str, kinds: str) -> None:
    assert " ".join(block.kind for block in Blocks(text).blocks) == kinds


def test_a_fence_in_an_item_ends_where_it_is_closed_even_if_its_code_is_not_indented() -> None:
    blocks = Blocks("1. run:\n   ```sh\npip install x\n```\n2. done").blocks

    assert [(block.kind, block.source) for block in blocks] == [
        (Kind.PARAGRAPH, "run:"),
        (Kind.CODE, "pip install x"),
        (Kind.PARAGRAPH, "done"),
    ]


# Layout


def test_headings_are_bold_and_stand_at_the_left() -> None:
    assert shown("## 标题 title ##\ntext") == "标题 title\n\ntext"
    assert style_of("# Head", "Head").bold


def test_lists_hang() -> None:
    text = "- one two three four\n- 你好世界你好世界你好世界\n  1. x\n\n     y\n  2. z\n- [ ] to do\n- [x] done\n-"

    assert shown(text, 16) == (
        "• one two three\n  four\n• 你好世界你好世\n  界你好世界\n  1. x\n\n     y\n  2. z\n☐ to do\n☑ done\n•"
    )


def test_items_stand_apart_where_the_model_left_a_line_empty() -> None:
    assert shown("1. a\n\n2. b\n3. c\ntext\n\nend") == "1. a\n\n2. b\n3. c\n   text\n\nend"


def test_a_quote_has_a_bar_along_all_its_rows() -> None:
    text = "> one\n> two three\n>\n> - 三\n> > four\n\nend"

    assert shown(text, 10) == "▎ one\n▎ two\n▎ three\n▎\n▎ • 三\n▎ ▎ four\n\nend"


def test_code_stands_on_a_band_over_the_full_width_with_its_language() -> None:
    band = laid_out("```python\ndef f():\n    return 1\n```", 24)

    assert [row.text for row in band] == [" def f():        python ", "     return 1           "]
    assert [row.copies for row in band] == [True, False]
    assert all(segment.style and segment.style.bgcolor for row in band for segment in row.segments)
    assert style_of("```python\ndef f(): pass\n```", "def").color == LOOK.tokens["Keyword"].color
    assert style_of("```python\ndef f(): pass\n```", "f").color == LOOK.tokens["Name.Function"].color


def test_long_code_is_wrapped_and_the_language_has_a_row_of_its_own_then() -> None:
    assert shown("```sh\n" + "x" * 12 + " 你好\n```", 12) == "         sh\n xxxxxxxxxx\n xx 你好"


def test_an_empty_fence_shows_its_language() -> None:
    assert [row.text for row in laid_out("```js", 10)] == ["       js "]


def test_a_table_is_aligned() -> None:
    text = "| 名称 | n | *mid* |\n|:--|--:|:-:|\n| 快速排序 | 1 | a |\n| `b` | 22 | abc \\| d | more |"

    assert shown(text) == (
        "名称       n       mid\n"
        "────────────────────────────\n"
        "快速排序   1        a\n"
        "b         22  abc | d | more"
    )  # fmt: skip
    assert style_of(text, "名称").bold


def test_cells_are_wrapped_where_the_width_is_too_small() -> None:
    assert shown("| a | 说明 |\n|---|---|\n| x | 这是一个很长的说明，要换行 |\n| y | one<br>two |", 16) == (
        "a  说明\n────────────────\nx  这是一个很长\n   的说明，要换\n   行\ny  one\n   two"
    )


def test_a_table_with_too_many_columns_shows_one_cell_a_line() -> None:
    header = "| city name | inhabitants | country |\n|---|---|---|\n"

    assert shown(header + "| Shenzhen city | seventeen million | China, 中国 |", 20) == (
        "city name: Shenzhen\ncity\ninhabitants:\nseventeen million\ncountry: China, 中国"
    )


def test_a_link_is_followed_by_its_address_where_they_differ() -> None:
    assert (
        shown("[here](http://a.b/c) <http://a.b> ![cat](cat.png)", 80) == "here (http://a.b/c) http://a.b cat (cat.png)"
    )
    assert style_of("[here](http://a.b/c)", "here").underline
    assert style_of("[here](http://a.b/c)", "(http://a.b/c)").dim


def test_emphasis_is_kept_over_rows() -> None:
    text = "a **strong text that goes on** and ~~gone~~ *em* `co*de*`"
    bold = [s.text for row in laid_out(text, 14) for s in row.segments if s.style and s.style.bold]

    assert bold == ["strong text", "that goes on"]
    assert style_of(text, "gone", 80).strike
    assert style_of(text, "em", 80).italic
    assert style_of(text, "co*de*", 80).color == LOOK.code.color


@pytest.mark.parametrize(
    "math", [r"$a_1 * b_1 * c$", r"$$x_1_2$$", r"\(a_1 * b_1\)", r"\[ \frac{1}{2} * x_1 * y \]", r"$\$$"]
)
def test_math_stays_as_it_is_written(math: str) -> None:
    assert shown(f"so {math} holds, *not* less", 80) == f"so {math} holds, not less"
    assert shown(math, 80) == math


def test_prices_are_no_math() -> None:
    assert shown("from $5 to *about* $10") == "from $5 to about $10"


def test_line_breaks_stay_where_the_model_wrote_them() -> None:
    assert shown("one  \ntwo\\\nthree\n    four") == "one\ntwo\nthree\nfour"


def test_controls_are_never_shown() -> None:
    assert shown("a\x1b[31m\x9b\u202e &#27;[0m&#x202e;b\tc") == "a[31m \ufffd[0mb    c"


# Wrapping


def test_chinese_is_broken_between_characters_and_never_before_closing_punctuation() -> None:
    assert (
        shown("他说：“今天天气很好，我们去公园（散步）吧！”", 10)
        == "他说：“今\n天天气很\n好，我们去\n公园（散\n步）吧！”"
    )


def test_chinese_and_english_are_broken_between_each_other() -> None:
    assert shown("使用Python语言编写hello(世界)程序.", 12) == "使用Python语\n言编写hello\n(世界)程序."


def test_long_words_are_folded() -> None:
    assert shown("see " + "x" * 25 + " end", 12) == "see\n" + "x" * 12 + "\n" + "x" * 12 + "\nx end"


@given(st.lists(words, min_size=1, max_size=20).map(" ".join), st.integers(10, 30))
def test_no_word_of_a_plain_text_is_lost(text: str, width: int) -> None:
    assert "".join(shown(text, width).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["字", "世界，", "“好。”", "（ab）", "ab ", "word.", "C++", "…", "；"]), max_size=30))
def test_no_row_begins_with_closing_or_ends_with_opening_punctuation(chunks: list[str]) -> None:
    result = [row.text for row in laid_out("文" + "".join(f"{chunk}文" for chunk in chunks), 20)]

    assert not [row for row in result if row[0] in CLOSING or row[-1] in OPENING]


CHARACTERS = (
    "a",
    "字",
    "👩\u200d👩\u200d👧",
    "👍\U0001f3fd",
    "🇨🇳",
    "🇫🇷",
    "e\u0301",
    "❤\ufe0f",
    "か\u3099",
    "1\ufe0f\u20e3",
    "。",
)


@given(st.lists(st.sampled_from(CHARACTERS), max_size=40).map("".join), st.integers(10, 14))
def test_characters_are_never_split(text: str, width: int) -> None:
    pieces = [row.text[start:end] for row in laid_out(text, width) for start, end, _ in graphemes(row.text)]

    assert set(pieces) <= set(CHARACTERS)
    assert "".join(pieces) == text


@example("e\u0301\u200d字" * 9, 10)
@given(documents, st.integers(10, 50))
def test_no_row_is_wider_than_the_width(text: str, width: int) -> None:
    for row in laid_out(text, width):
        assert sum(segment.cell_length for segment in row.segments) <= width
        assert "\n" not in row.text
