"""From what a user names to files on this machine that are known to load."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hychat.catalogue import records
from hychat.catalogue.cache import remove_names, repository_folder
from hychat.catalogue.download import pull
from hychat.catalogue.find import find, parts_of
from hychat.catalogue.hub import RemoteFile, repository_files
from hychat.catalogue.licence import must_be_agreed_to
from hychat.catalogue.reference import (
    all_parts,
    choose,
    fitting_projector,
    is_first_part,
    is_projector,
    is_reference,
    leaves_its_folder,
    read_reference,
)
from hychat.catalogue.retry import Wait, patiently
from hychat.domain.errors import HubRefused, LicenceNotAccepted, ModelDamaged, ModelRefused, ModelUnusable, UsageError
from hychat.domain.model import Licence, ModelFile, ModelSpec
from hychat.domain.pull import PullDone, PullEvent, PullStarted
from hychat.messages import _, ngettext

if TYPE_CHECKING:
    from hychat.engine.gguf import GgufHeader

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
    unfitting_projectors: tuple[str, ...] = ()
    """Those of the repository, where none has the model's name."""

    @property
    def part_count(self) -> int:
        """Files that the model itself is in, without what goes with it."""
        return len(all_parts(self.files[0].file))

    @property
    def licence(self) -> Licence | None:
        """Its licence, where the catalogue knows it."""
        return self.spec.licence if self.spec else None


def wanted(name: str, endpoint: str, *, wait: Wait = time.sleep) -> Wanted:
    """What to fetch for a name of the catalogue or of the hub; asks the hub where the name leaves a choice.

    Raises:
        ModelNotFound: The catalogue has no such name.
        UsageError: It has no file on the hub, or the name breaks the form.
        HubRefused: The hub has no such repository, or no GGUF in it that is meant.
        HubUnreachable: The hub cannot be asked.
    """
    if is_reference(name):
        return _of_the_hub(name, endpoint, wait)
    spec = find(name)
    file = next((file for file in spec.files if file.repository), None)
    if file is None:
        raise UsageError(_("{name} does not come from the hub.").format(name=spec.name))
    extra = (spec.projector,) if spec.projector else ()
    return Wanted(spec.name, (*parts_of(file), *extra), spec)


def _of_the_hub(name: str, endpoint: str, wait: Wait) -> Wanted:
    reference = read_reference(name)
    commit, listed = patiently(lambda: repository_files(reference.repository, None, endpoint), endpoint, wait)
    by_name = {file.name: file for file in listed if not leaves_its_folder(file.name)}
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
    sight = fitting_projector(chosen, [*by_name])
    files = [
        _as_model_file(by_name[each], reference.repository, commit) for each in (*names, *([sight] if sight else ()))
    ]
    models = [each for each in by_name if is_first_part(each) and not is_projector(each)]
    others = () if sight else tuple(filter(is_projector, by_name))
    return Wanted(
        name,
        tuple(files),
        was_chosen=not reference.choice and len(models) > 1,
        unfitting_projectors=others,
    )


def _as_model_file(file: RemoteFile, repository: str, commit: str) -> ModelFile:
    return ModelFile(file=file.name, repository=repository, revision=commit, bytes=file.bytes, sha256=file.sha256)


def _nothing_chosen(repository: str, choice: str, names: list[str]) -> HubRefused:
    if not names:
        return HubRefused(
            _("{repository} has no GGUF file.").format(repository=repository),
            hint=_("llama.cpp reads GGUF; look for a repository whose name ends in -GGUF."),
        )
    if all(map(is_projector, names)):
        return HubRefused(
            _("{repository} has no model, only a projector (mmproj), which lets a model see images.").format(
                repository=repository
            ),
            hint=_("Look for the repository that has the model as well."),
        )
    shown = ", ".join(names[:_MOST_NAMES_SHOWN])
    message = _("{repository} has no file {choice}.") if choice else _("{repository} has several models.")
    return HubRefused(
        message.format(repository=repository, choice=choice),
        hint=_("Name one behind a colon, as in hf:{repository}:{file}. It has: {files}").format(
            repository=repository, file=names[0], files=shown
        ),
    )


