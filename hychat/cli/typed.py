"""What is typed on the command line: read as text, and completed by the shell."""

import os
import re
from pathlib import Path

from hychat.config.schema import KEYS, Choice, Truth
from hychat.domain.errors import UsageError
from hychat.messages import _


def file(argument: str) -> Path:
    """The name of a file.

    Raises:
        UsageError: It is empty, as where a shell's variable is not set.
    """
    if not argument:
        raise UsageError(_("An empty name is no file's."))
    return Path(argument)


def model_names(incomplete: str) -> list[tuple[str, str]]:
    """Completes the name of a model."""
    from hychat.catalogue.find import known_models

    return [(spec.name, _harmless(spec.title)) for spec in known_models() if spec.name.startswith(incomplete)]


def chat_ids(incomplete: str) -> list[tuple[str, str]]:
    """Completes the id of a chat."""
    from hychat.history.store import HistoryStore
    from hychat.paths import history_file

    path = os.fspath(history_file())
    if not os.path.exists(path):  # noqa: PTH110 - asking must not create it
        return []
    history = HistoryStore(path)
    try:
        return [(chat.id, _harmless(chat.title)) for chat in history.recent() if chat.id.startswith(incomplete)]
    finally:
        history.close()


def key_names(incomplete: str) -> list[str]:
    """Completes the name of a key of the config file."""
    return [name for name in KEYS if name.startswith(incomplete)]


def values_of_key(name: str, incomplete: str) -> list[str]:
    """Completes the value of a key that takes one of a few words."""
    match KEYS[name].kind if name in KEYS else None:
        case Choice(values):
            words: tuple[str, ...] = values
        case Truth():
            words = ("true", "false")
        case _:
            words = ()
    return [str(word) for word in words if word.startswith(incomplete.lower())]


def languages(incomplete: str) -> list[str]:
    """Completes the language that hychat speaks."""
    return values_of_key("language", incomplete)


def _harmless(text: str) -> str:
    """Words alone: zsh evaluates what is shown beside a completion as code, and a title may have any text."""
    return " ".join(re.findall(r"[\w.,!?，。！？-]+", text))
