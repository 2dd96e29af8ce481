"""Conversations as Markdown, HTML and JSON."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hychat.domain.attachment import OCR, Attachment, AttachmentKind
from hychat.domain.choices import Style
from hychat.domain.generation import GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import Conversation, FilePart, ImagePart, Message, Role, TextPart, ThoughtPart
from hychat.history.store import HistoryStore
from hychat.messages import choose_language
from hychat.paths import history_file
from hychat.session.export import to_html, to_json, to_markdown
from tests.programs import run_hychat

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NOTES = Attachment(AttachmentKind.TEXT, "notes.py", "text/x-python", text="print(1)\n", source="/home/a/notes.py")
CAT = Attachment(AttachmentKind.IMAGE, "cat.png", "image/png", data=b"\x89PNG")
RECEIPT = Receipt(
    "hunyuan-0.5b", GenerationSettings(temperature=0.7, seed=42), Usage(prompt_tokens=9, generated_tokens=5)
)
QUESTION = Message(
    Role.USER,
    (FilePart(NOTES), ImagePart(CAT), TextPart("你好, what is this?")),
    style=Style.CASUAL,
    id="q1",
    created=NOON,
)
ANSWER = Message(
    Role.ASSISTANT,
    (ThoughtPart("a script"), TextPart("A script.")),
    parent="q1",
    stop=StopReason.COMPLETE,
    receipt=RECEIPT,
    id="a1",
    created=NOON,
)
CHAT = Conversation("A file", "hunyuan-0.5b", "Be brief.", (QUESTION, ANSWER), id="c1", created=NOON)


def said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def chat_of(*texts: str) -> Conversation:
    """Users' and models' messages in turn, one branch."""
    conversation = Conversation()
    for turn, text in enumerate(texts):
        message = said((Role.USER, Role.ASSISTANT)[turn % 2], text)
        parent = conversation.leaf.id if conversation.leaf else None
        conversation = conversation.with_message(replace(message, parent=parent))
    return conversation


def tokens(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").parse(markdown)


def headings(markdown: str) -> list[str]:
    """The second-level headings of the document itself, not those inside quotes."""
    found = tokens(markdown)
    opens = (at for at, token in enumerate(found) if token.type == "heading_open" and token.tag == "h2")
    return [found[at + 1].content for at in opens if found[at].level == 0]


def fences(markdown: str) -> list[Token]:
    return [token for token in tokens(markdown) if token.type == "fence"]


def test_json_holds_the_conversation_under_stable_keys() -> None:
    document = json.loads(to_json(CHAT))
    assert document["format"] == "hychat.conversation"
    assert document["version"] == 1
    assert {key: document[key] for key in ("id", "title", "model", "system", "created")} == {
        "id": "c1",
        "title": "A file",
        "model": "hunyuan-0.5b",
        "system": "Be brief.",
        "created": "2026-03-04T12:00:00.000000+00:00",
    }


def test_json_messages_have_the_same_keys_whoever_speaks() -> None:
    question, answer = json.loads(to_json(CHAT))["messages"]
    assert [*question] == [*answer]
    assert question["settings"] is None
    assert question["stop"] is None


def test_json_tells_what_an_answer_was_made_with() -> None:
    answer = json.loads(to_json(CHAT))["messages"][1]
    assert (answer["text"], answer["thought"], answer["stop"]) == ("A script.", "a script", "complete")
    assert answer["parent"] == "q1"
    assert answer["model"] == "hunyuan-0.5b"
    assert answer["settings"]["seed"] == 42
    assert answer["usage"]["generated_tokens"] == 5


def test_json_holds_files_with_their_content() -> None:
    question = json.loads(to_json(CHAT))["messages"][0]
    assert [file["name"] for file in question["files"]] == ["notes.py", "cat.png"]
    assert question["files"][0]["text"] == "print(1)\n"
    assert question["files"][1]["data"] == "iVBORw=="
    assert question["style"] == "casual"


def test_json_keeps_chinese_readable() -> None:
    assert "你好" in to_json(CHAT)


def test_json_holds_every_branch() -> None:
    again = replace(ANSWER, id="a2", parts=(TextPart("Another answer."),))
    document = json.loads(to_json(CHAT.with_message(again)))
    assert [(message["id"], message["parent"]) for message in document["messages"]] == [
        ("q1", None),
        ("a1", "q1"),
        ("a2", "q1"),
    ]


def test_markdown_reads_as_a_document() -> None:
    assert to_markdown(CHAT) == (
        "# A file\n\n- Started: 2026-03-04 12:00 UTC\n- Model: `hunyuan-0.5b`\n- Id: `c1`\n\n"
        "## System\n\nBe brief.\n\n"
        "## You\n\nFile: `notes.py`\n\n```py\nprint(1)\n```\n\nImage: `cat.png`\n\n你好, what is this?\n\n"
        "## `hunyuan-0.5b`\n\n> **Thought**\n>\n> a script\n\nA script.\n"
    )


def test_markdown_follows_the_branch_of_the_newest_message() -> None:
    markdown = to_markdown(CHAT.with_message(replace(ANSWER, id="a2", parts=(TextPart("Another answer."),))))
    assert "Another answer." in markdown
    assert "A script." not in markdown


def test_an_empty_conversation_is_a_title_and_its_facts() -> None:
    markdown = to_markdown(Conversation(id="c1", created=NOON))
    assert markdown == "# Conversation\n\n- Started: 2026-03-04 12:00 UTC\n- Id: `c1`\n"


@pytest.mark.parametrize(
    ("stop", "sentence"),
    [
        (StopReason.LENGTH, "*This answer was cut at its length limit.*"),
        (StopReason.CANCELLED, "*This answer was stopped by the user.*"),
        (StopReason.BLOCKED, "*This answer was stopped by the safety filter.*"),
        (StopReason.LOOP, "*This answer was ended because it repeated itself.*"),
    ],
)
def test_markdown_says_why_an_answer_is_not_whole(stop: StopReason, sentence: str) -> None:
    assert to_markdown(Conversation(messages=(replace(ANSWER, stop=stop),))).endswith(f"A script.\n\n{sentence}\n")


def test_a_whole_fence_in_an_answer_stays_as_it_is() -> None:
    answer = "Run:\n\n```sh\nls\n```\n\nDone."
    assert answer in to_markdown(chat_of("hi", answer))


@pytest.mark.parametrize(
    "answer", ["```py\nprint(", "1. do\n   ```\n   x\n2. and", "> ~~~\n> x", "````\n```\n", "~~~\n```"]
)
def test_a_fence_that_an_answer_leaves_open_does_not_swallow_the_next_question(answer: str) -> None:
    markdown = to_markdown(chat_of("hi", answer, "and then?", "that is all"))
    assert headings(markdown) == ["You", "Assistant", "You", "Assistant"]


LINES = st.sampled_from(
    [
        "```",
        "````",
        "~~~",
        "```py",
        "  ```",
        "   ~~~~",
        "    ```",
        "- ```",
        "1. x",
        "  y",
        "- a",
        "> ```",
        "> q",
        "",
        "z",
    ]
)


@given(st.lists(st.lists(LINES, max_size=7).map("\n".join), min_size=1, max_size=4))
def test_no_message_swallows_another(texts: list[str]) -> None:
    assert len(headings(to_markdown(chat_of(*texts)))) == len(texts)


@given(st.lists(st.sampled_from(["```", "````x", "~~~", "`", "a b", "  ```", ""]), max_size=8).map("\n".join))
def test_a_files_text_comes_out_of_its_fence_unchanged(text: str) -> None:
    file = Attachment(AttachmentKind.TEXT, "a.md", "text/markdown", text=text)
    markdown = to_markdown(Conversation(messages=(Message(Role.USER, (FilePart(file), TextPart("sum up"))),)))
    (fence,) = fences(markdown)
    assert fence.content == (text if text.endswith("\n") else text + "\n")
    assert fence.info == "md"


@pytest.mark.parametrize("name", ["a`b.txt", "`", "``", "two\nlines.txt", " "])
def test_a_files_name_cannot_leave_its_line(name: str) -> None:
    file = Attachment(AttachmentKind.TEXT, name, "text/plain", text="x")
    markdown = to_markdown(Conversation(messages=(Message(Role.USER, (FilePart(file),)),)))
    (line,) = [token for token in tokens(markdown) if token.content.startswith("File:")]
    assert [child.type for child in line.children or ()] == ["text", "code_inline"]


def test_a_title_of_several_lines_is_one_heading() -> None:
    assert to_markdown(Conversation(title="one\n# two")).startswith("# one # two\n")


def answer_as_html(text: str) -> str:
    """The page of a chat in which this was answered."""
    return to_html(chat_of("hi", text))


class Outline(HTMLParser):
    """Tags as they open, the text between them, and whether each was closed in its turn."""

    VOID = frozenset({"meta", "img", "br", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def names(self) -> list[str]:
        return [name for name, _attributes in self.tags]


def test_html_reads_as_a_page() -> None:
    outline = Outline(to_html(CHAT))
    assert not outline.open
    words = ("A file", "Started: 2026-03-04 12:00 UTC", "Be brief.", "你好, what is this?", "a script", "A script.")
    assert [word for word in words if word not in outline.text] == []
    assert [name for name in outline.names() if name == "article"] == ["article", "article"]


def test_html_folds_thoughts_files_and_the_system_text() -> None:
    page = to_html(CHAT)
    assert re.findall(r"<details><summary>(.*?)</summary>", page) == ["System", "File: notes.py", "Thought"]


def test_html_renders_code_and_tables() -> None:
    page = answer_as_html("```py\nif 1 < 2: pass\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    assert '<pre><code class="language-py">if 1 &lt; 2: pass\n</code></pre>' in page
    assert "<td>2</td>" in page


def test_html_shows_a_question_as_it_was_typed() -> None:
    page = to_html(chat_of("# not a heading\n  <b>kept</b>", "ok"))
    assert '<p class="said"># not a heading\n  &lt;b&gt;kept&lt;/b&gt;</p>' in page


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "<javascript:alert(1)>",
        "[x](data:text/html,hi)",
        "[x](file:///etc/passwd)",
        "[x](vbscript:x)",
        "![x](https://example.com/seen.png)",
        "![x](javascript:alert(1))",
        '<img src=x onerror="alert(1)">',
        "```<script>\n</code></pre><script>\n```",
        "[x]: javascript:alert(1)\n\n[x]",
        "[x](//example.com/a)",
    ],
)
def test_html_holds_nothing_that_runs_or_loads(text: str) -> None:
    outline = Outline(answer_as_html(text))
    assert not {"script", "img", "link", "iframe", "object"} & {*outline.names()}
    assert not any(attributes.get("href") for _name, attributes in outline.tags)
    assert not any(key.startswith("on") for _name, attributes in outline.tags for key in attributes)


def test_html_keeps_links_to_pages() -> None:
    links = [each for name, each in Outline(answer_as_html("[x](https://example.com/?a=1&b)")).tags if name == "a"]
    assert links == [{"href": "https://example.com/?a=1&b"}]


def with_picture(read_by: str | None, text: str) -> Conversation:
    picture = replace(CAT, read_by=read_by, text=text)
    return Conversation(messages=(Message(Role.USER, (ImagePart(picture), TextPart("And this?")), id="q"),))


def test_text_that_was_read_out_of_a_picture_is_in_every_export() -> None:
    chat = with_picture(OCR, "milk & ``` bread\n# eggs")
    assert "Text that OCR read out of it:\n\n````\nmilk & ``` bread\n# eggs\n````" in to_markdown(chat)
    assert "milk &amp; ``` bread\n# eggs" in to_html(chat)
    [file] = json.loads(to_json(chat))["messages"][0]["files"]
    assert (file["text"], file["read_by"]) == ("milk & ``` bread\n# eggs", "OCR")


def test_what_another_model_saw_is_told_with_its_name() -> None:
    chat = with_picture("qwen3-vl-2b", "A cat.\nIt sleeps.")
    assert "What qwen3-vl-2b saw in it:\n\n> A cat.\n> It sleeps." in to_markdown(chat)
    assert "What qwen3-vl-2b saw in it:" in to_html(chat)


@pytest.mark.parametrize(("read_by", "text"), [(None, ""), (OCR, " ")])
def test_a_picture_without_words_stands_alone(read_by: str | None, text: str) -> None:
    assert "Image: `cat.png`\n\nAnd this?" in to_markdown(with_picture(read_by, text))


def test_html_holds_the_pictures_themselves() -> None:
    pictures = [attributes for name, attributes in Outline(to_html(CHAT)).tags if name == "img"]
    assert pictures == [{"alt": "cat.png", "src": "data:image/png;base64,iVBORw=="}]


def test_html_asks_nothing_of_any_host() -> None:
    page = to_html(CHAT)
    assert "default-src 'none'" in page
    assert re.search(r"url\(|@import|https?:", page) is None


def test_html_follows_a_dark_screen() -> None:
    assert "color-scheme: light dark" in to_html(CHAT)


def test_html_says_why_an_answer_is_not_whole() -> None:
    page = to_html(Conversation(messages=(replace(ANSWER, stop=StopReason.CANCELLED),)))
    assert "This answer was stopped by the user." in page


def test_html_is_told_in_the_users_language() -> None:
    choose_language("zh")
    assert '<html lang="zh-CN">' in to_html(CHAT)


def test_half_a_character_does_not_keep_a_page_from_being_written() -> None:
    assert to_html(chat_of("\ud83d", "\ud83d x")).encode()


def test_the_command_line_writes_the_page() -> None:
    history = HistoryStore(str(history_file()))
    history.restore(CHAT)
    history.close()
    assert run_hychat("history", "export", "--format", "html", CHAT.id).out == to_html(CHAT)


MARKUP = st.sampled_from(
    [*"<>&\"'`[]()!*_~|\n -#:", "a", "](", "javascript:", "http://", "```", "</", "&#", "[]", "//"]
)


@given(st.lists(MARKUP, max_size=30).map("".join))
def test_no_text_breaks_out_of_its_place(text: str) -> None:
    outline = Outline(to_html(replace(chat_of(text, text), title=text)))
    assert not outline.open
    assert not {"script", "img"} & {*outline.names()}
    links = [str(attributes["href"]) for name, attributes in outline.tags if name == "a"]
    assert all(link.lower().startswith(("http:", "https:", "mailto:", "#")) for link in links)
