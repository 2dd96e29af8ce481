"""How a download is shown, and how a licence is agreed to."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from hychat.catalogue import records
from hychat.catalogue.download import is_sha256
from hychat.catalogue.licence import must_be_agreed_to, terms_of
from hychat.catalogue.pace import Pace
from hychat.cli.output import Output
from hychat.cli.stdin import can_ask
from hychat.cli.wrapping import width_of
from hychat.domain.model import Licence, ModelFile
from hychat.domain.numbers import size
from hychat.domain.pull import PullDone, PullEvent, PullProgress, PullRestarted, PullRetry, PullStarted, PullWaiting
from hychat.domain.text import printable
from hychat.messages import _

_BAR_CELLS: Final = 24
_LEAST_BAR_CELLS: Final = 4
_GAP: Final = "  "
_FRAME_SECONDS: Final = 0.1
_CLEAR: Final = "\r\x1b[K"
_WRAP_OFF: Final = "\x1b[?7l"
_WRAP_ON: Final = "\x1b[?7h"


class PullView:
    """A bar with bytes, speed and time left on a terminal; elsewhere a line for each step."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._animates = output.stderr.can_animate
        self._file = ""
        self._pace = Pace()
        self._painted_at = 0.0

    def show(self, events: Iterator[PullEvent]) -> list[PullDone]:
        """Read a download to its end; what it brought."""
        done: list[PullDone] = []
        try:
            for event in events:
                self._take(event)
                if isinstance(event, PullDone):
                    done.append(event)
        except KeyboardInterrupt:
            self._note(_("Stopped. What has come is kept, and the same command goes on from there."))
            raise
        finally:
            self._clear()
        return done

    def _take(self, event: PullEvent) -> None:
        match event:
            case PullStarted(file, done_bytes, total_bytes):
                self._start(file, done_bytes, total_bytes)
            case PullProgress(done_bytes, total_bytes):
                self._paint(done_bytes, total_bytes)
            case PullWaiting(file):
                self._note(_("{file} is being fetched by another program; waiting for it.").format(file=file))
            case PullRetry(reason, wait_seconds):
                again = _("{reason}; trying again in {seconds:.1f} s.")
                self._note(again.format(reason=reason, seconds=wait_seconds))
            case PullRestarted(file):
                self._note(_("{file} changed on the hub; fetching it from its start.").format(file=file))
            case PullDone():
                self._clear()

    def _start(self, file: str, done_bytes: int, total_bytes: int) -> None:
        self._file = file.rpartition("/")[2]
        self._pace = Pace()
        self._pace.begin(done_bytes, total_bytes)
        if done_bytes:
            message = _("Going on with {file}: {done} of {total} are here.")
            self._note(message.format(file=file, done=size(done_bytes), total=size(total_bytes)))
        else:
            self._note(_("Fetching {file} ({total}).").format(file=file, total=size(total_bytes)))

    def _paint(self, done_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        self._pace.move(done_bytes)
        if not self._animates or (now - self._painted_at < _FRAME_SECONDS and done_bytes < total_bytes):
            return
        self._painted_at = now
        figures = self._pace.figures()
        room = self._output.stderr.size().columns - 1 - width_of(figures)
        bar = self._bar(min(_BAR_CELLS, room - len(_GAP)), self._pace.fraction)
        self._write(f"{_CLEAR}{_WRAP_OFF}{bar}{printable(figures)}{_WRAP_ON}")

    def _bar(self, cells: int, share: float) -> str:
        """None where there is no room for more than the figures."""
        if cells < _LEAST_BAR_CELLS:
            return ""
        done = int(cells * share)
        return (
            "━" * done + "─" * (cells - done) if self._output.stderr.is_unicode else f"{'#' * done:<{cells}}"
        ) + _GAP

    def _note(self, text: str) -> None:
        self._clear()
        self._output.note(text)

    def _clear(self) -> None:
        if self._animates and self._painted_at:
            self._write(_CLEAR)
            self._painted_at = 0.0

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._output.stderr.write(text)


class Fetched(NamedTuple):
    """A file of a model, on this machine."""

    path: Path
    file: ModelFile
    sha256: str | None = None
    """As it came; None where it was here before."""

    @classmethod
    def of(cls, done: PullDone, file: ModelFile) -> Self:
        """What a download brought."""
        return cls(Path(done.path), file, done.sha256)

    def as_json(self) -> dict[str, object]:
        """The cache names a large file's content by its checksum, so that one which was here before has one as well."""
        content = self.path.resolve().name
        return {
            "path": str(self.path),
            "repository": self.file.repository,
            "file": self.file.file,
            "bytes": self.path.stat().st_size,
            "sha256": self.sha256 or self.file.sha256 or (content if is_sha256(content) else None),
        }


def tell_fetched(name: str, path: str, files: Sequence[Fetched], output: Output, *, as_json: bool) -> None:
    """Where a model is; as JSON, with each of its files."""
    if as_json:
        output.json({"name": name, "files": [file.as_json() for file in files]})
    else:
        output.text(path)


def agree(licence: Licence | None, output: Output, *, accepted: bool) -> bool:
    """Have a licence agreed to, once for each version of it: by an option, or by a yes on the terminal. Whether it is.

    Where nobody can be asked, or the answer is no, nothing is remembered, and the download says what to do.
    """
    if licence is None or not must_be_agreed_to(licence):
        return True
    if not (accepted or _says_yes(licence, output)):
        return False
    try:
        records.accept(licence.id)
    except OSError as error:
        message = _("That you agreed cannot be remembered ({reason}); you will be asked again.")
        output.warn(message.format(reason=error.strerror or error))
    return True


def _says_yes(licence: Licence, output: Output) -> bool:
    if not can_ask(output):
        return False
    for line in terms_of(licence).split("\n"):
        output.paragraph(line)
    return ask_yes(_("Do you agree?"), output)


def ask_yes(question: str, output: Output) -> bool:
    """A yes on the terminal; anything else is a no."""
    with suppress(OSError):
        output.stderr.write(printable(f"{question} [y/N] "))
    answer = sys.stdin.readline() if sys.stdin else ""
    return answer.strip().lower() in {"y", "yes", "是", "好", "同意"}
