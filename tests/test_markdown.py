"""Rendered Markdown, streamed to a terminal."""

import os
import re
from collections.abc import Iterable, Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.cli.live import SHORTEST_INTERVAL_SECONDS, MarkdownWriter
from hychat.cli.markdown import GrowingMarkdown, Renderer
from tests.terminals import FakeTerminal

PYTHON_CODE = "def f(x):\n    '''doc\n\n    more'''\n    return x  # end\n"
FRAGMENTS = (
    "one", "two words", "你好，世界。这是一个很长的句子，需要换行，不能断开。", "a line that is wrapped in 40 columns",
    "# head", "## h2 **b**", "===", "---", "***", "", "", "", "- a", "- b", "  - nested", "   more", "-", "* s", "+ p",
    "1. x", "2. y", "10. z", "1)", "    - q", "```python", "```", "~~~", "    code", "- ```js", "  var a", PYTHON_CODE,
    "> quote", "> - q", "lazy", "| a | b |", "|---|--:|", "| 1 | 你 |", "text *em", "ph* and `co", "de`", "<div>",
    "[l](http://x.y/z)", "![i](u.png)", "\\", "\tx", "&#13;&#27;&#x202e;", "a  ", "|", "#", "[", "**",
)  # fmt: skip
documents = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("\n".join)


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    """A document, cut anywhere."""
    text = draw(documents)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=20)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


