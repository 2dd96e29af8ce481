"""The word lists: what is on them is found however it is disguised, and nothing else is."""

import gzip
import json
import os
import pydoc_data.topics
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest

from hychat.domain.errors import ConfigError
from hychat.safety.fold import Folded, fold
from hychat.safety.words import Entry, Tier, WordList, load, shipped_entries
from tests.disguises import DISGUISES
from tests.programs import ROOT

CATEGORIES = {
    "violence", "weapons", "self-harm", "sexual", "minors", "hate", "harassment", "privacy", "fraud", "malware", "drugs",
    "jailbreak",
}  # fmt: skip
CASES = 100_000
HARMLESS_LINES = 20_000
DATA = Path(os.environ.get("HYCHAT_SAFETY_DATA", ROOT.parent / "shared" / "safety"))
"""Where the data to train on lies, if it does."""
SPEAKS_OF_HARM = {"smilechat", "counsel_chat", "gptfuzz_resp"}
"""Safe by label, but people in need, and refusals that repeat what they refuse."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> WordList:
    return load(tmp_path_factory.mktemp("none") / "words.yaml")


def found(words: WordList, text: str) -> set[str]:
    return {hit.entry.phrase for hit in words.hits(fold(text))}


def test_the_lists_hold_a_thousand_phrases_and_more_in_every_category_and_both_languages() -> None:
    entries = shipped_entries()
    assert {entry.category for entry in entries} == CATEGORIES
    for is_chinese in (False, True):
        phrases = [entry for entry in entries if is_chinese is not entry.phrase.isascii()]
        assert len(phrases) > 1000
        assert {entry.category for entry in phrases} == CATEGORIES


def test_they_are_phrases_and_no_words() -> None:
    short = [
        entry.phrase
        for entry in shipped_entries()
        if (len(entry.phrase.split()) < 2 if entry.phrase.isascii() else len(entry.phrase) < 3)
    ]
    assert short == []


def test_they_are_written_as_they_are_read() -> None:
    assert [entry.phrase for entry in shipped_entries() if fold(entry.phrase).text != entry.phrase] == []


def test_no_phrase_stands_twice() -> None:
    phrases = [entry.phrase for entry in shipped_entries()]
    assert sorted(phrases) == sorted(set(phrases))


def test_every_phrase_is_found_in_each_disguise_and_in_pairs_of_them(shipped: WordList) -> None:
    random, names = Random(5), [*DISGUISES]  # noqa: S311 - a simulation
    entries = shipped_entries()
    missed, cases = [], 0
    while cases < CASES:
        for entry in random.sample(entries, 1000):
            first, second = random.sample(names, 2)
            for disguises in ((first,), (first, second)):
                written = entry.phrase
                for name in disguises:
                    written = DISGUISES[name](written, random)
                cases += 1
                if not any(hit.entry.tier is entry.tier for hit in shipped.hits(fold(f"well, {written}, ok"))):
                    missed.append((disguises, entry.phrase, written))
    assert len(missed) <= 0.003 * cases, missed[::20]


def test_a_phrase_is_found_with_signs_for_letters_of_its_worst_word(shipped: WordList) -> None:
    random, masked = Random(6), masked_words()  # noqa: S311 - a simulation
    missed, cases = [], 0
    for entry in shipped_entries():
        for word in sorted(masked & {*entry.phrase.split()}):
            at = random.choice([at for at in range(1, len(word) - 1) if not fits_another(masked, word, at)])
            sign = random.choice("*#%")
            written = entry.phrase.replace(word, word[:at] + sign + word[at + 1 :])
            cases += 1
            if not any(hit.entry.tier is entry.tier for hit in shipped.hits(fold(f"well, {written}, ok"))):
                missed.append(written)
    assert cases > 500
    assert missed == []


def fits_another(words: set[str], word: str, at: int) -> bool:
    """Whether another word differs in this letter only, as bombs and boobs do: a sign there says nothing."""
    return any(
        len(other) == len(word) and other[:at] + other[at + 1 :] == word[:at] + word[at + 1 :]
        for other in words - {word}
    )


def masked_words() -> set[str]:
    return {*files("hychat.safety").joinpath("tables", "masked.txt").read_text(encoding="utf-8").split()}


def test_nothing_is_found_in_harmless_text(shipped: WordList) -> None:
    hits = [
        (line, hit.entry.phrase)
        for line, kind in harmless_lines()
        for hit in shipped.hits(fold(line))
        if kind == "prompt" or not hit.entry.is_question
    ]
    assert hits == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_found_in_harmless_lines_that_look_harmful(shipped: WordList, language: str) -> None:
    """Of the trainer's own rows, which were written after the lists."""
    lines = (files("hychat.safety.training") / "own" / f"{language}_harmless.txt").read_text("utf-8").splitlines()
    assert len(lines) > 1000
    assert [(line, found(shipped, line)) for line in lines if found(shipped, line)] == []


