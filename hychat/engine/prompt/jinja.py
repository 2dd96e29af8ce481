"""Any other model: its chat is laid out by the template in its own GGUF, which nobody here has read.

Text stays apart from control: a template is handed a mark in the place of every content, what it renders is split at
the marks, and the contents are put back between. So no content reaches the tokenizer as control text, whatever stands
in it, and no template can change one. Switches that some templates look for in the text (`/no_think`) have no effect.

jinja2 is imported when the first prompt is rendered, in `sandbox`, which also says what a template cannot do.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from hychat.domain.errors import ModelRefused
from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment, alternating, control, joined, plain, seen
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.engine.prompt.sandbox import ChatTemplate

_PROBE: Final = (ChatTurn(is_user=True, text="?"),)
_REASON_LENGTH_SHOWN: Final = 200
_Turn = tuple[str, list[Segment]]
"""Who speaks, and what of."""


class JinjaBuilder:
    """Lays a chat out by a Jinja template."""

    def __init__(self, template: str, bos: str, eos: str) -> None:
        """Take the template, and the tokens that it may write; nothing is compiled yet."""
        self._source = template
        self._bos = bos
        self._eos = eos

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the model's next answer starts; the last turn is the user's.

        Templates are not alike in what they take, so forms are tried until one comes back whole: the system text as a
        message of its own, then before the first question; contents as strings, then as lists of parts.

        Raises:
            ModelRefused: The template is broken, complains, loses or mixes up messages, or does not end.
        """
        complaints = []
        for has_parts in (False, True):
            for messages in _forms(system, alternating(turns)):
                try:
                    return self._prompt(messages, has_parts=has_parts, think=think)
                except _Unfit as unfit:
                    complaints.append(str(unfit))
        raise _refused(complaints[0])

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the text that the model writes next stands inside a thought that the prompt opened."""
        if not self.can_think:
            return False
        end = self.render("", _PROBE, think=think)[-1]
        return end.is_control and end.text.rfind("<think") > end.text.rfind("</think")

    @property
    def can_think(self) -> bool:
        """Whether the template knows of thinking."""
        return may_think(self._source)

    # Templates say how a chat is laid out, not what a model writes: these are the tags that most were trained with.
    thought_start: Final = "<think>\n"
    thought_end: Final = "\n</think>\n\n"
    answer_start: Final = ""

    @cached_property
    def _template(self) -> "ChatTemplate":
        from hychat.engine.prompt.sandbox import ChatTemplate, TemplateFault  # imports jinja2: 40 ms

        try:
            return ChatTemplate(self._source)
        except TemplateFault as fault:
            raise _refused(_unusable(fault)) from fault

    def _prompt(self, turns: Sequence[_Turn], *, has_parts: bool, think: bool) -> Prompt:
        marks = _Marks()
        messages = []
        for role, contents in turns:
            mark = "".join(map(marks.mark, contents))
            messages.append({"role": role, "content": [{"type": "text", "text": mark}] if has_parts else mark})
        return joined(marks.replaced(self._rendered(messages, think=think)))

    def _rendered(self, messages: object, *, think: bool) -> str:
        template = self._template
        from hychat.engine.prompt.sandbox import TemplateFault, TemplateTooCostly  # is imported by now

        variables = {
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
            "enable_thinking": think,
            "thinking": think,
            "bos_token": self._bos,
            "eos_token": self._eos,
        }
        try:
            return template.render(variables)
        except TemplateTooCostly as fault:
            message = _("The chat template in this model's file makes too much text or does not end.")
            raise ModelRefused(message, hint=_("Such a file may be hostile. Take the model from its maker.")) from fault
        except TemplateFault as fault:
            raise _Unfit(_unusable(fault)) from fault


def may_think(template: str) -> bool:
    """Whether a template knows of thinking."""
    return "enable_thinking" in template or "<think>" in template


class _Unfit(Exception):
    """The template does not take the chat in this form; the text tells the user why."""


class _Marks:
    """Marks in the place of contents, and the contents. A mark cannot be guessed, so no content has one in it."""

    def __init__(self) -> None:
        self._key = f"\ue000{int.from_bytes(os.urandom(8)):020}."  # nothing that a template would trim or translate
        self._contents: list[Segment] = []

    def mark(self, content: Segment) -> str:
        """What a template is handed for a content; an empty one stays, because templates ask for that."""
        if not content.text and not content.picture:
            return ""
        self._contents.append(content)
        return f"{self._key}{len(self._contents) - 1:06}\ue000"

    def replaced(self, rendered: str) -> Iterator[Segment]:
        """What was rendered, as control text, with the contents in the place of their marks."""
        controls = re.split(rf"{re.escape(self._key)}(\d{{6}})\ue000", rendered)
        places = [int(place) for place in controls[1::2]]
        if places != list(range(len(self._contents))):
            raise _Unfit(
                _("The chat template in this model's file loses a message, or writes one twice or out of order.")
            )
        for text, content in zip(controls[::2], (*self._contents, plain("")), strict=True):
            yield control(text)
            yield content


def _forms(system: str, turns: Sequence[ChatTurn]) -> Iterator[list[_Turn]]:
    """Role and contents of each message, first as it should be, then for templates that take no system message.

    A picture is a content like a text: what stands around it is the projector's concern, not the template's.
    """
    messages: list[_Turn] = [
        ("user" if turn.is_user else "assistant", [*map(seen, turn.pictures), plain(turn.text)]) for turn in turns
    ]
    if not system.strip():
        yield messages
        return
    yield [("system", [plain(system)]), *messages]
    for place, (role, contents) in enumerate(messages):
        if role == "user":
            messages[place] = ("user", [*contents[:-1], plain(f"{system}\n\n{contents[-1].text}")])
            yield messages
            return


def _refused(message: str) -> ModelRefused:
    return ModelRefused(message, hint=_("Take another conversion of the model."))


def _unusable(fault: Exception) -> str:
    """What a user reads of a fault: the template's own words, in one line and without control characters."""
    printable = "".join(char if char.isprintable() else " " for char in str(fault))
    reason = " ".join(printable.split())[:_REASON_LENGTH_SHOWN]
    return _("The chat template in this model's file cannot be used: {reason}").format(reason=reason)
