"""Writing one setting into the config file: the characters of its value change, and nothing else does.

The file is the user's own, with their comments, order and spacing. A YAML writer that keeps comments still drops those
that follow a removed key, so the text is edited in place, by the places that the parser reports.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hychat.config.load import UNSAID, Entry, entries, read_text
from hychat.config.schema import key_named
from hychat.domain.errors import ConfigError
from hychat.messages import _
from hychat.paths import private_folder


def set_value(file: Path, name: str, text: str) -> None:
    """Make the config file say this for a key.

    Raises:
        ConfigError: There is no such key, it does not take the value, or the file cannot be read or written.
    """
    key_named(name, "config set").read(text, "config set")
    before = read_text(file)
    said = entries(before, file)
    after = _appended(before, said, name, text)
    for entry in said:
        if entry.name == name:
            after = _replaced(before, entry, text)
    _write_checked(file, after, {**_texts(said), name: text})


def unset(file: Path, name: str) -> None:
    """Make the config file say nothing for a key; nothing happens where it says nothing already.

    A key that hychat does not know is removed as well: that is how a misspelt one is got rid of.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    before = read_text(file)
    said = entries(before, file)
    for entry in said:
        if entry.name == name:
            _write_checked(file, _removed(before, entry), _texts(other for other in said if other is not entry))
            return
    key_named(name, "config unset")


def _texts(said: Iterable[Entry]) -> dict[str, str | None]:
    return {entry.name: entry.text for entry in said}


def _replaced(document: str, entry: Entry, text: str) -> str:
    old = document[entry.value_start : entry.value_end]
    before = "" if old else " "  # an empty value ends right behind the colon
    after = "\n" if old.endswith("\n") else ""  # a block of lines covers its last line break
    return document[: entry.value_start] + before + _scalar(text) + after + document[entry.value_end :]


def _appended(document: str, said: Sequence[Entry], name: str, text: str) -> str:
    indent = " " * min((entry.column for entry in said), default=0)
    separator = "" if document.endswith("\n") or not document else "\n"
    return f"{document}{separator}{indent}{name}: {_scalar(text)}\n"


def _removed(document: str, entry: Entry) -> str:
    """Without the key's lines, the comment behind its value included; a comment above it stays."""
    start = entry.key_start - entry.column
    line_break = document.find("\n", entry.value_end - 1)
    return document[:start] + ("" if line_break < 0 else document[line_break + 1 :])


def _scalar(text: str) -> str:
    """The text on one line of YAML, quoted only where it must be: numbers stand as they were typed."""
    import yaml  # 8 ms

    style = '"' if "\n" in text else "'" if text in UNSAID else None
    node = yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)
    dumped = yaml.serialize(node, Dumper=yaml.dumper.BaseDumper, allow_unicode=True, width=len(text) * 10 + 80)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _write_checked(file: Path, document: str, wanted: Mapping[str, str | None]) -> None:
    """Write the document if it says what it should; YAML can be laid out in ways that an edit in place breaks."""
    try:
        found = _texts(entries(document, file))
    except ConfigError:
        found = {}
    if found != wanted:
        raise ConfigError(
            _("{file} is laid out in a way that cannot be edited automatically.").format(file=file),
            hint=_("Edit it by hand, or write each key on its own line as `key: value`."),
        )
    _write(file.resolve(), document)  # behind a link stands the file that the user keeps elsewhere


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        private_folder(file.parent)
        _write_new(new, text)
        new.replace(file)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(_("{file} cannot be written: {reason}.").format(file=file, reason=reason)) from error
    finally:
        with suppress(OSError):
            new.unlink()


def _write_new(new: Path, text: str) -> None:
    with open(new, "w", encoding="utf-8", newline="", opener=_open_private) as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
