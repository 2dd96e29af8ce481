"""From a message's parts to the text a model reads: data first, fenced and named; the words last."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hychat.domain.choices import Style
from hychat.domain.message import FilePart, Message, Part, Role, TextPart
from hychat.engine.prompt.segments import ChatTurn
from hychat.engine.prompt.style import styled

_BACKTICKS: Final = re.compile(r"`{3,}")


def text_of(parts: Sequence[Part]) -> str:
    """The data of all files, then the words; a blank line between."""
    data = [fenced(part.attachment.text, part.attachment.name) for part in parts if isinstance(part, FilePart)]
    words = "".join(part.text for part in parts if isinstance(part, TextPart))
    return "\n\n".join([*data, words] if words else data)


def fenced(data: str, name: str) -> str:
    """Data between fences longer than any run of backticks inside."""
    longest = max((len(run) for run in _BACKTICKS.findall(data)), default=2)
    fence = "`" * (longest + 1)
    label = name.replace("`", "").replace("\n", " ")
    return f"{fence}{label}\n{data.rstrip()}\n{fence}"


def turns_of(branch: Sequence[Message], style: Style | None) -> list[ChatTurn]:
    """A branch as a builder sees it, its last question to be answered in `style`.

    Every question asks for the style of the answer that follows it; one without an answer for its own.
    """
    past = [turn_of(message, _style(message, following)) for message, following in pairwise(branch)]
    return past + [turn_of(message, style) for message in branch[-1:]]


def _style(question: Message, following: Message) -> Style | None:
    return (following if following.role is Role.ASSISTANT else question).style


def turn_of(message: Message, style: Style | None) -> ChatTurn:
    """A question with the wish for a style, an answer without its thoughts."""
    if message.role is Role.USER:
        return ChatTurn(is_user=True, text=styled(text_of(message.parts), style))
    return ChatTurn(is_user=False, text=message.text)
