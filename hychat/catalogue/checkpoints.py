"""Checkpoints of the hub: a repository's config, tokenizer and safetensors, fetched into the cache as one snapshot."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hychat.catalogue.download import pull
from hychat.catalogue.hub import Listing, list_repository
from hychat.catalogue.licence import must_be_agreed_to
from hychat.catalogue.reference import PREFIX
from hychat.catalogue.retry import Wait, patiently
from hychat.domain.errors import HubRefused, LicenceNotAccepted
from hychat.domain.model import Licence, ModelFile
from hychat.domain.pull import PullEvent
from hychat.messages import _

_TYPED: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)
_WANTED: Final = re.compile(r"[^/\\]+\.(?:safetensors|json|tiktoken|jinja)|README\.md|LICENSE[^/\\]*", re.ASCII)
_CONFIG: Final = "config.json"
_WEIGHTS: Final = ".safetensors"
_OWN_TERMS: Final = "other"


@dataclass(frozen=True, slots=True)
class WantedCheckpoint:
    """What a name stands for on the hub."""

    repository: str
    files: tuple[ModelFile, ...]
    """The config first, the weights last: what is small and wrong is seen early."""
    licence: Licence | None
    """Where the repository's page names terms of its own."""


def is_repository(typed: str) -> bool:
    """Whether it has the form `owner/repository[@revision]`, with or without `hf:` before it."""
    return _TYPED.fullmatch(typed.removeprefix(PREFIX)) is not None and ".." not in typed


def wanted_checkpoint(typed: str, endpoint: str, *, wait: Wait = time.sleep) -> WantedCheckpoint:
    """What to fetch for `owner/repository[@revision]`, of the form that `is_repository` knows.

    Raises:
        HubRefused: The hub has no such repository or revision, or no checkpoint in it.
        HubUnreachable: The hub cannot be asked.
    """
    repository, _at, revision = typed.removeprefix(PREFIX).partition("@")
    listing = patiently(lambda: list_repository(repository, revision or None, endpoint), endpoint, wait)
    names = [file.name for file in listing.files]
    if _CONFIG not in names or not any(name.endswith(_WEIGHTS) and "/" not in name for name in names):
        raise HubRefused(
            _("{repository} has no checkpoint: no config.json with safetensors files.").format(repository=repository),
            hint=_("A repository of GGUFs needs no conversion: hychat models pull hf:{repository}").format(
                repository=repository
            ),
        )
    files = [
        ModelFile(file.name, repository, revision=listing.commit, bytes=file.bytes, sha256=file.sha256)
        for file in listing.files
        if _WANTED.fullmatch(file.name)
    ]
    files.sort(key=lambda file: (file.file != _CONFIG, file.file.endswith(_WEIGHTS), file.file))
    return WantedCheckpoint(repository, tuple(files), _licence_of(repository, listing))


def _licence_of(repository: str, listing: Listing) -> Licence | None:
    """A licence with a name of its own has terms that hychat cannot know, so they are to be read and agreed to."""
    if listing.licence != _OWN_TERMS:
        return None
    title = listing.licence_name or _("a licence of its own")
    link = listing.licence_link
    url = link if link.startswith(("https://", "http://")) else f"https://huggingface.co/{repository}"
    terms = _("{repository} is under {title}. Read it before you go on; its text counts.")
    text = terms.format(repository=repository, title=title)
    return Licence(f"{repository}:{listing.licence_name or _OWN_TERMS}", title, url, terms={"en": text, "zh": text})


def pull_checkpoint(
    wanted: WantedCheckpoint, cache: Path, endpoint: str, *, is_agreed: bool = False, wait: Wait = time.sleep
) -> Iterator[PullEvent]:
    """Fetch all files; each is told by a `PullDone`, the config first. All lie in one folder. Raises as `download.pull` does.

    Raises:
        LicenceNotAccepted: Its licence must be agreed to first.
    """
    licence = wanted.licence
    if licence and not is_agreed and must_be_agreed_to(licence):
        message = _("{name} is under the {licence}, which must be agreed to first.")
        raise LicenceNotAccepted(
            message.format(name=wanted.repository, licence=licence.title),
            hint=_("Read it at {url}, then give the same command with --accept-licence.").format(url=licence.url),
        )
    for file in wanted.files:
        yield from pull(file, cache, endpoint=endpoint, wait=wait)
