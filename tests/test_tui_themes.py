"""Themes: what is shipped can be read, what a user writes is checked, and nothing about them keeps the chat from opening."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from hychat.domain.errors import ConfigError, ThemeError
from hychat.engine.echo import EchoEngine
from hychat.messages import choose_language
from hychat.paths import bundled, user_themes_folder
from hychat.tui.app import HychatApp
from hychat.tui.screens.chat import ChatScreen
from hychat.tui.themes import (
    AUTO,
    VARIABLES,
    default_variables,
    load_theme,
    load_themes,
    name_for_terminal,
    shipped_theme,
)
from tests.tui import UNFILTERED, ask, running, shown, until

SHIPPED: Final = sorted(file.stem for file in bundled("themes").glob("*.yaml"))
OF_COLOURS: Final = [name for name in SHIPPED if name != "ansi"]
TEXTS: Final = (
    "muted", "heading", "link", "primary", "secondary", "accent", "success", "warning", "error", "code-inline",
    "code-keyword", "code-string", "code-number", "code-comment", "code-function", "code-type", "text-muted", "text-disabled",
    "text-primary", "text-secondary", "text-accent", "text-success", "text-warning", "text-error",
)  # fmt: skip
FOREST: Final = """\
title: {en: Forest, zh: 森林}
dark: true
background: "#101a14"
surface: "#18251d"
panel: "#2a3d31"
foreground: "#dfe8e1"
primary: "#7fd1a0"
secondary: "#b3d9c2"
accent: "#e0c07a"
success: "#8fd694"
warning: "#e8bb7c"
error: "#f08f86"
"""


def write(text: str, name: str = "forest") -> Path:
    """A theme of the user's own."""
    file = user_themes_folder() / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def forest_with(key: str, value: str) -> str:
    """The example with one line changed."""
    return re.sub(rf"^{key}: .*$", lambda _match: f"{key}: {value}", FOREST, flags=re.MULTILINE)


def derived(theme: Theme) -> dict[str, str]:
    """What style sheets see of a theme."""
    return {**theme.to_color_system().generate(), **theme.variables}


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in Color.parse(colour).normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def segments(app: HychatApp) -> list[Segment]:
    """What is on the screen."""
    return [segment for strip in app.screen._compositor.render_strips() for segment in strip]


def painted(app: HychatApp, text: str) -> Style:
    """The style of a text on the screen."""
    return next(segment.style or Style() for segment in segments(app) if text in segment.text)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# What is shipped


def test_every_shipped_theme_can_be_read() -> None:
    found = load_themes()
    assert not found.failed
    assert [theme.name for theme in found.loaded] == SHIPPED


