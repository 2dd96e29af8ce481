"""Workers on other machines: whether those that a question would use answer."""

import os
from collections.abc import Iterator

from hychat.cli.doctor.finding import Finding, Surroundings, error, ok
from hychat.config.load import load
from hychat.engine.workers import endpoints, not_answering, silent
from hychat.messages import _, listed
from hychat.paths import config_file


def workers(around: Surroundings) -> Iterator[Finding]:
    """Call each; nothing to say where there are none. A worker that serves somebody else answers too."""
    places = endpoints(load(config_file(), os.environ).over(around.flags).rpc)
    gone = silent(places)
    answering = [str(place) for place in places if place not in gone]
    if gone:
        problem = not_answering(gone)
        yield error("workers", problem.message, problem.hint, answering=answering, silent=[*map(str, gone)])
    elif places:
        yield ok("workers", _("listening at {places}").format(places=listed(answering)), answering=answering)