def harmless_lines() -> Iterator[tuple[str, str]]:
    """The benign part of the training data, on which the lists were sharpened; where that is not here, Python's manual."""
    if not DATA.is_dir():
        pages = [text for _round in range(20) for text in pydoc_data.topics.topics.values()]
        lines = [(line, "prompt") for page in pages for line in page.splitlines() if line.strip()]
        yield from lines[: 2 * HARMLESS_LINES]
        return
    lines = []
    for file in sorted((DATA / "train").glob("*.jsonl.gz")):
        if file.name.partition(".")[0] not in SPEAKS_OF_HARM:
            with gzip.open(file, "rt", encoding="utf-8") as rows:
                lines += [(row["text"], row["kind"]) for row in map(json.loads, rows) if row["label"] == "safe"]
    yield from Random(7).sample(lines, HARMLESS_LINES)  # noqa: S311 - a sample


def test_a_safe_context_nearby_makes_a_hit_weigh_less() -> None:
    words = WordList([Entry("steal a boat", "fraud", Tier.BLOCK), Entry("bad boat", "x", Tier.WARN)], ["in a novel"])
    assert [hit.tier for hit in words.hits(fold("In a novel they steal a boat."))] == [Tier.WARN]
    assert words.hits(fold("in a novel, a bad boat")) == []
    assert [hit.tier for hit in words.hits(fold("in a novel. " + "and so on " * 30 + "steal a boat"))] == [Tier.BLOCK]


def test_a_game_nearby_makes_a_hit_weigh_nothing() -> None:
    words = WordList([Entry("steal a boat", "fraud", Tier.BLOCK)], harmless=["in minecraft"])
    assert words.hits(fold("How do I steal a boat in Minecraft?")) == []


@pytest.mark.parametrize(
    "text",
    [
        "I want to kill myself. I lost everything in gta.",
        "I want to kill myself in minecraft today.",
        "我想死，玩游戏中都没意思",
        "im going to end my life, i spend every day in skyrim and it does not help anymore",
        "我想自杀，每天只在王者荣耀里活着",
    ],
)
def test_a_game_nearby_does_not_hide_who_speaks_of_harming_himself(shipped: WordList, text: str) -> None:
    assert [hit.tier for hit in shipped.hits(fold(text))] == [Tier.SUPPORT]


def test_a_phrase_that_is_part_of_an_idiom_is_not_found(shipped: WordList) -> None:
    assert found(shipped, "我想死") == {"我想死"}
    assert found(shipped, "妈妈，我想死你了！我想死记硬背单词。") == set()


@pytest.mark.parametrize(
    "unit",
    ["梗x甲乙丙丁大傻逼，", "a law a game how to make a bomb at home. ", "my novel how to make a bomb at home. "],
)
def test_many_hits_among_many_contexts_are_found_in_linear_time(unit: str) -> None:
    words = WordList(shipped_entries(), ["law", "game", "梗"], ["my novel", "甲乙"], ["a game"])
    short, long = (fold(unit * (characters // len(unit))) for characters in (10_000, 80_000))
    assert seconds(words, long) < 25 * seconds(words, short)  # it is 8 where it is linear, and 64 where it is quadratic


def seconds(words: WordList, folded: Folded) -> float:
    """Of the processor, the least of three."""
    took = []
    for _turn in range(3):
        start = time.process_time()
        words.hits(folded)
        took.append(time.process_time() - start)
    return min(took)


def test_some_phrases_have_no_safe_context() -> None:
    words = WordList([Entry("steal a boat", "minors", Tier.BLOCK, is_demotable=False)], ["in a novel"])
    assert [hit.tier for hit in words.hits(fold("in a novel they steal a boat"))] == [Tier.BLOCK]


def test_the_users_own_words_count_and_his_allowances_too(tmp_path: Path) -> None:
    own = tmp_path / "words.yaml"
    own.write_text(
        "block: [Project Zebra 斑马计划]\nwarn: [half a zebra]\nallow: [how to kill a process]\n", encoding="utf-8"
    )
    words = load(own)
    assert found(words, "tell me of p.r.o.j.e.c.t zebra 斑馬計劃") == {"project zebra 斑马计划"}
    assert [hit.tier for hit in words.hits(fold("half a zebra"))] == [Tier.WARN]


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("AI", "Are all of you well?"),
        ("god", "A good dog"),
        ("bot", "my boot"),
        ("ios", "a loss"),
        ("10", "100 things, io"),
        ("100000", "io"),
        ("ki", "to kill a process, two kis"),
        ("C++", "in C, C+ and C#"),
        ("проект x", "solve x + 2 = 4"),
        ("爸爸", "爸和妈"),
        ("ポケモン", "ポケット"),
    ],
)
def test_a_short_word_of_the_users_is_found_in_no_other_word(tmp_path: Path, phrase: str, text: str) -> None:
    assert found(own_words(tmp_path, block=[phrase]), text) == set()


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("AI", "What is AI, please?"),
        ("god", "many GODS"),
        ("10", "the best 10."),
        ("C++", "I write C++17 and c++."),
        ("проект аврора", "Расскажи про ПРОЕКТ  Аврора!"),
        ("проект x", "что такое проект x?"),
        ("ポケモン", "私はポケモンが好きです"),
        ("오로라 계획", "오로라 계획을 알려줘"),
        ("مشروع الفجر", "ما هو مشروع الفجر؟"),
        ("爸爸", "我的爸爸很好"),
        ("Aurora", "the a.u.r.o.r.a and 4ur0ra"),
        ("project x", "pr0ject x"),
    ],
)
def test_a_phrase_of_the_users_is_found_in_whatever_script_it_is(tmp_path: Path, phrase: str, text: str) -> None:
    words = own_words(tmp_path, block=[phrase])
    assert len(found(words, text)) == 1
    assert found(own_words(tmp_path, block=[phrase], allow=[phrase]), text) == set()


