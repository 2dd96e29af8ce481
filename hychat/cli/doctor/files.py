"""The user's files: settings, chats, models and KV states."""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hychat.catalogue.cache import PARTIAL_SUFFIX, hub_cache_folder
from hychat.catalogue.find import known_models
from hychat.cli.doctor.access import barrier
from hychat.cli.doctor.finding import Finding, Surroundings, both, error, ok, warn
from hychat.config.load import what_is_said
from hychat.domain.errors import CatalogueError, ConfigError, HistoryError
from hychat.domain.numbers import size
from hychat.messages import _, ngettext
from hychat.paths import config_file, history_file, states_folder

_LITTLE_DISK_BYTES: Final = 1 << 30
_SEVERAL: Final = 5
"""How many of a file's troubles are enough to tell."""


def config(_around: Surroundings) -> Iterator[Finding]:
    """Whether the settings can be read, from the file and from the environment."""
    file = config_file()
    details: dict[str, object] = {"file": str(file), "exists": os.path.exists(file)}  # noqa: PTH110 - Path may raise
    try:
        said = what_is_said(file, os.environ)
    except ConfigError as problem:
        yield error("config", problem.message, _edit(problem, file), **details)
        return
    details["set"] = {name: origin for name, (_value, origin) in said.items()}
    if said:
        places = sorted({str(file) if origin == "file" else origin for _value, origin in said.values()})
        message = ngettext("{count} setting, by {places}", "{count} settings, by {places}", len(said))
        yield ok("config", message.format(count=len(said), places=", ".join(places)), **details)
    else:
        yield ok("config", _("nothing is set; {file} would hold it").format(file=file), **details)


def _edit(problem: ConfigError, file: Path) -> str:
    """The command that leads to the bad value: it is a variable's, or stands in the file, which may be closed."""
    place = problem.message.partition(":")[0]
    if place in os.environ:
        return f"unset {place}"
    if (closed := barrier(file, is_file=True)) is not None:
        return closed.way_in("XDG_CONFIG_HOME")
    return "\n".join(filter(None, [problem.hint, f"${{EDITOR:-nano}} {shlex.quote(str(file))}"]))


def catalogue(_around: Surroundings) -> Iterator[Finding]:
    """Whether the models that hychat knows, and the user's own, can be read."""
    try:
        names = [spec.name for spec in known_models()]
    except CatalogueError as problem:
        yield error("catalogue", problem.message, problem.hint)
        return
    message = ngettext("{count} model is known", "{count} models are known", len(names))
    yield ok("catalogue", message.format(count=len(names)), names=names)


def history(_around: Surroundings) -> Iterator[Finding]:
    """Whether the chats can be opened, and their file is whole."""
    from hychat.history.store import HistoryStore  # brings sqlite3

    file = history_file()
    if (closed := barrier(file, is_file=True)) is not None:
        yield error("history", str(closed), closed.way_in("XDG_DATA_HOME"), file=str(file))
        return
    if not file.exists():
        yield ok("history", _("there are no chats yet; {file} would hold them").format(file=file), file=str(file))
        return
    store = HistoryStore(str(file))
    try:
        store.recent(1)  # opens it as a chat would, with the tables it needs
        problems, count = _looked_through(file)
    except HistoryError as problem:
        yield error("history", problem.message, _away(file) if _is_damage(problem) else problem.hint, file=str(file))
        return
    finally:
        store.close()
    size_bytes = file.stat().st_size
    details = {"file": str(file), "bytes": size_bytes, "chats": count, "problems": problems}
    if problems:
        yield error(
            "history",
            _("The history {file} is damaged: {problem}").format(file=file, problem=problems[0]),
            _whole_again(file),
            **details,
        )
    else:
        message = ngettext("{count} chat, {size} in {file}", "{count} chats, {size} in {file}", count)
        yield ok("history", message.format(count=count, size=size(size_bytes), file=file), **details)


def _looked_through(file: Path) -> tuple[list[str], int]:
    """What SQLite finds wrong in the file, and how many chats it has."""
    from hychat.history.database import connect, database_errors_told

    with database_errors_told(str(file)):
        connection = connect(str(file))
        try:
            told = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_SEVERAL})")]
            count = connection.execute("SELECT count(*) FROM conversations").fetchone()[0]
        finally:
            connection.close()
    return [] if told == ["ok"] else told, count


def _is_damage(problem: HistoryError) -> bool:
    """Whether the file itself is ill: the base class is raised of SQLITE_NOTADB and SQLITE_CORRUPT alone."""
    from sqlite3 import DatabaseError

    return type(problem.__cause__) is DatabaseError


def _away(file: Path) -> str:
    """The command that makes room for a new history, and keeps the damaged one."""
    name = shlex.quote(str(file))
    return f"mv {name} {name}.damaged"


def _whole_again(file: Path) -> str:
    """The command that saves what can be read as well."""
    name = shlex.quote(str(file))
    return f"{_away(file)} && sqlite3 {name}.damaged .recover | sqlite3 {name}"


def models(_around: Surroundings) -> Iterator[Finding]:
    """What the models take on the disk they share with other tools, and what is free there."""
    folder = hub_cache_folder()
    if (closed := barrier(folder)) is not None:
        yield warn("models", str(closed), closed.way_in("HF_HUB_CACHE"), folder=str(folder))
        return
    files = [file for place in folder.glob("models--*") for file in _files_in(place)]
    total = sum(count for _name, count in files)
    partial = sum(count for name, count in files if name.endswith(PARTIAL_SUFFIX))
    message = _("{size} in {folder}").format(size=size(total), folder=folder)
    if partial:
        message += _(" ({size} of it unfinished downloads: hychat models prune)").format(size=size(partial))
    yield _on_disk("models", message, folder, "hychat models prune", bytes=total, partial_bytes=partial)


def states(_around: Surroundings) -> Iterator[Finding]:
    """What the KV states of chats take."""
    folder = states_folder()
    if (closed := barrier(folder)) is not None:
        yield warn("states", str(closed), closed.way_in("XDG_CACHE_HOME"), folder=str(folder))
        return
    count = sum(count for _name, count in _files_in(folder))
    message = _("{size} of kept chat contexts in {folder}").format(size=size(count), folder=folder)
    yield _on_disk("states", message, folder, f"rm -r {shlex.quote(str(folder))}", bytes=count)


def _files_in(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file below a folder with its size; links are not followed, so nothing counts twice."""
    for place, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - a cache may hold many, and pathlib is slow
            if not os.path.islink(path):  # noqa: PTH114
                yield name, os.lstat(path).st_size


def _on_disk(check: str, message: str, folder: Path, tidy_up: str, **details: object) -> Finding:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    message = both(message, _("{size} free there").format(size=size(free)))
    details |= {"folder": str(folder), "free_bytes": free}
    return warn(check, message, tidy_up, **details) if free < _LITTLE_DISK_BYTES else ok(check, message, **details)
