"""Messages: both catalogues are whole and current, and the language is chosen as the user's locale asks.

When a test of the catalogues fails: `make messages`, translate what is new in `zh_CN`, `make messages` again.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import hychat
from hychat.messages import LANGUAGES, LOCALE_FOLDER, _, choose_language, language, language_of_locale, ngettext

KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "ngettext": (1, 2)}
LOCALES = ("en", "zh_CN")


def catalogue_file(locale: str, suffix: str) -> Path:
    return LOCALE_FOLDER / locale / "LC_MESSAGES" / f"hychat{suffix}"


def written(locale: str) -> Catalog:
    """The .po file."""
    with catalogue_file(locale, ".po").open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


def compiled(locale: str) -> Catalog:
    """The .mo file."""
    with catalogue_file(locale, ".mo").open("rb") as file:
        return read_mo(file)


def forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """A message, or a translation, in all its plural forms."""
    return (text or "",) if isinstance(text, str | None) else tuple(text)


def messages(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def msgids(catalogue: Catalog) -> set[tuple[str, ...]]:
    return {forms(message.id) for message in messages(catalogue)}


def translations(catalogue: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    """What the catalogue changes; compiling fills an empty plural with the message itself."""
    pairs = {forms(message.id): forms(message.string) for message in messages(catalogue)}
    return {ids: strings for ids, strings in pairs.items() if all(strings) and not {*strings} <= {*ids}}


def msgids_in_code() -> set[tuple[str, ...]]:
    found = extract_from_dir(Path(hychat.__file__).parent, keywords=KEYWORDS)
    return {forms(msgid) for _file, _line, msgid, _comments, _context in found}


def placeholders(text: str) -> list[str]:
    """`{name}`, and how it is laid out; other braces are part of the text, as in `{2,8}`."""
    return sorted(re.findall(r"{[a-z_]+(?::[^{}]*)?}", text))


# The catalogues


def test_there_are_messages_in_the_code() -> None:
    assert ("There is no model named {name}.",) in msgids_in_code()


@pytest.mark.parametrize("locale", LOCALES)
def test_a_catalogue_has_the_messages_of_the_code_and_no_others(locale: str) -> None:
    assert msgids(written(locale)) == msgids_in_code()


def test_a_token_has_one_name_in_chinese() -> None:
    """But for flags and keys, and where the name is explained."""
    told = (re.sub(r"{[^}]*}|--[a-z-]+|[a-z]+_[a-z_]+|（token）", "", text) for text in chinese())
    assert [text for text in told if re.search(r"\btok(ens?)?\b", text)] == []


def test_no_latin_punctuation_stands_between_chinese_words() -> None:
    words = r"[\u4e00-\u9fff}]"
    assert [text for text in chinese() if re.search(rf"{words}[,;!?] ?{words}|{words}\.$", text)] == []


def chinese() -> Iterator[str]:
    return (text for message in messages(written("zh_CN")) for text in forms(message.string))


def test_every_message_is_translated() -> None:
    assert msgids(written("zh_CN")) == set(translations(written("zh_CN")))


def test_no_translation_is_a_guess() -> None:
    assert [message.id for message in written("zh_CN") if message.id and message.fuzzy] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_a_translation_has_the_placeholders_of_its_message(locale: str) -> None:
    for ids, strings in translations(written(locale)).items():
        for text in strings:
            assert placeholders(text) == placeholders(ids[-1]), ids


@pytest.mark.parametrize("locale", LOCALES)
def test_the_compiled_catalogue_is_current(locale: str) -> None:
    assert translations(compiled(locale)) == translations(written(locale))


def test_no_message_hides_in_an_f_string() -> None:
    """Under Python 3.11, Babel's extractor does not look into these."""
    hidden = {
        (call.args[0].value,)
        for path in Path(hychat.__file__).parent.rglob("*.py")
        for string in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(string, ast.JoinedStr)
        for call in ast.walk(string)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "_"
        if isinstance(call.args[0], ast.Constant)
    }
    assert hidden <= msgids_in_code()


def test_a_placeholder_has_a_name() -> None:
    assert [text for ids in msgids_in_code() for text in ids if "{}" in text or "{0}" in text] == []


def test_chinese_text_has_chinese_punctuation() -> None:
    for strings in translations(written("zh_CN")).values():
        assert all(not text.endswith((".", ":")) for text in strings), strings


# Choosing


def test_a_message_is_shown_in_the_chosen_language() -> None:
    choose_language("zh")
    assert _("There is no model named {name}.").format(name="x") == "没有名为 x 的模型。"
    choose_language("en")
    assert _("There is no model named {name}.").format(name="x") == "There is no model named x."


def test_the_chosen_language_is_known() -> None:
    for tag in LANGUAGES:
        choose_language(tag)
        assert language() == tag


def test_an_unknown_language_falls_back_to_english() -> None:
    choose_language("zh")
    choose_language("tlh")
    assert language() == "en"
    assert _("There is no model named {name}.") == "There is no model named {name}."


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_message_that_no_catalogue_has_is_shown_as_it_is(tag: str) -> None:
    choose_language(tag)
    assert _("No such sentence: {name}") == "No such sentence: {name}"


def test_english_counts() -> None:
    assert [ngettext("{n} owl", "{n} owls", n).format(n=n) for n in (0, 1, 2)] == ["0 owls", "1 owl", "2 owls"]


# The locale


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_Hans_SG@calendar=chinese"}, "zh"),
        ({"LANG": "ZH_CN.GB18030"}, "zh"),
        ({"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "zh_CN:en", "LC_ALL": "en_US.UTF-8"}, "zh"),
        ({"LANGUAGE": "en:zh_CN", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "", "LANG": "zh_CN.UTF-8"}, "zh"),
    ],
)
def test_the_language_follows_the_locale(environment: dict[str, str], expected: str) -> None:
    assert language_of_locale(environment) == expected
