"""The process of one task: arguments come as JSON on stdin, what it tells goes out as lines of JSON."""

import json
import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any, Final

from hychat.messages import choose_language

BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from hychat.engine.task_host import main; main(sys.argv[2], sys.argv[3])"
)
PACKAGE_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

Tell = Callable[..., None]
"""Tells progress, by keywords that are JSON."""


class CannotDo(Exception):
    """Why a task cannot be done, in words for the user, with what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def main(name: str, language: str) -> None:
    """Run the task of this name: `run(tell, **arguments)` of its module returns what is told at the end."""
    choose_language(language)
    os.umask(0o077)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # llama.cpp prints; its lines are the log's
    arguments = json.load(sys.stdin.buffer)
    _end_with_parent(os.getppid())
    from hychat.engine.llama.bindings import BindingsUnavailable  # loading the library may fail

    try:
        run = import_module(f"hychat.engine.llama.tasks.{name}").run
        done = run(lambda **progress: _tell(out, progress=progress), **arguments)
    except (CannotDo, BindingsUnavailable) as error:
        _tell(out, failed=str(error), hint=getattr(error, "hint", ""))
    else:
        _tell(out, done=done)
    os._exit(0)  # the system frees memory faster than llama.cpp does


def _tell(out: IO[bytes], **line: Any) -> None:
    try:
        out.write(json.dumps(line).encode() + b"\n")
    except BrokenPipeError:  # nobody waits for it any more
        os._exit(1)


def _end_with_parent(parent: int) -> None:
    """Long work is not to go on for nobody; where the parent is killed, no pipe need be written to for hours."""

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
