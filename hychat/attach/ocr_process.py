"""OCR in a process of its own: a page takes seconds, and a thread that reads one could be stopped by nobody."""

import json
import select
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, InputUnreadable, Interrupted
from hychat.messages import _, language

_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from hychat.attach.ocr_host import main; main(sys.argv[2])"
_PACKAGE_ROOT: Final = str(Path(__file__).resolve().parents[2])
_LOOK_SECONDS: Final = 0.1
"""How often one that waits gives a sign of life, and looks whether it was stopped."""
_REMEMBERED: Final = 64
"""Pictures: asked again, a question shows the same ones."""


class OcrProcess:
    """Reads text out of pictures, one at a time. Thread-safe; the process starts with the first picture, and is kept."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._texts: OrderedDict[bytes, str] = OrderedDict()

    def read(self, picture: bytes, name: str, cancel: CancelToken) -> Generator[None, None, str]:
        """The text in a PNG or JPEG, row by row; empty where there is none. Yields while it is waited for.

        Raises:
            InputUnreadable: It is no picture, or a package is missing.
            Interrupted: `cancel` was set; the process is gone.
            HychatError: The process cannot be started, or died.
        """
        digest = sha256(picture).digest()
        while not self._turn.acquire(timeout=_LOOK_SECONDS):
            if cancel.is_set:
                raise Interrupted(_("Stopped."))
            yield
        try:
            if digest not in self._texts:
                self._texts[digest] = yield from self._asked(picture, name, cancel)
                if len(self._texts) > _REMEMBERED:
                    self._texts.popitem(last=False)
            return self._texts[digest]
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(BrokenPipeError), process:
                process.kill()

    def _asked(self, picture: bytes, name: str, cancel: CancelToken) -> Generator[None, None, str]:
        process = self._process = self._process or _start()
        reply = b""
        try:
            with cancel.waking(process.kill):
                reply = yield from _exchanged(process, picture, name)
        finally:
            if cancel.is_set or not reply:  # what it would say yet is no answer to the next picture
                self.close()
        if cancel.is_set:
            raise Interrupted(_("Stopped."))
        if not reply:
            raise HychatError(
                _("What reads the text in pictures ended unexpectedly ({reason}).").format(reason=process.returncode),
                hint=_("Ask again; where it ends each time, there may be too little memory for it."),
            )
        match json.loads(reply):
            case {"text": str(text)}:
                return text
            case refused:
                raise InputUnreadable(refused["error"], hint=refused["hint"])


def _exchanged(process: "subprocess.Popen[bytes]", picture: bytes, name: str) -> Generator[None, None, bytes]:
    """The line that answers; nothing where the process dies."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps({"name": name, "bytes": len(picture)}).encode() + b"\n" + picture)
        process.stdin.flush()
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while not poll.poll(_LOOK_SECONDS * 1000):
        yield
    return process.stdout.readline()


def _start() -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - this Python, and a module of ours
            [sys.executable, "-P", "-c", _BOOT, _PACKAGE_ROOT, language()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C is this process's to handle
        )
    except OSError as error:
        raise HychatError(
            _("What reads the text in pictures cannot be started: {reason}.").format(reason=error.strerror or error)
        ) from error
