"""`@path` in a prompt: found while it is typed, and read when it is sent."""

import re
from pathlib import Path
from typing import Final

_MENTION: Final = re.compile(r"(?<!\S)@(?:\"(?P<quoted>[^\"\n]+)\"|(?P<plain>\S+))")
_TYPED: Final = re.compile(r"(?<!\S)@(?P<path>[^\s\"]*)\Z")
_MOST_CHOICES: Final = 50


def mentioned(text: str) -> list[Path]:
    """The files that a prompt names; what is no file is words."""
    found: list[Path] = []
    for match in _MENTION.finditer(text):
        path = Path(match["quoted"] or match["plain"]).expanduser()
        if _is_file(path) and path not in found:
            found.append(path)
    return found


def file_choices(text: str) -> list[tuple[str, str]]:
    """What a prompt that ends in an unfinished `@path` may become, each with nothing said beside it."""
    typed = _TYPED.search(text)
    if typed is None:
        return []
    folder, _slash, name = typed["path"].rpartition("/")
    base = Path(folder or ("/" if typed["path"].startswith("/") else ".")).expanduser()
    head = text[: typed.start()]
    prefix = f"{folder}/" if folder or typed["path"].startswith("/") else ""
    return [(f"{head}@{_quoted(prefix + entry)}", "") for entry in _entries(base, name)]


def _entries(folder: Path, name: str) -> list[str]:
    """What a folder holds that begins so, folders with a slash; what is hidden only where a dot was typed."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: (not path.is_dir(), path.name.lower()))
    except OSError:
        return []
    wanted = name.lower()
    names = [f"{path.name}/" if path.is_dir() else path.name for path in found if path.name.lower().startswith(wanted)]
    return [entry for entry in names if name.startswith(".") or not entry.startswith(".")][:_MOST_CHOICES]


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path and not path.endswith("/") else path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name
        return False