def test_there_are_a_dark_a_light_two_of_high_contrast_and_the_terminals_own() -> None:
    assert {theme.name: theme.theme.dark for theme in load_themes().loaded} == {
        "night": True, "paper": False, "contrast": True, "contrast-light": False, "ansi": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_theme_has_a_title_in_both_languages(name: str) -> None:
    assert {*load_theme(name).titles} == {"en", "zh"}


@pytest.mark.parametrize("name", OF_COLOURS)
@pytest.mark.parametrize("behind", ["background", "band", "surface"])
def test_text_has_a_contrast_of_seven(name: str, behind: str) -> None:
    colours = derived(load_theme(name).theme)
    assert contrast(colours["foreground"], colours[behind]) >= 7
    assert contrast(colours["text"], colours[behind]) >= 7


@pytest.mark.parametrize("name", OF_COLOURS)
@pytest.mark.parametrize("behind", ["background", "band", "surface"])
def test_everything_that_is_text_can_be_read(name: str, behind: str) -> None:
    least = 7 if name.startswith("contrast") else 4.5
    colours = derived(load_theme(name).theme)
    assert {
        text: contrast(colours[text], colours[behind])
        for text in TEXTS
        if contrast(colours[text], colours[behind]) < least
    } == {}


@pytest.mark.parametrize("name", OF_COLOURS)
def test_selected_text_can_be_read(name: str) -> None:
    colours = derived(load_theme(name).theme)
    for kind in ("screen", "input"):
        front, back = colours[f"{kind}-selection-foreground"], colours[f"{kind}-selection-background"]
        assert contrast(front, back) >= 7
        assert contrast(back, colours["background"]) >= 1.3


@pytest.mark.parametrize("name", ["contrast", "contrast-light"])
def test_rules_and_scroll_bars_of_high_contrast_are_seen(name: str) -> None:
    colours = derived(load_theme(name).theme)
    assert contrast(colours["faint"], colours["background"]) >= 3


def test_the_terminals_own_colours_stay_its_own() -> None:
    theme = load_theme("ansi").theme
    assert theme.ansi
    assert [name for name, colour in derived(theme).items() if colour.startswith("#")] == []
    assert {"blue", "yellow", "black", "white"}.isdisjoint(
        colour.removeprefix("ansi_") for colour in theme.variables.values()
    )


def test_the_example_of_the_readme_can_be_read() -> None:
    (example,) = re.findall(
        r"```yaml\n(.*?)```", (bundled("themes") / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    write(example)
    assert load_theme("forest").theme.variables["code-keyword"] == "#9FC5FF"


def test_the_readme_tells_every_key_and_variable() -> None:
    told = (bundled("themes") / "README.md").read_text(encoding="utf-8")
    write("nothing: known\n")
    with pytest.raises(ThemeError) as raised:
        load_theme("forest")
    keys = raised.value.message.partition("there are: ")[2].rstrip(".").split(", ")
    assert len(keys) == 13
    assert [name for name in (*keys, *VARIABLES) if f"`{name}`" not in told] == []


# A user's own


def test_a_users_theme_without_variables_has_them_all() -> None:
    write(FOREST)
    theme = load_theme("forest").theme
    assert {*VARIABLES} <= theme.variables.keys()
    assert theme.variables["code-string"] == theme.success
    assert theme.variables["code-comment"] == theme.variables["muted"]


def test_a_variable_that_is_given_is_taken() -> None:
    write(FOREST + 'variables: {muted: "#ff0000"}\n')
    colours = derived(load_theme("forest").theme)
    assert colours["muted"] == colours["text-muted"] == colours["code-comment"] == "#FF0000"


def test_a_users_theme_takes_the_place_of_a_shipped_one() -> None:
    write(FOREST, "night")
    assert load_theme("night").title == "Forest"
    assert [theme.name for theme in load_themes().loaded] == SHIPPED


def test_a_title_is_told_in_the_users_language() -> None:
    write(FOREST)
    choose_language("zh")
    try:
        assert load_theme("forest").title == "森林"
    finally:
        choose_language("en")


def test_a_theme_without_a_title_is_called_by_its_name() -> None:
    write(FOREST.partition("\n")[2])
    assert load_theme("forest").title == "forest"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (forest_with("title", "{en: Dark, green}"), "title.green cannot be used: there is no such key; there are: en, zh"),
        (FOREST + "colour: red\n", "colour cannot be used: there is no such key; there are: title, dark, variables"),
        (FOREST + "variables: {mutted: red}\n", "variables.mutted cannot be used: there is no such key; there are: muted"),
        (FOREST + "variables: [muted]\n", "variables cannot be used: lines of the form `key: value` expected"),
        (FOREST + "variables: {muted: 5}\n", "variables.muted cannot be used: a colour such as"),
        (forest_with("primary", "nocolour"), "primary cannot be used: a colour such as"),
        (forest_with("primary", "#7fd1a0"), "primary cannot be used: a colour such as"),
        (forest_with("primary", '"#7fd1a080"'), "primary cannot be used: a colour such as"),
        (forest_with("primary", "ansi_orange"), "primary cannot be used: a colour such as"),
        (FOREST.replace('panel: "#2a3d31"\n', ""), "panel cannot be used: a colour such as"),
        (forest_with("dark", "midnight"), "dark cannot be used: true or false expected"),
        (FOREST.replace("dark: true\n", ""), "dark cannot be used: true or false expected"),
        (forest_with("title", "[Forest]"), "title cannot be used: lines of the form"),
        (forest_with("title", '"a\\e[2Jb"'), "title.en cannot be used: a text on one line expected"),
        (forest_with("title", "{zh: 5}"), "title.zh cannot be used: a text on one line expected"),
        ("just text\n", "lines of the form `key: value` expected"),
        ("", "lines of the form `key: value` expected"),
        ("a: b: c\n", "not valid YAML: mapping values are not allowed"),
        ("2026-99-99\n", "not valid YAML"),
        ("a: &a [*a]\n", "a cannot be used: there is no such key"),
        (FOREST + "#" * 9000, "it is too large for a theme"),
        ("[" * 40_000, "it is too large for a theme"),
        ("[" * 8000 + "]" * 100, "not valid YAML"),
    ],
)  # fmt: skip
def test_a_broken_theme_is_told_with_file_and_key_and_what_was_expected(text: str, told: str) -> None:
    file = write(text)
    with pytest.raises(ThemeError, match=re.escape(told)) as raised:
        load_theme("forest")
    assert str(file) in raised.value.message
    assert len(raised.value.message) < 800


def test_a_theme_that_is_not_text_is_told() -> None:
    write("").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ThemeError, match="not valid YAML"):
        load_theme("forest")


