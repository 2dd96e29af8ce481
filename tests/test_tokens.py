"""Prompts by token id: control tokens stand where the layout puts them, and nowhere a user, a file or a model wrote."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.engine.audit import audit
from hychat.engine.gguf import read_header
from hychat.engine.llama.model import Model
from hychat.engine.prompt.choose import builder_for
from hychat.engine.prompt.hunyuan import family_a
from hychat.engine.prompt.segments import ChatTurn, Prompt, PromptBuilder
from tests.desk import load_quietly
from tests.tiny_models import (
    CHATML,
    FAMILY_A,
    FAMILY_B,
    HY_V3,
    NO_FAULTS,
    Family,
    Faults,
    write_hunyuan_dense,
    write_hunyuan_moe,
    write_hy_v3,
    write_llama,
)

Writer = Callable[..., Path]

MODELS: dict[str, tuple[Writer, Family, dict[str, str]]] = {
    "A": (write_hunyuan_dense, FAMILY_A, {"family": "A"}),
    "B": (write_hunyuan_dense, FAMILY_B, {"family": "B"}),
    "B, a mixture": (write_hunyuan_moe, FAMILY_B, {}),
    "hy_v3": (write_hy_v3, HY_V3, {}),
    "ChatML": (write_llama, CHATML, {}),
}


class Tiny:
    """A tiny model, its builder and its family's special tokens."""

    def __init__(self, path: Path, family: Family) -> None:
        verdict = audit(read_header(str(path)))
        self.model = load_quietly(str(path), verdict.overrides)
        self.family = family
        known = verdict.family
        self.builder: PromptBuilder = builder_for(
            architecture=known.architecture,
            tokenizer_pre=known.tokenizer_pre,
            template=known.template,
            bos=known.bos,
            eos=known.eos,
        )

    def ids(self, *texts: str) -> list[int]:
        """Ids of control tokens, by their text."""
        ids = []
        for text in texts:
            (token,) = self.model.tokenize([(text, True)])
            ids.append(token)
        return ids

    def plain(self, text: str) -> list[int]:
        return self.model.tokenize([(text, False)])

    def prompt(self, *texts: str, system: str = "", think: bool = False) -> list[int]:
        """Tokens of a chat, user and assistant in turn."""
        turns = [ChatTurn(index % 2 == 0, text) for index, text in enumerate(texts)]
        return self.tokens(self.builder.render(system, turns, think=think))

    def tokens(self, prompt: Prompt) -> list[int]:
        return self.model.tokenize([(segment.text, segment.is_control) for segment in prompt])

    def special(self, tokens: list[int]) -> list[str]:
        """The special tokens among tokens, as texts."""
        names = dict(zip(self.ids(*self.family.control), self.family.control, strict=True))
        return [names[token] for token in tokens if token in names]


Tinies = Callable[..., Tiny]


@pytest.fixture(scope="module")
def tinies(tmp_path_factory: pytest.TempPathFactory) -> Tinies:
    """Makes tiny models by name, each once."""
    folder = tmp_path_factory.mktemp("tinies")

    @cache
    def made(name: str, faults: Faults = NO_FAULTS) -> Tiny:
        write, family, arguments = MODELS[name]
        return Tiny(write(folder / f"{name}-{hash(faults)}.gguf", faults=faults, **arguments), family)

    return made


def test_family_a_by_token_id(tinies: Tinies) -> None:
    tiny = tinies("A")
    begin, user, assistant, end, system_end, _eight = tiny.ids(*FAMILY_A.control)
    assert tiny.prompt("hello", "Hello world", "and you", system="the model") == [
        *(begin, *tiny.plain("the model"), system_end),
        *(user, *tiny.plain("hello"), assistant, *tiny.plain("Hello world"), end),
        *(user, *tiny.plain("and you"), assistant),
    ]


def test_family_a_skips_its_thought_by_token_id(tinies: Tinies) -> None:
    tiny = tinies("A")
    builder, turns = family_a(), [ChatTurn(is_user=True, text="hello")]  # the tiny template names no thoughts
    without, skipped = (tiny.tokens(builder.render("", turns, think=think)) for think in (True, False))
    assert skipped == without + tiny.model.tokenize([("<think>\n\n</think>\n", True)])


def test_family_b_by_token_id(tinies: Tinies) -> None:
    tiny = tinies("B")
    begin, _bos, end, _pad, question_end, system_end, _eod = tiny.ids(*FAMILY_B.control)
    prompt = tiny.prompt("hello", "Hello world", "and you", system="the model")
    assert tiny.special(prompt) == [
        *("<|startoftext|>", "<|extra_4|>", "<|extra_0|>", "<|eos|>"),
        *("<|startoftext|>", "<|extra_0|>"),
    ]
    assert prompt[: prompt.index(end) + 1] == [
        *(begin, *tiny.plain("the model"), system_end),
        *(*tiny.plain("hello"), question_end, *tiny.plain("Hello world"), end),
    ]


