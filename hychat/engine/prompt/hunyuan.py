"""How Tencent's Hunyuan models were trained to read a chat.

The markers and their order are facts of each model's own chat template, as its GGUF carries it; the builders are ours.

Prompts grow at their end: the history of a chat is laid out the same in every turn, so the KV cache keeps it. What is
read again is what the official layouts change behind an answer:

- Families A and B leave a past answer's thought out, also the empty one that `think=False` puts before the answer. So
  the next turn reads the last answer again, from its marker on, and nothing before it.
- hy_v3 puts an empty thought before every past answer, which is what `think=False` puts before a new one: nothing is
  read again. After `think=True` the last answer is. Switching between the two changes the effort, which stands before
  the first question: then the whole history is read again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment, alternating, control, joined, plain


@dataclass(frozen=True, slots=True)
class Layout:
    """The markers of one family, named by where they stand."""

    begin: str
    system_end: str
    """After the system text, where there is one."""
    before_question: str
    after_question: str
    before_past_answer: str
    """In the place of a past answer's thought."""
    after_past_answer: str
    effort: str
    """Before the first question, with or without a system text; `{level}` is how much thought is asked for."""
    skipped_thought: str
    """Before the answer that is to be written, when it shall come without a thought."""
    opened_thought: str
    """The same when the model shall think; empty where the model opens its thought by itself."""
    thought_start: str
    thought_end: str
    answer_start: str
    """As `PromptBuilder` has them."""


_EMPTY_THOUGHT: Final = "<think>\n\n</think>\n"
_THOUGHT_START: Final = "<think>\n"
_ANSWER_START: Final = "<answer>\n"
_THOUGHT_END: Final = f"\n</think>\n{_ANSWER_START}"
"""How families A and B write by themselves: the answer in tags, with and without a thought (their model cards)."""

_A: Final = Layout(
    begin="<｜hy_begin▁of▁sentence｜>",
    system_end="<｜hy_place▁holder▁no▁3｜>",
    before_question="<｜hy_User｜>",
    after_question="<｜hy_Assistant｜>",
    before_past_answer="",
    after_past_answer="<｜hy_place▁holder▁no▁2｜>",
    effort="",
    skipped_thought=_EMPTY_THOUGHT,
    opened_thought="",
    thought_start=_THOUGHT_START,
    thought_end=_THOUGHT_END,
    answer_start=_ANSWER_START,
)
_B: Final = Layout(
    begin="<|startoftext|>",
    system_end="<|extra_4|>",
    before_question="",
    after_question="<|extra_0|>",
    before_past_answer="",
    after_past_answer="<|eos|><|startoftext|>",
    effort="",
    skipped_thought=_EMPTY_THOUGHT,
    opened_thought="",
    thought_start=_THOUGHT_START,
    thought_end=_THOUGHT_END,
    answer_start=_ANSWER_START,
)


@dataclass(frozen=True, slots=True)
class HunyuanBuilder:
    """Lays a chat out for one Hunyuan family."""

    layout: Layout
    can_think: bool = True
    """False for the translation models, which were trained without thoughts: they are offered none to skip either."""

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the model's next answer starts; the last turn is the user's.

        An empty system text is left out: A13B's own template fails on one.
        """
        return joined(self._segments(system, turns, think=think))

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the text that the model writes next stands inside a thought that the prompt opened."""
        return think and bool(self._thought(think=True))

    @property
    def thought_start(self) -> str:
        """Control text that the model opens its thought with, where the prompt does not."""
        return self.layout.thought_start

    @property
    def thought_end(self) -> str:
        """Control text that closes a thought and opens the answer."""
        return self.layout.thought_end

    @property
    def answer_start(self) -> str:
        """Control text that the model opens its answer with, where the prompt leaves its thought out."""
        return self.layout.answer_start if self.can_think else ""

    def _segments(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Iterator[Segment]:
        layout = self.layout
        yield control(layout.begin)
        if system.strip():
            yield plain(system)
            yield control(layout.system_end)
        yield control(layout.effort.format(level="high" if think else "no_think"))
        for turn in alternating(turns):
            yield control(layout.before_question if turn.is_user else layout.before_past_answer)
            yield plain(turn.text)
            yield control(layout.after_question if turn.is_user else layout.after_past_answer)
        yield control(self._thought(think=think))

    def _thought(self, *, think: bool) -> str:
        if not self.can_think:
            return ""
        return self.layout.opened_thought if think else self.layout.skipped_thought


def family_a(*, can_think: bool = True) -> HunyuanBuilder:
    """Hunyuan 0.5B, 1.8B and 4B, HY-MT1.5-1.8B, Hy-MT2-1.8B: `tokenizer.ggml.pre` is `hunyuan-dense`."""
    return HunyuanBuilder(_A, can_think)


def family_b(*, can_think: bool = True) -> HunyuanBuilder:
    """Hunyuan 7B and A13B, Hunyuan-MT-7B, HY-MT1.5-7B, Hy-MT2-7B: `tokenizer.ggml.pre` is `hunyuan`."""
    return HunyuanBuilder(_B, can_think)


def hy_v3(*, has_suffix: bool, bos: str = "", eos: str = "") -> HunyuanBuilder:
    """Hy3, whose markers carry the suffix `:opensource`; Hy3-preview and Hy-MT2-30B-A3B, whose markers do not.

    The suffixless models differ in the name of EOS (id 120025 in all of them), so `bos` and `eos` are best taken from
    the GGUF; empty, they are Hy3's or Hy3-preview's.
    """
    suffix = ":opensource" if has_suffix else ""
    think, think_end = f"<think{suffix}>", f"</think{suffix}>"
    begin = "<｜hy_begin_of_sentence:opensource｜>" if has_suffix else "<｜hy_begin▁of▁sentence｜>"
    return HunyuanBuilder(
        Layout(
            begin=bos or begin,
            system_end="",
            before_question=f"<｜hy_User{suffix}｜>",
            after_question=f"<｜hy_Assistant{suffix}｜>",
            before_past_answer=think + think_end,
            after_past_answer=eos or f"<｜hy_eos{suffix}｜>",
            effort=f"<｜reasoning_mode{suffix}｜>reasoning_effort:{{level}}",
            skipped_thought=think + think_end,
            opened_thought=think,
            thought_start=think,
            thought_end=think_end,
            answer_start="",
        )
    )
