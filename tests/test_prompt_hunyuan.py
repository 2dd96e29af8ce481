"""The layouts of Hunyuan's own chat templates, byte for byte, with own builders."""

from collections.abc import Callable

import pytest

from hychat.domain.errors import ModelRefused
from hychat.engine.prompt.choose import builder_for
from hychat.engine.prompt.hunyuan import HunyuanBuilder, family_a, family_b, hy_v3
from hychat.engine.prompt.jinja import JinjaBuilder
from hychat.engine.prompt.segments import ChatTurn, Prompt, PromptBuilder, Segment

Q1 = ChatTurn(is_user=True, text="q1")
A1 = ChatTurn(is_user=False, text="a1")
Q2 = ChatTurn(is_user=True, text="q2")

NO_THOUGHT = "<think>\n\n</think>\n"
BUILDERS = {
    "A": family_a(),
    "B": family_b(),
    "hy_v3": hy_v3(has_suffix=True),
    "hy_v3 without suffix": hy_v3(has_suffix=False),
}
every_builder = pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)
families_a_and_b = pytest.mark.parametrize("family", [family_a, family_b])


def text_of(prompt: Prompt) -> str:
    return "".join(segment.text for segment in prompt)


def chosen(
    architecture: str, tokenizer_pre: str = "", template: str | None = None, *, bos: str = "", eos: str = ""
) -> PromptBuilder:
    return builder_for(architecture=architecture, tokenizer_pre=tokenizer_pre, template=template, bos=bos, eos=eos)


# Families A and B


def test_family_a_asks_a_first_question() -> None:
    prompt = family_a().render("", [Q1], think=True)

    assert text_of(prompt) == "<｜hy_begin▁of▁sentence｜><｜hy_User｜>q1<｜hy_Assistant｜>"


def test_family_a_goes_on_with_a_chat() -> None:
    prompt = family_a().render("s", [Q1, A1, Q2], think=True)

    assert text_of(prompt) == (
        "<｜hy_begin▁of▁sentence｜>s<｜hy_place▁holder▁no▁3｜><｜hy_User｜>q1<｜hy_Assistant｜>a1<｜hy_place▁holder▁no▁2｜>"
        "<｜hy_User｜>q2<｜hy_Assistant｜>"
    )


def test_family_b_asks_a_first_question() -> None:
    assert text_of(family_b().render("", [Q1], think=True)) == "<|startoftext|>q1<|extra_0|>"


def test_family_b_goes_on_with_a_chat() -> None:
    prompt = family_b().render("s", [Q1, A1, Q2], think=True)

    assert text_of(prompt) == "<|startoftext|>s<|extra_4|>q1<|extra_0|>a1<|eos|><|startoftext|>q2<|extra_0|>"


@families_a_and_b
def test_without_thinking_an_empty_thought_stands_before_the_answer(family: Callable[..., HunyuanBuilder]) -> None:
    thinking = text_of(family().render("s", [Q1, A1, Q2], think=True))

    assert text_of(family().render("s", [Q1, A1, Q2], think=False)) == thinking + NO_THOUGHT


@families_a_and_b
def test_a_model_that_cannot_think_has_no_thought_to_skip(family: Callable[..., HunyuanBuilder]) -> None:
    thinking = family().render("", [Q1], think=True)

    assert family(can_think=False).render("", [Q1], think=False) == thinking


@families_a_and_b
@pytest.mark.parametrize("think", [False, True])
def test_families_a_and_b_open_their_thoughts_themselves(family: Callable[..., HunyuanBuilder], *, think: bool) -> None:
    assert not family().starts_in_thought(think=think)


# hy_v3


def test_hy3_asks_a_first_question_without_thinking() -> None:
    prompt = hy_v3(has_suffix=True).render("s", [Q1], think=False)

    assert text_of(prompt) == (
        "<｜hy_begin_of_sentence:opensource｜>s<｜reasoning_mode:opensource｜>reasoning_effort:no_think"
        "<｜hy_User:opensource｜>q1<｜hy_Assistant:opensource｜><think:opensource></think:opensource>"
    )


def test_hy3_goes_on_with_a_chat_and_thinks() -> None:
    prompt = hy_v3(has_suffix=True).render("", [Q1, A1, Q2], think=True)

    assert text_of(prompt) == (
        "<｜hy_begin_of_sentence:opensource｜><｜reasoning_mode:opensource｜>reasoning_effort:high"
        "<｜hy_User:opensource｜>q1<｜hy_Assistant:opensource｜><think:opensource></think:opensource>a1"
        "<｜hy_eos:opensource｜><｜hy_User:opensource｜>q2<｜hy_Assistant:opensource｜><think:opensource>"
    )


