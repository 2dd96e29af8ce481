"""From what a user names to files on this machine that are known to load."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hychat.catalogue import records
from hychat.catalogue.cache import cached_path, remove
from hychat.catalogue.download import patiently, pull
from hychat.catalogue.find import find, parts_of
from hychat.catalogue.hub import RemoteFile, repository_files
from hychat.catalogue.reference import all_parts, choose, is_reference, leaves_its_folder, read_reference
from hychat.domain.errors import HubRefused, LicenceNotAccepted, ModelNotFound, ModelUnusable, UsageError
from hychat.domain.model import Licence, ModelFile, ModelSpec
from hychat.domain.pull import PullDone, PullEvent
from hychat.messages import _

_MOST_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name stands for on the hub."""

    name: str
    files: tuple[ModelFile, ...]
    """The model first (of a split one all parts), then what goes with it."""
    spec: ModelSpec | None = None
    """None for what the catalogue does not know."""
    was_chosen: bool = False
    """Whether the repository had several and hychat took one."""

    @property
    def licence(self) -> Licence | None:
        """Its licence, where the catalogue knows it."""
        return self.spec.licence if self.spec else None


def wanted(name: str, endpoint: str) -> Wanted:
    """What to fetch for a name of the catalogue or of the hub; asks the hub where the name leaves a choice.

    Raises:
        ModelNotFound: The catalogue has no such name.
        UsageError: It has no file on the hub, or the name breaks the form.
        HubRefused: The hub has no such repository, or no GGUF in it that is meant.
        HubUnreachable: The hub cannot be asked.
    """
    if is_reference(name):
        return _of_the_hub(name, endpoint)
    spec = find(name)
    file = next((file for file in spec.files if file.repository), None)
    if file is None:
        raise UsageError(_("{name} does not come from the hub.").format(name=spec.name))
    extra = (spec.projector,) if spec.projector else ()
    return Wanted(spec.name, (*parts_of(file), *extra), spec)


def _of_the_hub(name: str, endpoint: str) -> Wanted:
    reference = read_reference(name)
    commit, files = patiently(lambda: repository_files(reference.repository, None, endpoint), endpoint)
    by_name = {file.name: file for file in files if not leaves_its_folder(file.name)}
    chosen = choose([*by_name], reference.choice)
    if chosen is None:
        raise _nothing_chosen(reference.repository, reference.choice, [*by_name])
    names = all_parts(chosen)
    if missing := [part for part in names if part not in by_name]:
        raise HubRefused(
            _("{repository} has {file} only in part: {missing} is missing.").format(
                repository=reference.repository, file=chosen, missing=missing[0]
            )
        )
    parts = [_as_model_file(by_name[part], reference.repository, commit) for part in names]
    return Wanted(name, tuple(parts), was_chosen=not reference.choice and len(by_name) > 1)


def _as_model_file(file: RemoteFile, repository: str, commit: str) -> ModelFile:
    return ModelFile(file=file.name, repository=repository, revision=commit, bytes=file.bytes, sha256=file.sha256)


def _nothing_chosen(repository: str, choice: str, names: list[str]) -> HubRefused:
    if not names:
        return HubRefused(
            _("{repository} has no GGUF file.").format(repository=repository),
            hint=_("llama.cpp reads GGUF; look for a repository whose name ends in -GGUF."),
        )
    shown = ", ".join(names[:_MOST_NAMES_SHOWN])
    message = _("{repository} has no file {choice}.") if choice else _("{repository} has several models.")
    return HubRefused(
        message.format(repository=repository, choice=choice),
        hint=_("Name one behind a colon, as in hf:{repository}:{file}. It has: {files}").format(
            repository=repository, file=names[0], files=shown
        ),
    )


def pull_model(model: Wanted, cache: Path, endpoint: str) -> Iterator[PullEvent]:
    """Fetch all files of a model; each is told by a `PullDone`, the model itself first. Raises as `download.pull` does.

    Raises:
        LicenceNotAccepted: Its licence must be agreed to first.
        ModelUnusable: llama.cpp would not load it, or answer with garbage; it was deleted again.
    """
    licence = model.licence
    if licence and licence.needs_acknowledgement and not records.is_accepted(licence.id):
        raise LicenceNotAccepted(
            _("{name} is under the {licence}, which must be agreed to first.").format(
                name=model.name, licence=licence.title
            ),
            hint=_("Read it with `hychat models info {name}`, then: hychat models pull {name} --accept-licence").format(
                name=model.name
            ),
        )
    fetched: list[ModelFile] = []
    for file in model.files:
        recorded = records.known_checksum(file.repository or "", file.file)
        for event in pull(file, cache, endpoint=endpoint, recorded_sha256=recorded):
            if isinstance(event, PullDone) and event.sha256:
                fetched.append(file)
                with suppress(OSError):  # the file counts, not the note
                    records.remember_checksum(file.repository or "", file.file, event.sha256)
            yield event
    _audit(model, cache, fetched)


def _audit(model: Wanted, cache: Path, fetched: Sequence[ModelFile]) -> None:
    """Look the model over; what another tool has put here is left there in any case."""
    from hychat.engine.audit import audit
    from hychat.engine.gguf import read_header

    file = model.files[0]
    path = cached_path(cache, file)
    if path is None:
        raise ModelNotFound(_("{file} vanished while it was fetched.").format(file=file.file))
    try:
        audit(read_header(str(path)))
    except ModelUnusable as error:
        if not fetched:
            raise
        for part in fetched:
            remove(cache, part.repository or "", part.file)
        raise type(error)(_("{reason} It was deleted again.").format(reason=error.message), hint=error.hint) from error
