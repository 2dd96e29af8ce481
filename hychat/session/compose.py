"""From a message's parts to the text a model reads: data first, fenced and named; the words last."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hychat.domain.attachment import OCR
from hychat.domain.choices import Style
from hychat.domain.message import FilePart, ImagePart, Message, Part, Role, TextPart
from hychat.engine.prompt.segments import ChatTurn
from hychat.engine.prompt.style import styled

# For the model, in the language that all models know best; a file's own language stays as it is.
_OCR_TOLD: Final = "Text that was read out of the picture {name} by OCR:"
_SEEN_TOLD: Final = "What the picture {name} shows, as told by another model that looked at it:"
_UNSEEN_TOLD: Final = "(Here was the picture {name}, which you cannot see.)"
_BACKTICKS: Final = re.compile(r"`{3,}")


def text_of(parts: Sequence[Part], *, can_see: bool = False) -> str:
    """The data of all files, what stands for pictures that the model cannot see, then the words; a blank line between."""
    data = [text for part in parts if (text := _data(part, can_see))]
    words = "".join(part.text for part in parts if isinstance(part, TextPart))
    return "\n\n".join([*data, words] if words else data)


def _data(part: Part, can_see: bool) -> str:
    match part:
        case FilePart(attachment):
            return fenced(attachment.text, attachment.name)
        case ImagePart(attachment) if not can_see:
            told = {None: _UNSEEN_TOLD, OCR: _OCR_TOLD}.get(attachment.read_by, _SEEN_TOLD)
            words = fenced(attachment.text, attachment.name) if attachment.read_by else ""
            return f"{told.format(name=_one_line(attachment.name))}\n{words}".rstrip()
        case _:
            return ""


def _one_line(name: str) -> str:
    return name.replace("`", "").replace("\n", " ")


def fenced(data: str, name: str) -> str:
    """Data between fences longer than any run of backticks inside."""
    longest = max((len(run) for run in _BACKTICKS.findall(data)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{_one_line(name)}\n{data.rstrip()}\n{fence}"


def turns_of(branch: Sequence[Message], style: Style | None, *, can_see: bool = False) -> list[ChatTurn]:
    """A branch as a builder sees it, its last question to be answered in `style`; pictures for a model that can see.

    Every question asks for the style of the answer that follows it; one without an answer for its own.
    """
    past = [turn_of(message, _style(message, following), can_see=can_see) for message, following in pairwise(branch)]
    return past + [turn_of(message, style, can_see=can_see) for message in branch[-1:]]


def _style(question: Message, following: Message) -> Style | None:
    return (following if following.role is Role.ASSISTANT else question).style


def turn_of(message: Message, style: Style | None, *, can_see: bool = False) -> ChatTurn:
    """A question with the wish for a style, an answer without its thoughts."""
    if message.role is not Role.USER:
        return ChatTurn(is_user=False, text=message.text)
    pictures = tuple(part.attachment.data for part in message.parts if isinstance(part, ImagePart))
    text = styled(text_of(message.parts, can_see=can_see), style)
    return ChatTurn(is_user=True, text=text, pictures=pictures if can_see else ())