def test_hy_v3_by_token_id(tinies: Tinies) -> None:
    tiny = tinies("hy_v3")
    prompt = tiny.prompt("hello", system="the model")
    begin, user, assistant, _end, _mode, think, no_more = tiny.ids(*HY_V3.control)
    assert prompt[0] == begin
    assert prompt[-3:] == [assistant, think, no_more]
    start = prompt.index(user)
    assert prompt[start : start + 2 + len(tiny.plain("hello"))] == [user, *tiny.plain("hello"), assistant]


def test_chatml_by_token_id(tinies: Tinies) -> None:
    tiny = tinies("ChatML")
    start, end = tiny.ids("<|im_start|>", "<|im_end|>")
    line = tiny.model.tokenize([("\n", True)])
    user, assistant = (tiny.model.tokenize([(f"{role}\n", True)]) for role in ("user", "assistant"))
    assert tiny.prompt("hello") == [start, *user, *tiny.plain("hello"), end, *line, start, *assistant]


@pytest.mark.parametrize("name", MODELS)
def test_control_text_that_a_user_wrote_stays_text(name: str, tinies: Tinies) -> None:
    tiny = tinies(name)
    everything = " ".join((*tiny.family.control, "<__media__>", "<think>", "</s>", "<|endoftext|>"))
    harmless = tiny.special(tiny.prompt("hello", "hello", "hello", system="hello"))
    hostile = tiny.special(tiny.prompt(everything, everything, everything, system=everything))
    assert hostile == harmless
    assert text_of(tiny.model, tiny.plain(everything)) == everything


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
def test_no_text_whatever_becomes_a_control_token(name: str, tinies: Tinies, data: st.DataObject) -> None:
    tiny = tinies(name)
    parts = st.sampled_from([*tiny.family.control, "<", "|", ">", "｜", "eos", "<|", "\n", "the", "你好"]) | st.text(
        max_size=5
    )
    text = "".join(data.draw(st.lists(parts, max_size=8)))
    assert tiny.special(tiny.plain(text)) == []


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_that_is_said_again_is_the_history_it_was(name: str, tinies: Tinies) -> None:
    """The next turn's prompt goes on from the last one's, so that the KV cache keeps it."""
    tiny = tinies(name)
    before = tiny.prompt("hello", "Hello world", "and you", think=True)
    after = tiny.prompt("hello", "Hello world", "and you", "the", "ing", think=True)
    assert after[: len(before)] == before


USER_DEFINED = Faults(control_is_user_defined=True)
"""A vocabulary that calls its special tokens user defined, which tokenizers find in any text."""


@pytest.mark.parametrize("name", ["A", "B", "ChatML"])
def test_user_defined_special_tokens_stay_text_in_text(name: str, tinies: Tinies) -> None:
    tiny = tinies(name, USER_DEFINED)
    everything = "a " + " ".join(tiny.family.control) * 3
    tokens = tiny.plain(everything)
    assert tiny.special(tokens) == []
    assert text_of(tiny.model, tokens) == everything


@pytest.mark.parametrize("name", ["A", "B", "ChatML"])
def test_user_defined_special_tokens_work_where_the_layout_puts_them(name: str, tinies: Tinies) -> None:
    tiny = tinies(name, USER_DEFINED)
    assert tiny.special(tiny.prompt("hello"))
    (end,) = tiny.ids(tiny.family.eos)
    assert tiny.model.ends_generation(end)


@pytest.mark.parametrize("name", ["A", "B", "ChatML"])
def test_thousands_of_pasted_end_tokens_are_taken_apart(name: str, tinies: Tinies) -> None:
    tiny = tinies(name, USER_DEFINED)
    pasted = tiny.family.eos * 2_000
    tokens = tiny.plain(pasted)
    assert tiny.special(tokens) == []
    assert text_of(tiny.model, tokens) == pasted


def test_an_eos_that_the_header_gets_wrong_is_replaced(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "model.gguf", "A", faults=Faults(eos_is_plain_text=True))
    tiny = Tiny(path, FAMILY_A)
    assert not tiny.model.ends_generation(tiny.plain("$")[0])
    assert tiny.model.ends_generation(tiny.ids(FAMILY_A.eos)[0])


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_text_has_no_tokens(name: str, tinies: Tinies) -> None:
    tiny = tinies(name)
    assert tiny.plain("") == []
    assert tiny.model.tokenize([("", True)]) == []


@pytest.mark.parametrize("name", MODELS)
def test_a_lone_surrogate_does_no_harm(name: str, tinies: Tinies) -> None:
    tiny = tinies(name)
    assert text_of(tiny.model, tiny.plain("a\ud800b")) == "a?b"


def test_ten_megabytes_are_counted(starter_model: Model) -> None:
    assert len(starter_model.tokenize([("lorem ipsum " * 850_000, False)])) > 1_000_000


def text_of(model: Model, tokens: list[int]) -> str:
    return b"".join(model.piece(token) for token in tokens).decode("utf-8", "replace")