class Clock:
    """Stands still until it is set, or takes a while whenever it is asked."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.now = 0.0
        self.step_seconds = step_seconds

    def __call__(self) -> float:
        self.now += self.step_seconds
        return self.now


def writer_on(terminal: FakeTerminal) -> MarkdownWriter:
    """A writer that draws every piece: its clock moves on between one drawing's end and the next one's start."""
    asked = count()
    return MarkdownWriter(terminal.write, terminal.size, has_colour=True, clock=lambda: next(asked) // 2)


def rendered(text: str, columns: int = 40, *, has_colour: bool = True) -> list[str]:
    """The rows of a whole text, rendered at once."""
    whole = GrowingMarkdown()
    whole.feed(text)
    return Renderer(has_colour=has_colour).rows(whole.rest(), columns, is_first=True)


def without_styles(rows: Iterable[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", row).rstrip() for row in rows]


def seen(text: str, columns: int = 40) -> list[str]:
    return without_styles(rendered(text, columns))


def stream_to(terminal: FakeTerminal, pieces: Sequence[str]) -> None:
    writer = writer_on(terminal)
    for piece in pieces:
        writer.feed(piece)
    writer.finish()


@given(streams())
@settings(max_examples=300, deadline=None)
def test_parts_given_up_one_by_one_look_like_the_whole_text(pieces: list[str]) -> None:
    growing, renderer, rows = GrowingMarkdown(), Renderer(has_colour=True), list[str]()
    for piece in pieces:
        growing.feed(piece)
        rows += renderer.rows(growing.take_finished(), 40, is_first=not rows)
    rows += renderer.rows(growing.rest(), 40, is_first=not rows)
    assert rows == rendered("".join(pieces))


@given(streams(), st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_the_scrollback_ends_up_with_the_whole_rendering_once(pieces: list[str], lines: int) -> None:
    terminal = FakeTerminal(lines=lines)
    stream_to(terminal, pieces)
    assert terminal.rows() == [*seen("".join(pieces)), ""]
    assert terminal.is_sane


def test_a_text_is_seen_while_it_grows() -> None:
    terminal = FakeTerminal()
    writer = writer_on(terminal)
    writer.feed("# Title\n\nHello **wor")
    assert terminal.rows() == ["                 Title", "", "Hello **wor"]
    writer.feed("ld**")
    assert terminal.rows() == ["                 Title", "", "Hello world"]


def test_the_cursor_rests_behind_the_last_character() -> None:
    terminal = FakeTerminal()
    writer_on(terminal).feed("first\n\nsecond")
    assert terminal.cursor_column == len("second")


def test_a_text_that_is_cut_inside_a_code_block_is_shown_as_far_as_it_came() -> None:
    terminal = FakeTerminal()
    stream_to(terminal, ["Look:\n\n```python\nx = 1\n", "y = 2"])
    assert terminal.rows() == ["Look:", "", "x = 1", "y = 2", ""]


def test_nothing_is_written_for_an_empty_text() -> None:
    terminal = FakeTerminal()
    stream_to(terminal, [])
    assert terminal.written == ""


def test_code_that_outgrows_the_screen_is_given_to_the_scrollback_as_it_comes() -> None:
    terminal = FakeTerminal(lines=6)
    writer = writer_on(terminal)
    writer.feed("```python\n")
    for number in range(30):
        writer.feed(f"line_{number} = {number}\n")
        assert terminal.rows() == [f"line_{n} = {n}" for n in range(number + 1)]


def test_a_list_that_outgrows_the_screen_is_given_to_the_scrollback_as_it_comes() -> None:
    terminal = FakeTerminal(lines=6)
    writer = writer_on(terminal)
    for number in range(1, 30):
        writer.feed(f"1. item {number}\n")
        assert terminal.rows() == [f"{n:3} item {n}" for n in range(1, number + 1)]


def test_a_table_that_outgrows_the_screen_shows_its_end_until_it_is_whole() -> None:
    table = "| n |\n|---|\n" + "".join(f"| {n} |\n" for n in range(20))
    terminal = FakeTerminal(lines=6)
    writer = writer_on(terminal)
    writer.feed("Numbers:\n\n")
    for line in table.splitlines(keepends=True):
        writer.feed(line)
    assert terminal.visible_rows()[-5:] == seen(table)[-5:]
    writer.finish()
    assert terminal.rows() == ["Numbers:", "", *seen(table), ""]


def test_finished_text_survives_a_resize() -> None:
    terminal = FakeTerminal(columns=40, lines=10)
    writer = writer_on(terminal)
    writer.feed("first block\n\nsecond block is wrapped in the end when it goes on")
    terminal.resize(columns=30)
    writer.feed(" and on\n\nthird\n")
    terminal.resize(columns=60)
    writer.feed("block")
    writer.finish()
    second = seen("second block is wrapped in the end when it goes on and on", columns=30)
    assert terminal.rows() == ["first block", "", *second, "", "third", "block", ""]


def test_other_text_can_be_written_between() -> None:
    terminal = FakeTerminal()
    writer = writer_on(terminal)
    writer.feed("one\n\ntwo\nli")
    writer.pause()
    terminal.write("hychat: a warning\n")
    writer.feed("nes")
    writer.finish()
    assert terminal.rows() == ["one", "hychat: a warning", "", "two", "lines", ""]


def test_an_abort_leaves_what_is_seen_and_a_new_line() -> None:
    terminal = FakeTerminal()
    writer = writer_on(terminal)
    writer.feed("one\n\ntwo")
    writer.abort()
    assert terminal.rows() == ["one", "", "two", ""]
    assert terminal.is_sane


def test_drawing_waits_for_its_interval() -> None:
    terminal, clock = FakeTerminal(), Clock()
    writer = MarkdownWriter(terminal.write, terminal.size, has_colour=True, clock=clock)
    writer.feed("a")
    clock.now += SHORTEST_INTERVAL_SECONDS / 2
    writer.feed("b")
    assert terminal.rows() == ["a"]
    clock.now += SHORTEST_INTERVAL_SECONDS / 2
    writer.feed("c")
    assert terminal.rows() == ["abc"]


def test_slow_drawing_is_done_less_often() -> None:
    terminal, clock = FakeTerminal(), Clock(step_seconds=0.5)
    writer = MarkdownWriter(terminal.write, terminal.size, has_colour=True, clock=clock)
    writer.feed("a")
    clock.now += 3.0
    writer.feed("b")
    assert terminal.rows() == ["a"]
    clock.now += 2.0
    writer.feed("c")
    assert terminal.rows() == ["abc"]


def test_rows_that_did_not_change_are_not_painted_again() -> None:
    terminal = FakeTerminal(columns=10)
    writer = writer_on(terminal)
    writer.feed("aaaaaaaa bbbbbbbb ")
    before = len(terminal.written)
    writer.feed("c")
    assert "b" not in terminal.written[before:].replace("bbbbbbbb c", "")
    assert "a" not in terminal.written[before:]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a <b>tag</b> &lt; <https://x.y>", ["a <b>tag</b> < <https://x.y>"]),
        ("![alt](http://x.y/z.png)", ["!alt (http://x.y/z.png)"]),
        ("[name](http://x.y)", ["name (http://x.y)"]),
        ("Roses are red,\nviolets are blue.", ["Roses are red,", "violets are blue."]),
        ("[bold]not rich markup[/bold] :smile:", ["[bold]not rich markup[/bold] :smile:"]),
        ("- \n- b", [" •", " • b"]),
        ("3. a\n4. b", ["  3 a", "  4 b"]),
        ("a\n\n---\n\nb", ["a", "", "-" * 40, "", "b"]),
        ("```nolanguage\nx\n```", ["x"]),
        ("```\n```\n\nx", ["x"]),
        ("| a |\n|---|\n| 你好 |", [" a", " ────", " 你好"]),
    ],
)
def test_layout(text: str, rows: list[str]) -> None:
    assert seen(text) == rows


def test_code_is_shown_so_that_it_can_be_copied() -> None:
    assert seen(f"```python\n{PYTHON_CODE}```") == PYTHON_CODE.splitlines()


def test_a_reference_that_was_defined_above_is_known() -> None:
    terminal = FakeTerminal()
    stream_to(terminal, ["[r]: http://x.y\n\none\n\n", "two\n\n", "[r] and more\n"])
    assert terminal.rows() == ["one", "", "two", "", "r (http://x.y) and more", ""]


def test_deep_nesting_keeps_its_text() -> None:
    assert "deep" in seen("> - " * 12 + "deep")[-1]


def test_controls_written_as_entities_are_dropped() -> None:
    assert seen("a&#x202e;b&#13;c") == ["abc"]


@given(st.text(st.sampled_from("\x1b\x9b\x00\x07\r\n\t[]31m;\u202e`*a你\ud83d")))
@settings(max_examples=100, deadline=None)
def test_only_our_own_escape_sequences_are_written(text: str) -> None:
    terminal = FakeTerminal()
    stream_to(terminal, [text])
    own = re.compile(r"\x1b\[(?:[\d;]*m|\d+A|J|\?(?:7|2026)[hl])")
    rest = own.sub("", terminal.written)
    assert not re.search("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", rest)


def test_no_links_are_made_for_the_terminal_to_open() -> None:
    assert "\x1b]8" not in "".join(rendered("[name](http://x.y) http://x.y"))


def test_without_colour_only_bold_and_its_like_are_left() -> None:
    text = f"# Title\n\n`code` **bold** > quote\n\n- a\n\n```python\n{PYTHON_CODE}```\n"
    parameters = re.findall(r"\x1b\[([\d;]*)m", "".join(rendered(text, has_colour=False)))
    assert {number for group in parameters for number in group.split(";")} <= {"0", "1", "2", "3", "4"}


def test_size_is_asked_before_each_drawing() -> None:
    sizes = [os.terminal_size((columns, 24)) for columns in (40, 20)]
    terminal = FakeTerminal()
    writer = MarkdownWriter(terminal.write, lambda: sizes.pop(0), has_colour=True, clock=Clock())
    writer.feed("word " * 6)
    writer.finish()
    assert terminal.rows() == [*seen("word " * 6, columns=20), ""]