def pull_model(
    model: Wanted, cache: Path, endpoint: str, *, is_agreed: bool = False, wait: Wait = time.sleep
) -> Iterator[PullEvent]:
    """Fetch all files of a model; each is told by a `PullDone`, the model itself first. Raises as `download.pull` does.

    `is_agreed`: its licence was agreed to just now, whether or not that could be remembered. `wait` is how the time between
    two tries is spent; what it raises ends the download, and what has come is kept.

    Raises:
        LicenceNotAccepted: Its licence must be agreed to first.
        ModelUnusable: llama.cpp would not load it, or answer with garbage; what came of it now was deleted again, and what
            another tool has put here stays.
    """
    licence = model.licence
    if licence and not is_agreed and must_be_agreed_to(licence):
        raise LicenceNotAccepted(
            _("{name} is under the {licence}, which must be agreed to first.").format(
                name=model.name, licence=licence.title
            ),
            hint=_("Read it with `hychat models info {name}`, then: hychat models pull {name} --accept-licence").format(
                name=model.name
            ),
        )
    fetched: list[Path] = []
    for number in range(len(model.files)):
        has_come = False
        try:
            for event in _pull_file(model, number, cache, endpoint, wait):
                has_come |= isinstance(event, PullStarted)
                if isinstance(event, PullDone) and event.sha256:
                    fetched.append(Path(event.path))
                yield event
        except ModelUnusable as error:
            others = fetched if number < model.part_count else []  # without its projector a model still writes
            remove_names(repository_folder(cache, model.files[number].repository or ""), others)
            if others or has_come:
                raise _deleted(error) from error
            raise


def _deleted(error: ModelUnusable) -> ModelUnusable:
    hint = _("Take another file of the model.") if isinstance(error, ModelDamaged) else error.hint
    return type(error)(_("{reason} It was deleted again.").format(reason=error.message), hint=hint)


def _pull_file(model: Wanted, number: int, cache: Path, endpoint: str, wait: Wait) -> Iterator[PullEvent]:
    file = model.files[number]
    repository = file.repository or ""
    recorded = records.known_checksum(repository, file.file)
    check = partial(_check, model, number)
    for event in pull(file, cache, endpoint=endpoint, recorded_sha256=recorded, check=check, wait=wait):
        if isinstance(event, PullDone) and event.sha256:
            with suppress(OSError):  # the file counts, not the note
                records.remember_checksum(repository, file.file, event.sha256)
        yield event


def _check(model: Wanted, number: int, path: Path) -> None:
    """Look a file over; the error names it as the hub does, for as yet it has no name of its own here.

    Raises:
        ModelUnusable: llama.cpp would not load it, or answer with garbage.
    """
    from hychat.engine.audit import audit
    from hychat.engine.gguf import read_header

    try:
        header = read_header(str(path))
        if number == 0:
            audit(header)
        else:
            _check_is_whole(header)
        is_part = header.split_number == number and header.split_count == model.part_count
        if number < model.part_count and not is_part:
            raise ModelDamaged(
                _("{path} is not what its name says: part {number} of {count}.").format(
                    path=path, number=number + 1, count=model.part_count
                )
            )
    except ModelUnusable as error:
        raise type(error)(error.message.replace(str(path), model.files[number].file), hint=error.hint) from error


def _check_is_whole(header: "GgufHeader") -> None:
    """What can be asked of a file that is no model by itself: a further part, or a projector."""
    from hychat.engine.gguf import TENSOR_TYPES

    if unknown := [tensor.type_id for tensor in header.tensors if tensor.type_id not in TENSOR_TYPES]:
        message = _("{path} has tensors of type {type_id}, which this build of llama.cpp does not know.")
        raise ModelRefused(
            message.format(path=header.path, type_id=unknown[0]), hint=_("Take another file of the model.")
        )
    end = max((header.data_offset + tensor.offset + tensor.bytes for tensor in header.tensors), default=0)
    if (missing := end - header.file_bytes) > 0:
        message = ngettext(
            "{path} is not whole: {missing} byte is missing.",
            "{path} is not whole: {missing} bytes are missing.",
            missing,
        )
        raise ModelDamaged(message.format(path=header.path, missing=missing))