def test_hy_v3_without_suffix_goes_on_with_a_chat() -> None:
    prompt = hy_v3(has_suffix=False, eos="<eos:6124c78e>").render("s", [Q1, A1, Q2], think=False)

    assert text_of(prompt) == (
        "<｜hy_begin▁of▁sentence｜>s<｜reasoning_mode｜>reasoning_effort:no_think<｜hy_User｜>q1<｜hy_Assistant｜>"
        "<think></think>a1<eos:6124c78e><｜hy_User｜>q2<｜hy_Assistant｜><think></think>"
    )


def test_hy_v3_thinks_inside_the_thought_that_the_prompt_opened() -> None:
    builder = hy_v3(has_suffix=True)

    assert builder.starts_in_thought(think=True)
    assert not builder.starts_in_thought(think=False)


# All of them


@every_builder
def test_an_empty_system_text_is_left_out(builder: HunyuanBuilder) -> None:
    assert builder.render(" \n", [Q1], think=True) == builder.render("", [Q1], think=True)
    assert all(segment.text == "q1" for segment in builder.render("", [Q1], think=True) if not segment.is_control)


@every_builder
def test_a_later_prompt_starts_with_the_earlier_one_and_its_answer(builder: HunyuanBuilder) -> None:
    earlier = text_of(builder.render("s", [Q1], think=False)).removesuffix(NO_THOUGHT)

    assert text_of(builder.render("s", [Q1, A1, Q2], think=False)).startswith(earlier + "a1")


@every_builder
def test_a_question_left_without_an_answer_is_asked_together_with_the_next(builder: HunyuanBuilder) -> None:
    both = ChatTurn(is_user=True, text="q1\n\nq2")

    assert builder.render("", [Q1, Q2], think=True) == builder.render("", [both], think=True)


@every_builder
@pytest.mark.parametrize(
    "text", ["<|eos|>", "<｜hy_User｜>", "<|im_end|>", "<__media__>", "<｜hy_eos:opensource｜>", "<think>", "{level}"]
)
def test_what_people_and_models_wrote_is_never_control_text(builder: HunyuanBuilder, text: str) -> None:
    written = [f"{text}1", f"{text}2", f"{text}3", f"{text}4"]
    turns = [ChatTurn(is_user=place != 1, text=words) for place, words in enumerate(written[1:])]

    prompt = builder.render(written[0], turns, think=False)

    assert [segment.text for segment in prompt if not segment.is_control] == written
    assert not any(words in segment.text for segment in prompt if segment.is_control for words in written)


# The choice


@pytest.mark.parametrize("architecture", ["hunyuan-dense", "hunyuan-moe"])
def test_the_pre_tokenizer_tells_families_a_and_b_apart(architecture: str) -> None:
    a = chosen(architecture, "hunyuan-dense", "… '<｜hy_Assistant｜>' … enable_thinking …")
    b = chosen(architecture, "hunyuan", "… '<|extra_0|>' … enable_thinking …")

    assert (a, b) == (family_a(), family_b())


def test_a_hunyuan_template_that_knows_no_thinking_belongs_to_a_translation_model() -> None:
    assert chosen("hunyuan-dense", "hunyuan", "… '<|extra_0|>' …") == family_b(can_think=False)


def test_a_hunyuan_model_without_a_template_is_a_translation_model() -> None:
    assert chosen("hunyuan-dense", "hunyuan-dense") == family_a(can_think=False)


def test_a_hunyuan_model_tuned_on_another_layout_is_laid_out_by_its_template() -> None:
    assert isinstance(chosen("hunyuan-dense", "hunyuan-dense", "<|im_start|>…"), JinjaBuilder)


def test_the_template_tells_whether_hy_v3_has_suffixes() -> None:
    template = "{% set suffix = ':opensource' %}…"

    assert chosen("hy_v3", "hunyuan-dense", template) == hy_v3(has_suffix=True)
    assert chosen("hy_v3", "hunyuan-dense", "…", eos="<eos:1>") == hy_v3(has_suffix=False, eos="<eos:1>")
    assert chosen("hy_v3", "hunyuan-dense", eos="<｜hy_eos:opensource｜>") == hy_v3(has_suffix=True)


def test_another_model_is_laid_out_by_its_template() -> None:
    builder = chosen(
        "llama", "smollm", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", bos="<s>", eos="</s>"
    )

    assert builder.render("", [Q1], think=False) == (
        Segment("<s>", is_control=True),
        Segment("q1", is_control=False),
        Segment("</s>", is_control=True),
    )


def test_another_model_without_a_template_is_refused() -> None:
    with pytest.raises(ModelRefused, match="no chat template"):
        chosen("llama", "smollm")
