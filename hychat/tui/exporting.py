"""A conversation as a new file in the current folder."""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from hychat.domain.errors import UsageError
from hychat.domain.message import Conversation
from hychat.messages import _
from hychat.session.export import to_html, to_json, to_markdown

WRITERS: Final[Mapping[str, Callable[[Conversation], str]]] = {
    ".md": to_markdown,
    ".html": to_html,
    ".json": to_json,
}
"""By the suffix of the file."""


def file_name(conversation_id: str, suffix: str, number: int = 1) -> str:
    """What the file is called; from the second on with its number."""
    return f"hychat-{conversation_id}{f'-{number}' if number > 1 else ''}{suffix}"


def export(conversation: Conversation, suffix: str) -> Path:
    """Write the conversation; a file that is there stays as it is, and this one gets a number.

    Raises:
        UsageError: The folder cannot be written to.
    """
    text = WRITERS[suffix](conversation)
    for number in count(1):
        path = Path(file_name(conversation.id, suffix, number))
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(
                _("{path} cannot be written: {reason}.").format(path=path, reason=error.strerror or error)
            ) from error
        return path.absolute()
    raise AssertionError  # numbers do not end