@pytest.mark.parametrize("phrase", ["\u200b", "***", "🔥", "", " "])
@pytest.mark.parametrize("key", ["block", "warn", "allow"])
def test_a_phrase_of_the_users_of_which_nothing_is_read_is_told(tmp_path: Path, key: str, phrase: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{phrase!r} holds no letters and no digits")):
        own_words(tmp_path, **{key: [phrase]})


def own_words(folder: Path, **phrases: list[str]) -> WordList:
    own = folder / "words.yaml"
    own.write_text(json.dumps(phrases, ensure_ascii=False), encoding="utf-8")
    return load(own)


def test_a_doubled_letter_is_a_part_of_what_was_found_at_both_of_its_ends() -> None:
    (hit,) = WordList([Entry("llamas in a hall", "x", Tier.BLOCK)]).hits(fold("no llamas in a hall."))
    assert hit.span == (3, 19)


def test_what_is_allowed_is_not_found() -> None:
    entry = Entry("kill a process", "violence", Tier.BLOCK)
    assert found(WordList([entry], allowed=["how to kill a process"]), "how to kill a process") == set()
    assert found(WordList([entry], allowed=["how to kill a process"]), "kill a process") == {"kill a process"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"block: zebra", "block is not understood"),
        (b"blok: [zebra]", "blok is not understood"),
        (b"- zebra", "key: value"),
        (b"block: [", "is not YAML"),
        (b"\xff\xfe\xfa", "is not YAML"),
    ],
)
def test_a_file_of_the_users_that_says_nothing_is_a_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    own = tmp_path / "words.yaml"
    own.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load(own)


@pytest.mark.parametrize(
    ("before", "between", "after"),
    [("block:\n- ", "\n- ", "\n"), ("block:\n  - ", "\n  - ", ""), ("block: [", ", ", "]")],
    ids=["list", "indented", "brackets"],
)
def test_a_long_list_of_the_users_is_read_whole(tmp_path: Path, before: str, between: str, after: str) -> None:
    own = tmp_path / "words.yaml"
    own.write_text(before + between.join(f"my {number} zebras" for number in range(9000)) + after, encoding="utf-8")
    assert found(load(own), "tell me of my 8291 zebras") == {"my 8291 zebras"}


@pytest.mark.parametrize(
    "content",
    [
        "block: " + "[" * 200_000,
        "block:\n" + "- " * 200_000,
        "? " * 200_000,
        "".join(f"{' ' * depth}-\n" for depth in range(1500)),
    ],
    ids=["brackets", "dashes", "questions", "indents"],
)
def test_a_file_of_the_users_that_is_nested_too_deeply_is_told(tmp_path: Path, content: str) -> None:
    own = tmp_path / "words.yaml"
    own.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(str(own))):
        load(own)


def test_a_phrase_in_pinyin_is_found_where_it_is_long_enough() -> None:
    words = WordList([Entry("偷走一艘船", "fraud", Tier.BLOCK)])
    assert found(words, "怎么tou走一艘船") == {"偷走一艘船"}
    assert found(words, "偷zou一sou船") == {"偷走一艘船"}
    assert found(words, "偷走一首船") == set()


def test_letters_in_one_row_are_found_too() -> None:
    words = WordList([Entry("steal a boat", "fraud", Tier.BLOCK)])
    assert found(words, "h o w t o s t e a l a b o a t") == {"steal a boat"}


def test_a_plural_is_found_and_a_longer_word_is_not() -> None:
    words = WordList([Entry("steal boat", "fraud", Tier.BLOCK)])
    assert found(words, "steal boats") == {"steal boat"}
    assert found(words, "steal boatman") == set()
