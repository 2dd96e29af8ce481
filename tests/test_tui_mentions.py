"""`@path` in a prompt: what is meant as a file, where it ends, and what is words."""

import time
from pathlib import Path

import pytest

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.tui.mentions import file_choices, in_words, mentioned


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("fox.png", "code.py", "with space.png", "notes", "照片.png", "folder/inside.txt"):
        (tmp_path / name).touch()


def names(text: str) -> list[str]:
    """The files that a prompt names; what is cut out of it for them begins with the @."""
    found = mentioned(text)
    assert all(text[mention.start] == "@" for mention in found)
    return [str(mention.path) for mention in found]


@pytest.mark.parametrize(
    "text",
    [
        "@fox.png",
        "what is in @fox.png?",
        "Look at @fox.png.",
        "@fox.png, please",
        "(@fox.png)",
        "**@fox.png**",
        "@fox.png…",
        "@fox.png's tail",
        "@fox.png:12",
        '@"fox.png"?',
        "看看@fox.png好吗",
        "请看 @fox.png，好吗",
        "说：“@fox.png”是什么",
        "@fox.png and again @fox.png!",
    ],
)
def test_a_file_is_found_whatever_stands_around_it(text: str) -> None:
    assert names(text) == ["fox.png"]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("@fox.png,@code.py", ["fox.png", "code.py"]),
        ("@fox.png和@code.py有什么不同", ["fox.png", "code.py"]),
        ("@照片.png好吗", ["照片.png"]),
        ('@"with space.png", @notes', ["with space.png", "notes"]),
        ("@folder/inside.txt", ["folder/inside.txt"]),
        ("@folder/", ["folder"]),
    ],
)
def test_a_path_ends_where_its_file_does(text: str, paths: list[str]) -> None:
    assert names(text) == paths


@pytest.mark.parametrize(
    "text",
    [
        "me@example.org",
        "write to ann@fox.png",
        "use @angular/core",
        '@app.route("/")',
        "@everyone",
        "@folder",
        "@media (width: 1px)",
        "@",
        '@"',
        "@fox.png.bak",
        "@" + "?" * 2000,
    ],
)
def test_what_cannot_be_meant_as_a_file_is_words(text: str) -> None:
    assert names(text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("what is in @nothere.png?", "There is no file nothere.png."),
        ("看看@nothere.png好吗", "There is no file nothere.png."),
        ('@"no such.pdf"', "There is no file no such.pdf."),
        ("@folder/nothere", "There is no file folder/nothere."),
        ("@./nothere", "There is no file ./nothere."),
        ("@https://example.org/fox.png", "https://example.org/fox.png is an address, and hychat opens none."),
    ],
)
def test_a_file_that_is_not_there_is_never_words(text: str, told: str) -> None:
    with pytest.raises(InputUnreadable) as refused:
        mentioned(text)
    assert refused.value.message == told


def test_what_is_attached_already_is_not_read_again(tmp_path: Path) -> None:
    gone = FilePart(Attachment(AttachmentKind.TEXT, "gone.txt", "text/plain", source=str(tmp_path / "gone.txt")))
    assert [str(mention.path) for mention in mentioned("@gone.txt, @fox.png", [gone])] == ["fox.png"]


def test_a_long_word_is_judged_at_once() -> None:
    started = time.perf_counter()
    assert names("@" + "a,.!" * 2000) == []
    assert time.perf_counter() - started < 0.5


def test_words_stand_in_the_place_of_a_recording() -> None:
    text = "Sum up @notes, then @fox.png."
    notes, fox = mentioned(text)
    assert in_words(text, {notes: "what was said", fox: "more"}) == "Sum up what was said, then more."


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("look at @fo", ["look at @folder/", "look at @fox.png"]),
        ("看@fo", ["看@folder/", "看@fox.png"]),
        ("@with", ['@"with space.png"']),
        ('@"with sp', ['@"with space.png"']),
        ('@"fol', ['@"folder/']),
        ('@"folder/', ['@"folder/inside.txt"']),
        ("me@fo", []),
    ],
)
def test_a_path_is_completed_behind_its_sign(typed: str, choices: list[str]) -> None:
    assert [choice for choice, _about in file_choices(typed)] == choices
