"""`@path` in a prompt: found while it is typed, and read when it is sent."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from hychat.attach.open import address_refused, is_address
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import AttachedPart
from hychat.domain.text import readable
from hychat.messages import _

_CHINESE: Final = "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
"""Ideographs, kana, and the punctuation that goes with them."""
_START: Final = rf"(?:(?<![^\W{_CHINESE}])(?<![.+/@\\-]))@"
"""Not after a letter, as in an address of mail; Chinese leaves no space before it."""
_MENTION: Final = re.compile(rf"{_START}(?:\"(?P<quoted>[^\"\n]+)\"|(?P<plain>[^\s\"][^\s]{{0,1023}}))")
_REST: Final = re.compile(rf"(?::\d+)*(?:['’]s)?(?:[?!.,;:)\]}}>'\"`*]*(?:\Z|[{_CHINESE}\u2010-\u2027])|[,;]+@)")
"""What may follow a path in a sentence; the number of a line, too."""
_SUFFIX: Final = re.compile(
    r"\.(?:png|jpe?g|gif|webp|avif|bmp|tiff?|heic|svg|wav|mp3|ogg|flac|m4a|pdf|docx?|rtf|odt|pptx?|xlsx?|html?|md|txt|csv"
    r"|tsv|json|jsonl|ya?ml|toml|xml|log|py|js|ts|c|h|cpp|rs|go|java|sh|sql|tex)\Z",
    re.IGNORECASE,
)
"""Of what people attach: who writes it behind an @ means a file."""
_TYPED: Final = re.compile(rf"{_START}(?:\"(?P<quoted>[^\"\n]*)|(?P<plain>[^\s\"]*))\Z")
_MOST_CHOICES: Final = 50


class Mention(NamedTuple):
    """A file that a prompt names, and where it stands in the text."""

    path: Path
    start: int
    end: int


def mentioned(text: str, attached: Iterable[AttachedPart] = ()) -> list[Mention]:
    """The files that a prompt names, each once, but for those that are attached; what cannot be meant as one is words.

    Raises:
        InputUnreadable: One is not there.
    """
    sources = {part.attachment.source for part in attached if part.attachment.source}
    found: dict[Path, Mention] = {}
    for mention in _mentions(text, sources):
        if _source(mention.path) not in sources:
            found.setdefault(mention.path, mention)
    return [*found.values()]


def _source(path: Path) -> str:
    """As an attachment knows it."""
    return readable(str(path.absolute()))


def in_words(text: str, spoken: Mapping[Mention, str]) -> str:
    """The text with the words of recordings in the place of their names."""
    for mention in sorted(spoken, key=lambda mention: mention.start, reverse=True):
        text = text[: mention.start] + spoken[mention] + text[mention.end :]
    return text


def _mentions(text: str, sources: Container[str]) -> Iterator[Mention]:
    at = 0
    while (match := _MENTION.search(text, at)) is not None:
        typed = match["quoted"] or match["plain"]
        name = _named(typed, sources, is_quoted=match["quoted"] is not None)
        at = match.end() if match["quoted"] else match.start("plain") + len(name)
        if name:
            yield Mention(Path(name).expanduser(), match.start(), at)


def _named(typed: str, sources: Container[str], *, is_quoted: bool) -> str:
    """The path that begins what was typed, of a file that is there or among the sources; nothing where it is words.

    Raises:
        InputUnreadable: It can only be meant as a path, and there is no such file.
    """
    ends = [len(typed)] if is_quoted else [end for end in range(len(typed), 0, -1) if _REST.match(typed, end)]
    names = [typed[:end] for end in ends]
    for name in names:
        if _is_here(name, sources):
            return name
    for name in names:
        if is_address(name):
            raise address_refused(name)
        if _is_meant_as_path(name):
            raise InputUnreadable(
                _("There is no file {path}.").format(path=readable(name)),
                hint=_("If no file is meant, write it without the @."),
            )
    return ""


def _is_here(name: str, sources: Container[str]) -> bool:
    """Whether there is such a file; a folder counts, and is refused where it is opened, if it was written as a path."""

    def is_here(path: Path) -> bool:
        return _source(path) in sources or (path.exists() and ("/" in name or not path.is_dir()))

    return _is(name, is_here)


def _is_meant_as_path(name: str) -> bool:
    """Whether it begins or ends as paths do, or stands in a folder that is there."""
    folder, slash, _file = name.rpartition("/")
    return (
        bool(_SUFFIX.search(name))
        or name.startswith(("/", "./", "../", "~/"))
        or bool(slash and _is(folder, Path.is_dir))
    )


def _is(name: str, what: Callable[[Path], bool]) -> bool:
    """Whether what a user calls so is that."""
    try:
        return what(Path(name).expanduser())
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL in it, a home that nobody has
        return False


def file_choices(text: str) -> list[tuple[str, str]]:
    """What a prompt that ends in an unfinished `@path` may become, each with nothing said beside it."""
    typed = _TYPED.search(text)
    if typed is None:
        return []
    head = text[: typed.start()]
    is_quoted = typed["quoted"] is not None
    paths = path_choices(typed["quoted"] if is_quoted else typed["plain"])
    return [(f"{head}@{_quoted(path, is_quoted=is_quoted)}", "") for path in paths]


def path_choices(typed: str) -> list[str]:
    """The paths that one which is being typed may become; folders end in a slash."""
    folder, _slash, name = typed.rpartition("/")
    prefix = f"{folder}/" if folder or typed.startswith("/") else ""
    return [prefix + entry for entry in _entries(Path(prefix or ".").expanduser(), name)]


def _entries(folder: Path, name: str) -> list[str]:
    """What a folder holds that begins so, folders with a slash; what is hidden only where a dot was typed."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: (not path.is_dir(), path.name.lower()))
    except OSError:
        return []
    wanted = name.lower()
    names = [f"{path.name}/" if path.is_dir() else path.name for path in found if path.name.lower().startswith(wanted)]
    return [entry for entry in names if name.startswith(".") or not entry.startswith(".")][:_MOST_CHOICES]


def _quoted(path: str, *, is_quoted: bool) -> str:
    """Behind a folder more is typed, so its quotes stay open."""
    if not is_quoted and " " not in path:
        return path
    return f'"{path}' if path.endswith("/") else f'"{path}"'
