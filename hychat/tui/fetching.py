"""A model that is fetched behind the chat."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError, Interrupted
from hychat.domain.pull import PullDone, PullEvent, PullProgress, PullRestarted, PullRetry, PullStarted, PullWaiting
from hychat.messages import _
from hychat.tui.turns import batches

if TYPE_CHECKING:
    from hychat.catalogue.pulling import Wanted


class State(Enum):
    """How a download stands."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class Fetch:
    """One download, of all files of a model. Its licence was agreed to where that is needed."""

    def __init__(self, model: "Wanted", endpoint: str) -> None:
        from hychat.catalogue.pace import Pace

        self.model = model
        self.state = State.RUNNING
        self.error: HychatError | None = None
        """Why it failed."""
        self._endpoint = endpoint
        self._cancel = CancelToken()
        self._pace = Pace()
        self._trouble = ""
        """What it waits for."""
        self._number = 0
        """The file that is fetched, of all."""
        self._file_bytes = 0
        self._bytes_before = 0
        """Of the files that are here."""

    @property
    def name(self) -> str:
        """The model's, as users type it."""
        return self.model.name

    @property
    def title(self) -> str:
        """The model's, for people."""
        return self.model.spec.title if self.model.spec else self.model.name

    @property
    def is_running(self) -> bool:
        """Whether more is to come."""
        return self.state is State.RUNNING

    # Running

    def events(self) -> Iterator[PullEvent]:
        """For a thread. Raises as `pull_model`."""
        with suppress(Interrupted):
            for event in self._pulled():
                if self._cancel.is_set:
                    return
                yield event

    def _pulled(self) -> Iterator[PullEvent]:
        from hychat.catalogue.cache import hub_cache_folder
        from hychat.catalogue.pulling import pull_model

        return pull_model(self.model, hub_cache_folder(), self._endpoint, is_agreed=True, wait=self._wait)

    def _wait(self, seconds: float) -> None:
        """Between two tries.

        Raises:
            Interrupted: The user stopped the download.
        """
        woken = threading.Event()
        with self._cancel.waking(woken.set):
            if woken.wait(seconds):
                raise Interrupted(_("Stopped."))

    def stop(self) -> None:
        """Leave what has come, to go on from there another time."""
        self._cancel.set()

    def take(self, event: PullEvent) -> None:
        """Note what happened."""
        self._trouble = ""
        match event:
            case PullStarted(_, done_bytes, total_bytes):
                self._file_bytes = total_bytes
                self._pace.begin(self._bytes_before + done_bytes, self._bytes_before + total_bytes + self._bytes_after)
            case PullProgress(done_bytes, _):
                self._pace.move(self._bytes_before + done_bytes)
            case PullWaiting():
                self._trouble = _("another program is fetching it; waiting for it")
            case PullRetry(reason, wait_seconds):
                self._trouble = _("{reason}; trying again in {seconds:.1f} s").format(
                    reason=reason, seconds=wait_seconds
                )
            case PullRestarted():
                self._trouble = _("it changed on the hub; fetching it from its start")
            case PullDone():
                self._bytes_before += self._file_bytes or self.model.files[self._number].bytes or 0
                self._file_bytes = 0
                self._number += 1

    @property
    def _bytes_after(self) -> int:
        """Of the files that are fetched later, as far as anybody has said."""
        return sum(file.bytes or 0 for file in self.model.files[self._number + 1 :])

    # What is told of it

    @property
    def fraction(self) -> float:
        """How much is here, 0 to 1; it never goes back."""
        return self._pace.fraction

    @property
    def percent(self) -> str:
        """How much is here, for people."""
        return f"{100 * self.fraction:.0f} %"

    def headline(self) -> str:
        """What is fetched, and what keeps it from coming."""
        text = _("Fetching {title}").format(title=self.title)
        if (count := len(self.model.files)) > 1:
            place = _("file {number} of {count}").format(number=min(self._number + 1, count), count=count)
            text = f"{text} · {place}"
        return f"{text}: {self._trouble}" if self._trouble else text

    def figures(self) -> str:
        """Bytes, speed and time left; empty before anything is known."""
        return self._pace.figures() if self._pace.total_bytes else ""


class SpeechFetch(Fetch):
    """The model that writes speech down: nobody talks to it."""

    def _pulled(self) -> Iterator[PullEvent]:
        from hychat.catalogue.cache import hub_cache_folder
        from hychat.catalogue.speech import pull_speech_model

        return pull_speech_model(self.model, hub_cache_folder(), self._endpoint, wait=self._wait)


class FetchViewer(Protocol):
    """A screen that tells how the download gets on."""

    def show_fetch(self, fetch: Fetch) -> None:
        """Something of it has changed."""
        ...

    def end_fetch(self, fetch: Fetch) -> None:
        """It is over; told to the topmost screen only."""
        ...


class Fetching:
    """The download behind the chat; there is one at a time."""

    def __init__(self, viewers: Callable[[], list[FetchViewer]]) -> None:
        """`viewers` are the screens to tell, the topmost last."""
        self._viewers = viewers
        self.now: Fetch | None = None
        """The one that runs."""

    async def run(self, fetch: Fetch) -> None:
        """Fetch to the end."""
        self.now = fetch
        self._show(fetch)
        try:
            async for batch in batches(fetch.events()):
                if fetch.state is State.STOPPED:
                    return
                for event in batch:
                    fetch.take(event)
                self._show(fetch)
            self._end(fetch, State.DONE)
        except HychatError as error:
            fetch.error = error
            self._end(fetch, State.FAILED)

    def stop(self) -> None:
        """Stop it at once; its thread may wait some seconds more for the network."""
        if self.now is not None:
            self.now.stop()
            self._end(self.now, State.STOPPED)

    def _show(self, fetch: Fetch) -> None:
        for viewer in self._viewers():
            viewer.show_fetch(fetch)

    def _end(self, fetch: Fetch, state: State) -> None:
        if not fetch.is_running:
            return
        fetch.state, self.now = state, None
        self._show(fetch)
        for viewer in self._viewers()[-1:]:
            viewer.end_fetch(fetch)
