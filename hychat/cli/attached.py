"""What goes with a question: files, stdin; what takes long is told, and what must be fetched for it is asked about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hychat.attach.parts import becoming_part, open_argument
from hychat.cli.interrupt import aside
from hychat.cli.options import Consent
from hychat.cli.output import Output
from hychat.cli.stdin import attached_stdin, can_ask, read_stdin
from hychat.domain.attachment import Attachment, AttachmentKind, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ModelNotFound, SpeechModelMissing, UsageError
from hychat.domain.message import AttachedPart, FilePart
from hychat.domain.numbers import size
from hychat.messages import _

_STDIN: Final = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_PERCENT: Final = 100


def attached(files: Sequence[Path], output: Output, consent: Consent) -> tuple[list[AttachedPart], FilePart | None]:
    """The files, one of which may be stdin, in their order; and what is piped in, where none of them is.

    Raises:
        UsageError: Stdin is named twice.
        InputUnreadable: A file or stdin cannot be read, or is empty.
        ModelNotFound: Speech cannot be written down, for its model is not here.
    """
    names_stdin = [str(path) in _STDIN for path in files]
    if names_stdin.count(True) > 1:
        raise UsageError(_("There is one stdin, and it can be attached once."))
    parts = [
        part_of(attached_stdin() if is_stdin else open_argument(path), output, consent)
        for path, is_stdin in zip(files, names_stdin, strict=True)
    ]
    return parts, None if any(names_stdin) else read_stdin()


def part_of(attachment: Attachment, output: Output, consent: Consent) -> AttachedPart:
    """An attachment as a part of a message; what of it takes long is told. Raises as `attached`."""
    while True:
        try:
            return _part_of(attachment, output)
        except SpeechModelMissing as missing:
            fetch_speech_model(missing, output, consent)


def _part_of(attachment: Attachment, output: Output) -> AttachedPart:
    cancel = CancelToken()
    steps = becoming_part(attachment, cancel)
    try:
        for step in aside(steps, cancel) if attachment.kind is AttachmentKind.SOUND else steps:
            if not isinstance(step, WritingDown):
                return step
            tell_writing(step, output)
    finally:
        output.end()
    raise AssertionError(attachment.name)


def tell_writing(step: WritingDown, output: Output) -> None:
    """How far a recording is written down."""
    done = min(_PERCENT, round(_PERCENT * step.done_seconds / step.total_seconds))
    output.progress(_("Writing {name} down").format(name=step.name), done, _PERCENT)


def fetch_speech_model(missing: SpeechModelMissing, output: Output, consent: Consent) -> None:
    """Fetch the model that writes speech down, after a yes.

    Raises:
        SpeechModelMissing: The user does not want it, or nobody can be asked.
        ModelNotFound: hychat is offline.
        DownloadError: It could not be fetched.
    """
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.hub import hub_endpoint, is_offline
    from hychat.catalogue.speech import pull_speech_model, wanted_speech_model
    from hychat.cli.pulling import PullView, ask_yes

    if is_offline():
        offline = _("hychat is offline (--offline or HF_HUB_OFFLINE), so nothing can be fetched.")
        raise ModelNotFound(missing.message, hint=offline) from missing
    if not (consent.says_yes or can_ask(output)):
        raise missing
    endpoint = hub_endpoint()
    model = wanted_speech_model(missing.name, missing.repository, endpoint)
    bytes_in_all = sum(file.bytes or 0 for file in model.files)
    offer = _("Fetch {title} ({size}, {licence}) into {folder}").format(
        title=model.spec.title if model.spec else model.name,
        size=size(bytes_in_all) if bytes_in_all else _("size unknown"),
        licence=model.licence.title if model.licence else _("licence unknown"),
        folder=hub_cache_folder(),
    )
    output.paragraph(offer)
    if not (consent.says_yes or ask_yes(_("Fetch it now?"), output)):
        raise missing
    PullView(output).show(pull_speech_model(model, hub_cache_folder(), endpoint))