@pytest.mark.parametrize("name", ["my theme", "a,b", AUTO])
def test_a_file_whose_name_is_none_for_a_theme_is_told(name: str) -> None:
    file = write(FOREST, name)
    (failure,) = load_themes().failed
    assert str(file) in failure.message
    assert "letters, digits" in failure.message


def test_a_broken_theme_does_not_hide_the_others() -> None:
    write("nothing: known\n")
    found = load_themes()
    assert [theme.name for theme in found.loaded] == SHIPPED
    assert len(found.failed) == 1


def test_folders_hidden_files_and_other_files_are_no_themes() -> None:
    write(FOREST, ".#night").with_name("notes.txt").touch()
    (user_themes_folder() / "old.yaml").mkdir()
    assert [theme.name for theme in load_themes().loaded] == SHIPPED
    assert not load_themes().failed


@pytest.mark.parametrize("name", ["none", "", "../night", "/etc/passwd", "a" * 5000, "a\0b"])
def test_a_name_that_there_is_not_is_told_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ThemeError, match="There is no theme") as raised:
        load_theme(name)
    assert raised.value.hint == "There are: auto, ansi, contrast, contrast-light, night, paper"


def test_one_theme_is_read_without_the_others() -> None:
    write("nothing: known\n")
    assert load_theme("night").name == "night"


def test_themes_are_there_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_knows() -> Path:
        raise ConfigError("Your home folder is not known.")

    monkeypatch.setattr("hychat.tui.themes.user_themes_folder", nobody_knows)
    assert [theme.name for theme in load_themes().loaded] == SHIPPED
    assert load_theme("paper").name == "paper"


colours_of_any_kind = st.sampled_from(
    ["ansi_default", "ansi_red", "ansi_bright_white", '"#123456"', "teal", "rgb(1,2,3)"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(colours_of_any_kind, min_size=10, max_size=10))
def test_any_mixture_of_colours_makes_a_theme(values: list[str]) -> None:
    keys = re.findall(r"^(\w+): \"", FOREST, re.MULTILINE)
    write("dark: false\n" + "".join(f"{key}: {value}\n" for key, value in zip(keys, values, strict=True)))
    colours = derived(load_theme("forest").theme)
    assert all(Color.parse(colours[name]) for name in VARIABLES)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=200)
    | st.builds(forest_with, st.sampled_from(["title", "dark", "panel"]), st.text(max_size=40))
)
def test_whatever_a_file_holds_it_is_a_theme_or_told(text: str) -> None:
    write("").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = load_themes()
    assert len(found.loaded) + len(found.failed) == len(SHIPPED) + 1


