"""Reads the events of one turn for a person or a pipe: what goes to stdout, what to stderr, and the exit code."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from hychat.cli.output import Output
from hychat.domain.attachment import Attachment
from hychat.domain.codec import JsonObject, receipt_to_json
from hychat.domain.errors import AnswerIncomplete, Blocked
from hychat.domain.event import (
    Channel,
    DataTruncated,
    HistoryDropped,
    HistoryNotSaved,
    LoadProgress,
    PictureRead,
    PictureUnseen,
    PrefillProgress,
    ReadingPicture,
    SafetyEvent,
    TokenEvent,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from hychat.domain.generation import GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import Message
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _, ngettext
from hychat.session.seeing import reading_text, road_text, unseen_text

INTERRUPTED: Final = 130
_PERCENT: Final = 100
_CODE_BLOCK: Final = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<code>.*?)(?:^[ \t]*(?P=fence)[`~]*\s*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""In a list it is indented; one that the answer leaves open goes to its end (https://spec.commonmark.org/0.31.2/#fenced-code-blocks)."""

_Step = (
    LoadProgress
    | HistoryDropped
    | DataTruncated
    | HistoryNotSaved
    | ReadingPicture
    | PictureUnseen
    | PrefillProgress
    | TokenEvent
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How an answer is to be shown."""

    as_json: bool = False
    extract: bool = False
    """Only its first code block."""
    must_parse: bool = False
    """It is JSON after a schema, and a part of it is of no use."""
    streams: bool = True
    show_thinking: bool = False
    stats: bool = False
    adapters: Sequence[tuple[str, float]] = ()
    """Path and scale of those that are over the model; they stand in its JSON."""

    @property
    def shows_pieces(self) -> bool:
        """Whether the answer is shown while it is written."""
        return self.streams and not (self.as_json or self.extract or self.must_parse)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a turn told beside its answer."""

    verdicts: list[SafetyVerdict] = field(default_factory=list)
    pictures: list[Attachment] = field(default_factory=list)
    """Those that were put into words for a model that cannot see."""

    def as_json(self) -> JsonObject:
        """Fields of `--json`."""
        return {
            "pictures": [picture_as_json(picture) for picture in self.pictures],
            "safety": [verdict_as_json(verdict) for verdict in self.verdicts],
        }


def read_turn(events: Iterator[TurnEvent], output: Output, wishes: Wishes) -> int:
    """Show a turn; the exit code.

    Raises:
        HychatError: The turn failed; what was written before stands.
    """
    noted = _Noted()
    try:
        for event in events:
            match event:
                case TurnFinished():
                    return _finish(event, output, wishes, noted)
                case TurnFailed(error):
                    output.end()
                    if wishes.as_json and isinstance(error, Blocked):
                        output.json({"answer": None, "error": error.message, **noted.as_json()})
                    raise error
                case SafetyEvent(verdict):
                    noted.verdicts.append(verdict)
                    _tell_verdict(verdict, output, wishes)
                case PictureRead(picture, advice):
                    noted.pictures.append(picture)
                    output.note(road_text(picture, advice))
                case _:
                    _show(event, output, wishes)
    finally:
        output.abort()
    raise AssertionError("a turn ends with TurnFinished or TurnFailed")


def _show(event: _Step, output: Output, wishes: Wishes) -> None:
    match event:
        case TokenEvent():
            _show_text(event, output, wishes)
        case LoadProgress(fraction):
            output.prepare()
            output.progress(_("Loading the model"), int(fraction * _PERCENT), _PERCENT)
        case PrefillProgress(done, total):
            output.progress(_("Reading the prompt"), done, total)
        case ReadingPicture(name, reader, fraction):
            done, total = (0, 0) if fraction is None else (int(fraction * _PERCENT), _PERCENT)
            output.progress(reading_text(name, reader), done, total)
        case PictureUnseen(name):
            output.note(unseen_text(name))
        case HistoryDropped() | DataTruncated() | HistoryNotSaved():
            output.warn(_warning(event))
        case _:
            assert_never(event)


def _tell_verdict(verdict: SafetyVerdict, output: Output, wishes: Wishes) -> None:
    """What is blocked is told at the end: a question with its error, an answer behind what was shown of it."""
    from hychat.safety.telling import event_text

    if verdict.action in {SafetyAction.WARN, SafetyAction.ALLOW} and not wishes.as_json:
        output.note(event_text(verdict))


def _show_text(event: TokenEvent, output: Output, wishes: Wishes) -> None:
    if event.channel is Channel.ANSWER and wishes.shows_pieces:
        output.answer(event.text)
    elif event.channel is Channel.THOUGHT and wishes.show_thinking and not wishes.as_json:
        output.thought(event.text)


def _warning(event: HistoryDropped | DataTruncated | HistoryNotSaved) -> str:
    match event:
        case HistoryDropped(turns):
            return ngettext(
                "The oldest turn of the chat does not fit the context and was left out.",
                "The {count} oldest turns of the chat do not fit the context and were left out.",
                turns,
            ).format(count=turns)
        case DataTruncated(tokens, kept_tokens):
            return _("The data was cut: the prompt had {tokens} tokens and now has {kept}.").format(
                tokens=tokens, kept=kept_tokens
            )
        case HistoryNotSaved(error):
            return _("This chat is not saved. {reason}").format(reason=error.message)
        case _:
            assert_never(event)


def _finish(event: TurnFinished, output: Output, wishes: Wishes, noted: _Noted) -> int:
    message = event.message
    if wishes.must_parse and is_help(noted.verdicts):
        return _finish_helped(message, output, wishes, noted)
    if message.stop is StopReason.BLOCKED:
        return _finish_blocked(message, output, wishes, noted)
    is_cut = message.stop in {StopReason.LENGTH, StopReason.LOOP, StopReason.CANCELLED}
    if wishes.must_parse and is_cut:
        output.end()
        if message.stop is StopReason.CANCELLED:
            return INTERRUPTED
        raise AnswerIncomplete(
            _("The answer was cut before its JSON was whole, after {count} tokens.").format(
                count=event.usage.generated_tokens
            ),
            hint=_("Allow a longer answer with --max-tokens, or ask for less."),
        )
    _show_whole(message, output, wishes, noted)
    output.end()
    if message.stop is StopReason.COMPLETE and not message.text and not wishes.as_json:
        output.note(_("The model answered nothing."))
    elif message.stop is StopReason.LOOP:
        output.warn(_("The model began to repeat itself; the answer was ended."))
    elif message.stop is StopReason.LENGTH and not wishes.as_json:
        output.note(_("The answer was cut at its length limit."))
    if wishes.stats:
        output.report(_stats(event.usage))
    return INTERRUPTED if message.stop is StopReason.CANCELLED else 0


def _finish_blocked(message: Message, output: Output, wishes: Wishes, noted: _Noted) -> int:
    """An answer that the filter ended: what was shown stays; a part of JSON or of code is of no use."""
    from hychat.safety.telling import event_text

    if wishes.as_json or not (wishes.extract or wishes.must_parse):
        _show_whole(message, output, wishes, noted)
    output.end()
    output.warn(event_text(noted.verdicts[-1]))
    return Blocked.exit_code


def _finish_helped(message: Message, output: Output, wishes: Wishes, noted: _Noted) -> int:
    """Help for a person, where a program waits for JSON after a schema."""
    if wishes.as_json:
        output.json({"answer": None, "error": message.text, **noted.as_json()})
    output.end()
    output.report(message.text)
    return Blocked.exit_code


def _show_whole(message: Message, output: Output, wishes: Wishes, noted: _Noted) -> None:
    """The answer, where it was not shown piece by piece."""
    if wishes.as_json:
        adapters = [{"path": path, "scale": scale} for path, scale in wishes.adapters]
        output.json({**answer_as_json(message), "adapters": adapters, **noted.as_json()})
    elif wishes.extract:
        output.text(_extract(message.text, output))
    elif not wishes.shows_pieces and not wishes.must_parse:
        output.answer(message.text)
    elif wishes.must_parse:
        output.text(message.text)


def _extract(text: str, output: Output) -> str:
    """The content of the first code block, without the block's own indent; the whole text, where there is none."""
    found = _CODE_BLOCK.search(text)
    if found is None:
        output.note(_("The answer has no code block; here is all of it."))
        return text
    return re.sub(rf"^[ \t]{{0,{len(found['indent'])}}}", "", found["code"], flags=re.MULTILINE)


def picture_as_json(picture: Attachment) -> JsonObject:
    """How a picture was put into words."""
    return {"name": picture.name, "read_by": picture.read_by, "text": picture.text}


def is_help(verdicts: Sequence[SafetyVerdict]) -> bool:
    """Whether an answer is not the model's, but help for somebody who spoke of harming himself."""
    return any(verdict.action is SafetyAction.SUPPORT for verdict in verdicts)


def verdict_as_json(verdict: SafetyVerdict) -> JsonObject:
    """What the filter said of a text."""
    return {
        "action": verdict.action,
        "category": verdict.category or None,
        "score": round(verdict.score, 4),
        "layer": verdict.guard or None,
        "span": verdict.span,
        "phrase": verdict.reason or None,
    }


def answer_as_json(message: Message) -> JsonObject:
    """One answer with what it was made with; the fields of `--json`."""
    receipt = message.receipt or Receipt("", GenerationSettings(), Usage())
    usage = receipt.usage
    return {
        "answer": _json_or_text(message, receipt),
        "thought": message.thought or None,
        "model": receipt.model,
        "style": message.style,
        "stop": message.stop,
        "seed": receipt.settings.seed,
        "settings": receipt_to_json(receipt)["settings"],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "reused_tokens": usage.reused_tokens,
            "generated_tokens": usage.generated_tokens,
        },
        "timings": {
            "first_token_seconds": round(usage.first_token_seconds, 4),
            "prefill_seconds": round(usage.prefill_seconds, 4),
            "decode_seconds": round(usage.decode_seconds, 4),
            "prefill_tokens_per_second": round(usage.prefill_tokens_per_second, 2),
            "decode_tokens_per_second": round(usage.decode_tokens_per_second, 2),
        },
    }


def _json_or_text(message: Message, receipt: Receipt) -> Any:
    """An answer after a schema as the JSON that it is; a part of one, which the filter left of it, is of no use."""
    if not receipt.settings.json_schema:
        return message.text
    return None if message.stop is StopReason.BLOCKED else json.loads(message.text)


def _stats(usage: Usage) -> str:
    """The figures of one answer on one line."""
    return _(
        "prompt {prompt} tokens ({reused} reused), {prefill:.0f} tok/s · answer {generated} tokens, {decode:.0f} tok/s · "
        "first token after {first:.2f} s"
    ).format(
        prompt=usage.prompt_tokens,
        reused=usage.reused_tokens,
        prefill=usage.prefill_tokens_per_second,
        generated=usage.generated_tokens,
        decode=usage.decode_tokens_per_second,
        first=usage.first_token_seconds,
    )
