"""Any other model: its chat is laid out by the template in its own GGUF, which nobody here has read.

Text stays apart from control: a template is handed a mark in the place of every content, what it renders is split at
the marks, and the contents are put back between. So no content reaches the tokenizer as control text, whatever stands
in it, and no template can change one. Switches that some templates look for in the text (`/no_think`) have no effect.

jinja2 is imported when the first prompt is rendered, in `sandbox`, which also says what a template cannot do.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Final

from hychat.domain.errors import ModelRefused
from hychat.engine.prompt.segments import ChatTurn, Prompt, Segment, alternating, control, joined, plain
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.engine.prompt.sandbox import ChatTemplate

_REASON_LENGTH_SHOWN: Final = 200
_PROBE: Final = (ChatTurn(is_user=True, text="?"),)

Message = tuple[str, str]
"""Role and content."""


class JinjaBuilder:
    """Lays a chat out by a Jinja template."""

    def __init__(self, template: str, bos: str, eos: str) -> None:
        """Take the template's text, and the texts of the tokens that it may write; nothing is compiled yet."""
        self._source = template
        self._bos = bos
        self._eos = eos

    def render(self, system: str, turns: Sequence[ChatTurn], *, think: bool) -> Prompt:
        """The whole prompt up to where the model's next answer starts; the last turn is the user's.

        Templates are not alike in what they take, so forms are tried until one comes back whole: the system text as a
        message of its own, then before the first question; contents as strings, then as lists of parts.

        Raises:
            ModelRefused: The template is broken, complains, loses or mixes up contents, or does not end.
        """
        complaints: list[str] = []
        for has_parts in (False, True):
            for messages in _forms(system, alternating(turns)):
                try:
                    return self._prompt(messages, has_parts=has_parts, think=think)
                except _Unfit as unfit:
                    complaints.append(str(unfit))
        raise ModelRefused(
            _("The chat template in this model's file cannot be used: {reason}").format(reason=complaints[0]),
            hint=_("Take another conversion of the model."),
        )

    def starts_in_thought(self, *, think: bool) -> bool:
        """Whether the text that the model writes next stands inside a thought that the prompt opened."""
        if not may_think(self._source):
            return False
        end = self.render("", _PROBE, think=think)[-1]
        return end.is_control and _opens_thought(end.text)

    @property
    def can_think(self) -> bool:
        """Whether the template knows of thinking."""
        return may_think(self._source)

    @cached_property
    def _template(self) -> "ChatTemplate":
        from hychat.engine.prompt.sandbox import ChatTemplate

        return ChatTemplate(self._source)

    def _prompt(self, messages: Sequence[Message], *, has_parts: bool, think: bool) -> Prompt:
        marks = _Marks()
        handed = [{"role": role, "content": _content(marks.mark(text), has_parts)} for role, text in messages]
        return joined(marks.filled(self._rendered(handed, think=think)))

    def _rendered(self, messages: object, *, think: bool) -> str:
        from hychat.engine.prompt.sandbox import TemplateFault, TemplateTooCostly

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
            return self._template.render(variables)
        except TemplateTooCostly as error:
            raise ModelRefused(
                _("The chat template in this model's file makes too much text or does not end."),
                hint=_("The file may be hostile. Take the model from its maker."),
            ) from error
        except TemplateFault as error:
            raise _Unfit(_shown(str(error))) from error


def may_think(template: str) -> bool:
    """Whether a template knows of thinking."""
    return "enable_thinking" in template or "<think>" in template


class _Unfit(Exception):
    """The template does not take the chat in this form; the text says why."""


class _Marks:
    """Marks in the place of contents, and the contents. A mark cannot be guessed, so no content has one in it."""

    def __init__(self) -> None:
        self._key = f"\ue000{secrets.randbits(64):020}:"  # a private character and digits: nothing that gets trimmed
        self._contents: list[str] = []

    def mark(self, content: str) -> str:
        """What a template is handed for a content. Templates ask whether one is empty, so an empty one stays."""
        if not content:
            return ""
        self._contents.append(content)
        return f"{self._key}{len(self._contents) - 1:06}\ue000"

    def filled(self, rendered: str) -> Iterator[Segment]:
        """The rendered text as control text, with the contents in the place of their marks."""
        controls = re.split(rf"{self._key}(\d{{6}})\ue000", rendered)
        order = list(map(int, controls[1::2]))
        if order != list(range(len(self._contents))):
            raise _Unfit(_("it leaves out a message, or writes one twice or in another place"))
        for text, content in zip(controls[::2], (*self._contents, ""), strict=True):
            yield control(text)
            yield plain(content)


def _forms(system: str, turns: Sequence[ChatTurn]) -> Iterator[list[Message]]:
    messages = [("user" if turn.is_user else "assistant", turn.text) for turn in turns]
    if not system.strip():
        yield messages
        return
    yield [("system", system), *messages]
    first = next((place for place, (role, _text) in zip(count(), messages) if role == "user"), None)
    if first is not None:
        messages[first] = ("user", f"{system}\n\n{messages[first][1]}")
        yield messages


def _content(text: str, has_parts: bool) -> object:
    return [{"type": "text", "text": text}] if has_parts else text


def _opens_thought(text: str) -> bool:
    return text.rfind("<think") > text.rfind("</think")


def _shown(message: str) -> str:
    """A template's own words, fit for one line of a terminal."""
    line = " ".join("".join(char if char.isprintable() else " " for char in message).split())
    return line[:_REASON_LENGTH_SHOWN]
