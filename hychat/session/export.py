"""A conversation as text to keep or to share: Markdown and HTML for people, JSON for programs."""

import json
import re
from collections.abc import Iterator
from typing import Final

from hychat.domain import codec
from hychat.domain.attachment import OCR, Attachment
from hychat.domain.generation import StopReason
from hychat.domain.message import Conversation, FilePart, ImagePart, Message, Role
from hychat.messages import _

FORMAT: Final = "hychat.conversation"
FORMAT_VERSION: Final = 1
"""Grows when a key changes its meaning or goes away, not when one is added."""

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_FENCE: Final = re.compile(r"(?P<indent> *)(?P<markers>(?:(?:[-*+>]|\d{1,9}[.)]) *)*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})")


def to_json(conversation: Conversation) -> str:
    """Every message of every branch, in the order they were written.

    An object with `format`, `version`, `id`, `title`, `model`, `system`, `created` and `messages`. Each message has
    `id`, `role`, `created`, `text`, `thought`, `files`, and, null where there is none, `parent` (the id it follows),
    `style`, `stop`, `model`, `settings` (what the answer was made with, its `seed` among them) and `usage`. Each file
    has `kind`, `name`, `media_type`, `text`, `data` (base64), `read_by` (who read a picture's text out of it), `source`
    and `estimated_tokens`. Moments are ISO 8601 in UTC.
    """
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "id": conversation.id,
        "title": conversation.title,
        "model": conversation.model,
        "system": conversation.system,
        "created": codec.moment_to_json(conversation.created),
        "messages": [_message_to_json(message) for message in conversation.messages],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def to_markdown(conversation: Conversation) -> str:
    """The branch on which the conversation stands, one heading a message.

    A code fence that a message leaves open, as an answer that was cut may, does not swallow the messages after it.
    """
    return "\n\n".join(_blocks(conversation)) + "\n"


def to_html(conversation: Conversation) -> str:
    """The branch on which the conversation stands, as one page that needs no other file, host or script."""
    from hychat.session.page import page_of  # brings the Markdown parser

    return page_of(conversation)


def _message_to_json(message: Message) -> codec.JsonObject:
    receipt = codec.receipt_to_json(message.receipt) if message.receipt else {}
    return {
        "id": message.id,
        "parent": message.parent,
        "role": message.role,
        "created": codec.moment_to_json(message.created),
        "text": message.text,
        "thought": message.thought,
        "files": [codec.attachment_to_json(attachment) for attachment in _attachments(message)],
        "style": message.style,
        "stop": message.stop,
        "model": receipt.get("model"),
        "settings": receipt.get("settings"),
        "usage": receipt.get("usage"),
    }


def _attachments(message: Message) -> Iterator[Attachment]:
    return (part.attachment for part in message.parts if isinstance(part, FilePart | ImagePart))


def _blocks(conversation: Conversation) -> Iterator[str]:
    """The paragraphs, lists, quotes and fences of the Markdown text."""
    yield f"# {one_line(conversation.title) or _('Conversation')}"
    yield "\n".join(_facts(conversation))
    if conversation.system:
        yield f"## {_('System')}"
        yield _contained(conversation.system)
    for message in conversation.branch():
        yield from _message_blocks(message)


def _facts(conversation: Conversation) -> Iterator[str]:
    started = f"{conversation.created:%Y-%m-%d %H:%M} UTC"
    yield "- " + _("Started: {moment}").format(moment=started)
    if conversation.model:
        yield "- " + _("Model: {model}").format(model=_code(conversation.model))
    yield "- " + _("Id: {id}").format(id=_code(conversation.id))


def _message_blocks(message: Message) -> Iterator[str]:
    yield f"## {_speaker(message)}"
    for part in message.parts:
        match part:
            case FilePart(attachment):
                yield _("File: {name}").format(name=_code(attachment.name))
                yield _fenced(attachment.text, _language(attachment.name))
            case ImagePart(attachment):
                yield _("Image: {name}").format(name=_code(attachment.name))
                yield from _seen(attachment)
    if message.thought:
        yield _quoted(f"**{_('Thought')}**\n\n{message.thought.strip()}")
    if message.text.strip():
        yield _contained(message.text.strip("\n"))
    if note := stop_note(message.stop):
        yield f"*{note}*"


def _seen(picture: Attachment) -> Iterator[str]:
    """The words that stood for a picture where the model could not see it."""
    if title := seen_title(picture):
        yield title
        yield _fenced(picture.text, "") if picture.read_by == OCR else _quoted(picture.text.strip())


def seen_title(picture: Attachment) -> str:
    """What stands above the words that were found in a picture; empty where there are none."""
    if picture.read_by is None or not picture.text.strip():
        return ""
    if picture.read_by == OCR:
        return _("Text that OCR read out of it:")
    return _("What {model} saw in it:").format(model=one_line(picture.read_by))


def _speaker(message: Message) -> str:
    if message.role is Role.USER:
        return _("You")
    return _code(message.receipt.model) if message.receipt else _("Assistant")


def stop_note(stop: StopReason | None) -> str:
    """Why an answer is not whole; empty where it is."""
    match stop:
        case StopReason.LENGTH:
            return _("This answer was cut at its length limit.")
        case StopReason.CANCELLED:
            return _("This answer was stopped by the user.")
        case StopReason.BLOCKED:
            return _("This answer was stopped by the safety filter.")
        case StopReason.LOOP:
            return _("This answer was ended because it repeated itself.")
        case StopReason.COMPLETE | None:
            return ""


def _contained(text: str) -> str:
    """The text as it is; as a quote, whose end closes everything in it, when it may leave a fence open."""
    return _quoted(text) if _may_leave_fence_open(text) else text


def _may_leave_fence_open(text: str) -> bool:
    """Whether a code fence may still be open where the text ends (CommonMark 0.31.2, section 4.5).

    A fence in a list or a quote also ends with that, which takes a whole parser to tell: what is not plain, a pair of
    fences with equal indents and nothing indented less between them, counts as open.
    """
    opening: re.Match[str] | None = None
    for line in _LINE_END.split(text.expandtabs(4)):
        if opening is None:
            opening = _FENCE.match(line)
            if opening and opening["markers"]:
                return True
        elif _is_closing(line, opening["fence"]):
            if not line.startswith(opening["indent"] + opening["fence"]):
                return True
            opening = None
        elif line.strip(" ") and not line.startswith(opening["indent"]):
            return True
    return opening is not None


def _is_closing(line: str, fence: str) -> bool:
    run = line.strip(" ")
    return len(run) >= len(fence) and set(run) == {fence[0]}


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in _LINE_END.split(text))


def _fenced(text: str, language: str) -> str:
    """The text in a fence longer than any run of backticks in it."""
    fence = "`" * max(3, _longest_backtick_run(text) + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{fence}{language}\n{text}{end}{fence}"


def _code(text: str) -> str:
    """The text as a code span on one line, whatever backticks it holds (CommonMark, section 6.1)."""
    line = one_line(text) or "?"
    fence = "`" * (_longest_backtick_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _language(file_name: str) -> str:
    """A file name's suffix, which is what most highlighters call its language."""
    suffix = re.search(r"\.([A-Za-z0-9+#_-]+)$", file_name)
    return suffix[1] if suffix else ""


def _longest_backtick_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())