# Which one


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "night"),
        ({"COLORFGBG": "15;0"}, "night"),
        ({"COLORFGBG": "0;15"}, "paper"),
        ({"COLORFGBG": "0;default;15"}, "paper"),
        ({"COLORFGBG": "0;7"}, "paper"),
        ({"COLORFGBG": "default;default"}, "night"),
        ({"COLORFGBG": "nonsense"}, "night"),
        ({"COLORFGBG": "0;15", "NO_COLOR": "1"}, "ansi"),
        ({"NO_COLOR": ""}, "night"),
    ],
)
def test_auto_goes_by_what_the_terminal_says(environment: dict[str, str], name: str) -> None:
    assert name_for_terminal(environment) == name


def test_what_is_shipped_is_at_hand_where_the_users_own_is_broken() -> None:
    write("nothing: known\n", "night")
    with pytest.raises(ThemeError):
        load_theme(AUTO)
    assert shipped_theme().title == "Night"


# On the screen


@pytest.mark.parametrize("name", [*SHIPPED, "forest"])
async def test_the_chat_opens_in_every_theme(name: str) -> None:
    write(FOREST)
    async with running(config=replace(UNFILTERED, theme=name)) as (app, _pilot):
        assert app.theme == name
        assert app.current_theme.ansi is (name == "ansi")


async def test_the_chat_opens_where_the_usual_theme_is_broken() -> None:
    file = write("nothing: known\n", "night")
    async with running(size=(200, 24)) as (app, pilot):
        await until(pilot, lambda: str(file) in "".join(shown(app).split()))  # a long path is folded
        assert app.theme == "night"


async def test_an_answer_has_the_colours_of_the_theme_that_is_switched_to() -> None:
    async with running(EchoEngine([["# Sky\n\nBlue."]])) as (app, pilot):
        await ask(pilot, "Why?")
        await until(pilot, lambda: "Sky" in shown(app) and not app.desk.is_busy)
        app.take_theme(load_theme("paper"))
        await until(pilot, lambda: painted(app, "Sky").color == RichColor.parse("#0b55c4"))


async def test_leaving_the_list_looks_as_before_though_the_file_broke_meanwhile() -> None:
    file = write(FOREST)
    async with running(config=replace(UNFILTERED, theme="forest")) as (app, pilot):
        before = app.current_theme
        file.write_text("nothing: known\n")
        await pilot.press("f7")
        await until(pilot, lambda: "High contrast" in shown(app) and str(file)[:20] in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: app.theme != "forest")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert app.current_theme is before


@pytest.mark.parametrize("name", SHIPPED)
async def test_the_caret_is_the_text_reversed(name: str) -> None:
    async with running(config=replace(UNFILTERED, theme=name)) as (app, pilot):
        await pilot.press("7", "left")
        await until(pilot, lambda: any(segment.text == "7" for segment in segments(app)))
        caret, text = painted(app, "7"), load_theme(name).theme
        assert caret.reverse
        assert caret.color == Color.parse(text.foreground or "").rich_color
        assert caret.bgcolor == Color.parse(text.background or "").rich_color


@pytest.mark.parametrize("name", sorted(BUILTIN_THEMES))
def test_a_theme_of_textuals_own_gets_our_variables(name: str) -> None:
    assert default_variables(BUILTIN_THEMES[name]).keys() == {*VARIABLES}


def test_a_theme_that_was_read_needs_no_defaults() -> None:
    assert default_variables(load_theme("paper").theme) == {}


@pytest.mark.parametrize("name", ["ansi", "night"])
async def test_no_color_leaves_the_terminals_own_colours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(config=replace(UNFILTERED, theme=name)) as (app, _pilot):
        colours = {
            colour
            for segment in segments(app)
            if segment.style
            for colour in (segment.style.color, segment.style.bgcolor)
        }
        assert colours <= {None, RichColor.default()}
        assert any(segment.style and segment.style.reverse for segment in segments(app))
