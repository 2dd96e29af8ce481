"""What the data lacks, made up: other ways to say the same, harmless words that sound harmful, refusals."""

import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from random import Random
from typing import Any, Final

import yaml

_MODULES: Final = (
    "argparse", "ast", "asyncio.subprocess", "asyncio.tasks", "base64", "calendar", "codecs", "collections", "csv",
    "email.utils", "functools", "gettext", "glob", "gzip", "heapq", "html", "http.client", "inspect", "ipaddress", "json",
    "locale", "logging", "mimetypes", "ntpath", "os", "pathlib", "pdb", "pickle", "platform", "posixpath", "pprint", "random",
    "re", "shutil", "signal", "smtplib", "socket", "sqlite3.dump", "ssl", "statistics", "subprocess", "tarfile", "tempfile",
    "textwrap", "threading", "traceback", "turtle", "unittest.mock", "urllib.parse", "urllib.request", "uuid", "warnings",
)  # fmt: skip
_CODE_CHARACTERS: Final = 700
_FEWEST_CODE_CHARACTERS: Final = 150
_DEFINITION: Final = re.compile(r"\n(?=def |class )")


@cache
def _frames() -> dict[str, Any]:
    return dict(yaml.safe_load(files("hychat.safety.training").joinpath("frames.yaml").read_text(encoding="utf-8")))


def in_other_words(text: str, language: str, random: Random) -> str:
    """The same request with the small words people put around it."""
    return str(random.choice(_frames()["ways"][language]).replace("{}", text))


def harmless(language: str) -> Iterator[str]:
    """Questions that sound harmful and are not."""
    gap = " " if language == "en" else ""
    for frame in _frames()["harmless"][language]:
        for beginning in frame["beginnings"]:
            yield from (beginning + gap + end for end in frame["ends"])


def about_code() -> Iterator[str]:
    """What programmers ask: functions of Python's own library, with words around them."""
    wishes = _frames()["code"]
    for number, source in enumerate(_functions()):
        yield wishes[number % len(wishes)].replace("{}", source[:_CODE_CHARACTERS])


def _functions() -> Iterator[str]:
    for name in _MODULES:
        parts = _DEFINITION.split(inspect.getsource(import_module(name)))
        yield from (part for part in parts[1:] if len(part) >= _FEWEST_CODE_CHARACTERS)


def refusals(language: str) -> Sequence[str]:
    """What a model says that does not do it."""
    return tuple(_frames()["refusals"][language])
