"""Parts, receipts and moments as plain JSON values, for the history and the export alike.

What this version wrote reads back equal. What a later version may have added (fields, kinds of part, names of styles)
is left out in reading, so that an older hychat still opens a newer one's conversations.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.generation import GenerationSettings, Receipt, Usage
from hychat.domain.message import FilePart, ImagePart, Part, TextPart, ThoughtPart

JsonObject = dict[str, Any]
_Name = TypeVar("_Name", bound=StrEnum)


def moment_to_json(moment: datetime) -> str:
    """ISO 8601 in UTC, always with microseconds, so that the texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment_from_json(text: str) -> datetime:
    """The moment that `moment_to_json` wrote.

    Raises:
        ValueError: The text is no ISO 8601 moment.
    """
    return datetime.fromisoformat(text)


def name_from_json(names: type[_Name], value: str | None) -> _Name | None:
    """The member of an enumeration; None for null, and for a member that this version does not have."""
    return next((name for name in names if name == value), None)


def attachment_to_json(attachment: Attachment) -> JsonObject:
    """Every field of an attachment, its bytes as base64, and about how many tokens its text takes."""
    data = b64encode(attachment.data).decode("ascii")
    return {**asdict(attachment), "data": data, "estimated_tokens": attachment.estimated_tokens}


def parts_to_json(parts: Iterable[Part]) -> list[JsonObject]:
    """The parts, each an object with its `type`."""
    return [_part_to_json(part) for part in parts]


def parts_from_json(values: Iterable[JsonObject]) -> tuple[Part, ...]:
    """The parts that this version knows.

    Raises:
        KeyError, TypeError, ValueError: The values are not what `parts_to_json` writes.
    """
    return tuple(part for value in values if (part := _part_from_json(value)) is not None)


def receipt_to_json(receipt: Receipt) -> JsonObject:
    """The model, all settings (null where not said) and the usage."""
    return asdict(receipt)


def receipt_from_json(value: JsonObject) -> Receipt:
    """The receipt, without what this version does not know.

    Raises:
        KeyError, TypeError: The value is not what `receipt_to_json` writes.
    """
    return Receipt(
        model=value["model"],
        settings=GenerationSettings(**_known_fields(GenerationSettings, value["settings"])),
        usage=Usage(**_known_fields(Usage, value["usage"])),
    )


def _part_to_json(part: Part) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ThoughtPart(text, seconds):
            return {"type": "thought", "text": text, **({} if seconds is None else {"seconds": round(seconds, 1)})}
        case FilePart(attachment):
            return {"type": "file", "attachment": attachment_to_json(attachment)}
        case ImagePart(attachment):
            return {"type": "image", "attachment": attachment_to_json(attachment)}


def _part_from_json(value: JsonObject) -> Part | None:
    match value["type"]:
        case "text":
            return TextPart(value["text"])
        case "thought":
            return ThoughtPart(value["text"], value.get("seconds"))
        case "file" if (attachment := _attachment_from_json(value["attachment"])) is not None:
            return FilePart(attachment)
        case "image" if (attachment := _attachment_from_json(value["attachment"])) is not None:
            return ImagePart(attachment)
        case _:
            return None


def _attachment_from_json(value: JsonObject) -> Attachment | None:
    """None for a kind that this version does not know."""
    kind = name_from_json(AttachmentKind, value["kind"])
    known = _known_fields(Attachment, value) | {"kind": kind, "data": b64decode(value["data"], validate=True)}
    return None if kind is None else Attachment(**known)


def _known_fields(kind: type[Attachment | GenerationSettings | Usage], value: JsonObject) -> JsonObject:
    return {field.name: value[field.name] for field in fields(kind) if field.name in value}
