"""Asking the hub again after a trouble that may pass: each time after a longer wait, and not for ever."""

import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

from hychat.catalogue.hub import TransientTrouble, as_our_errors, host_of
from hychat.domain.errors import HubUnreachable
from hychat.domain.model import ModelFile
from hychat.domain.pull import PullEvent, PullRetry
from hychat.messages import _

_MOST_RETRIES: Final = 8
"""Running, without a byte between them."""
_FEW_RETRIES: Final = 2
"""Of a hub that was never reached: most likely there is no network."""
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0

_Result = TypeVar("_Result")

Wait = Callable[[float], None]


def until_it_works(
    act: Callable[[], Generator[PullEvent, None, _Result]], endpoint: str, wait: Wait, file: ModelFile | None = None
) -> Generator[PullEvent, None, _Result]:
    """Do it again after a trouble that may pass, each time after a longer wait; the count begins anew when it got on."""
    failures, has_begun = 0, False

    def note() -> None:
        nonlocal failures, has_begun
        failures, has_begun = 0, True

    while True:
        try:
            with as_our_errors(endpoint, file):
                return (yield from _noting(act(), note))
        except TransientTrouble as trouble:
            failures += 1
            if failures > (_FEW_RETRIES if trouble.is_unreachable and not has_begun else _MOST_RETRIES):
                raise _gave_up(trouble, failures, endpoint) from trouble
            seconds = min(_LONGEST_WAIT_SECONDS, trouble.retry_after or _FIRST_WAIT_SECONDS * 2 ** (failures - 1))
            yield PullRetry(str(trouble), seconds)
            wait(seconds)


def patiently(ask: Callable[[], _Result], endpoint: str, wait: Wait = time.sleep) -> _Result:
    """What the hub answers, asked again after a trouble that may pass.

    Raises:
        HubUnreachable: It did not pass.
    """

    def act() -> Generator[PullEvent, None, _Result]:
        yield from ()
        return ask()

    events = until_it_works(act, endpoint, wait)
    while True:
        try:
            next(events)
        except StopIteration as end:
            answer: _Result = end.value
            return answer


def _noting(
    events: Generator[PullEvent, None, _Result], note: Callable[[], None]
) -> Generator[PullEvent, None, _Result]:
    """The same events; `note` is called when one came."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: _Result = end.value
            return result
        note()
        yield event


def _gave_up(trouble: TransientTrouble, tries: int, endpoint: str) -> HubUnreachable:
    message = _("Nothing came from {host} in {count} tries: {reason}.")
    kept = _("What has come is kept, and the same command goes on from there. Another mirror: --mirror URL.")
    never_reached = _("Check the network and the proxy settings, or take another mirror with --mirror.")
    return HubUnreachable(
        message.format(host=host_of(endpoint), count=tries, reason=trouble),
        hint=never_reached if trouble.is_unreachable else kept,
    )
