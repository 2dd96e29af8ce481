"""The model that writes speech down: found on the hub, and fetched into its cache as any other file."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hychat.attach.voice import MODEL_FILES
from hychat.catalogue.download import pull
from hychat.catalogue.hub import Listing, list_repository
from hychat.catalogue.pulling import Wanted
from hychat.catalogue.retry import Wait, patiently
from hychat.domain.errors import HubRefused
from hychat.domain.model import Licence, ModelFile, ModelSpec
from hychat.domain.pull import PullEvent
from hychat.messages import _

_FILES: Final = re.compile(r"config\.json|preprocessor_config\.json|tokenizer\.json|vocabulary\.\w+|model\.bin")
"""What faster-whisper reads; not every model has all of them."""


def wanted_speech_model(name: str, repository: str, endpoint: str, *, wait: Wait = time.sleep) -> Wanted:
    """What to fetch for a speech model; asks the hub.

    Raises:
        HubRefused: The hub has no such repository, or it holds no such model.
        HubUnreachable: The hub cannot be asked.
    """
    listing = patiently(lambda: list_repository(repository, None, endpoint), endpoint, wait)
    found = [file for file in listing.files if _FILES.fullmatch(file.name)]
    if missing := {*MODEL_FILES} - {file.name for file in found}:
        raise HubRefused(
            _("{repository} holds no model for faster-whisper: {file} is missing.").format(
                repository=repository, file=min(missing)
            )
        )
    files = tuple(
        ModelFile(file=file.name, repository=repository, bytes=file.bytes, sha256=file.sha256)
        for file in sorted(found, key=lambda file: file.bytes or 0)
    )
    spec = ModelSpec(
        name=name,
        title=_("the speech model {name}").format(name=name),
        family="whisper",
        architecture="whisper",
        files=files,
        capabilities=frozenset({"speech"}),
        licence=_licence(listing, f"{endpoint}/{repository}"),
    )
    return Wanted(name, files, spec)


def _licence(listing: Listing, page: str) -> Licence | None:
    """As the model's page has it."""
    title = listing.licence_name or listing.licence.upper()
    return Licence(id=listing.licence, title=title, url=listing.licence_link or page) if title else None


def pull_speech_model(model: Wanted, cache: Path, endpoint: str, *, wait: Wait = time.sleep) -> Iterator[PullEvent]:
    """Fetch its files, each told by a `PullDone`. Raises as `download.pull`."""
    for file in model.files:
        yield from pull(file, cache, endpoint=endpoint, wait=wait)
