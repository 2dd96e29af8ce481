"""What the transcript holds: questions, answers with their thoughts, and notes of hychat's own."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hychat.attach.parts import tokens_told
from hychat.domain.errors import EngineError, HychatError
from hychat.domain.event import Channel
from hychat.domain.generation import StopReason
from hychat.domain.message import FilePart, ImagePart, Message
from hychat.messages import _
from hychat.tui.column import Part
from hychat.tui.effects import Tone
from hychat.tui.parts import Blank, Fact, Facts, Hint, Lines, MarkdownText, Muted, rows_guessed

if TYPE_CHECKING:
    from hychat.tui.markdown.block import Block


class Question:
    """What the user said."""

    def __init__(self, message: Message, place: tuple[int, int] = (1, 1)) -> None:
        """`place` is which of how many versions it is."""
        self.message = message
        self._place = place

    def settle(self, message: Message, place: tuple[int, int]) -> None:
        """It is in the conversation now."""
        self.message, self._place = message, place

    def guess(self, width: int) -> int:
        """As `Entry`."""
        return rows_guessed(self.message.text, width)

    def parts(self) -> list[Part]:
        """As `Entry`."""
        parts: list[Part] = []
        for part in self.message.parts:
            if isinstance(part, FilePart | ImagePart):
                sign = "▣" if isinstance(part, ImagePart) else "▤"
                label = f"{sign} {part.attachment.name}  {tokens_told(part.attachment)}".rstrip()
                parts.append(Lines(label, "muted", is_marked=True, is_band=True))
        if self.message.text:
            parts.append(Lines(self.message.text, "question", is_marked=True, is_band=True))
        if self._place[1] > 1:
            parts.append(Facts((_walk(self.message, self._place),)))
        return parts


def _walk(message: Message, place: tuple[int, int]) -> Fact:
    """`‹ 2/3 ›`: to the version before and the one after."""
    nth, count = place
    return (("‹", ("walk", message.id, "-1")), (f" {nth}/{count} ", ()), ("›", ("walk", message.id, "1")))


class Answer:
    """What the model said, or is saying."""

    def __init__(self, message: Message | None = None, place: tuple[int, int] = (1, 1)) -> None:
        """Without a message it is still to come: `take` it piece by piece, and `finish`."""
        self.message = message
        self._place = place
        self._state = ""
        self._is_open = False
        """Whether the thought is shown."""
        self._thought_seconds: float | None = None
        self._thought: MarkdownText | None = None
        self._text: MarkdownText | None = None
        if message is None:
            self._thought, self._text = MarkdownText(), MarkdownText()

    def take(self, text: str, channel: Channel) -> None:
        """The next piece."""
        self._read()
        target = self._thought if channel is Channel.THOUGHT else self._text
        if target is not None:
            target.feed(text)
        self._state = ""

    def tell(self, state: str) -> None:
        """What is being done, while nothing is written yet."""
        self._state = state

    def tell_thought(self, seconds: float) -> None:
        """How long it thought, so far."""
        self._thought_seconds = seconds

    def finish(self, message: Message, place: tuple[int, int]) -> None:
        """It is whole, or stopped."""
        if (message.text, message.thought) != (self._written(self._text), self._written(self._thought)):
            self._thought, self._text = None, None  # something was held back: read it anew
        self.message, self._place, self._state = message, place, ""

    @staticmethod
    def _written(text: "MarkdownText | None") -> str:
        return text.source if text else ""

    def go_on(self) -> None:
        """More of it is to come: what is there stays, and grows at its end."""
        self._read()
        self.message = None

    @property
    def has_thought(self) -> bool:
        """Whether there is one to show."""
        self._read()
        return bool(self._thought and self._thought.blocks)

    def toggle_thought(self) -> None:
        """Show the thought, or fold it."""
        self._is_open = not self._is_open

    @property
    def blocks(self) -> "Sequence[Block]":
        """The blocks of the answer's text."""
        self._read()
        return self._text.blocks if self._text else ()

    def code(self, nth: int) -> str:
        """The whole code that the nth block belongs to."""
        from hychat.tui.markdown.block import code_of

        return code_of(self.blocks, nth)

    def _read(self) -> None:
        """Cut the message into blocks, once it is looked at."""
        if self._text is None and self.message is not None:
            self._thought, self._text = MarkdownText(self.message.thought), MarkdownText(self.message.text)

    def guess(self, width: int) -> int:
        """As `Entry`."""
        text = self.message.text if self.message else ""
        return rows_guessed(text, width) + 2

    def parts(self) -> list[Part]:
        """As `Entry`."""
        self._read()
        parts: list[Part] = [*self._thought_parts()]
        text = self._text.parts() if self._text else []
        if parts and text:
            parts.append(Blank())
        parts += text
        if self._state:
            parts.append(Lines(self._state))
        if self.message is not None:
            parts.append(Facts(tuple(self._facts(self.message)), is_spaced=bool(text)))
        return parts

    def _thought_parts(self) -> Iterator[Part]:
        thought = self._thought.parts() if self._thought else []
        if not thought:
            return
        is_done = bool(self._text and self._text.blocks) or self.message is not None
        seconds = self._thought_seconds
        if seconds is None and self.message is not None:
            seconds = self.message.thought_seconds
        label = _("Thought") if is_done else _("Thinking")
        label = f"{label} · {seconds:.0f} s" if seconds is not None else label
        yield Facts((((f"{'▾' if self._is_open else '▸'} {label}", ("thought",)),),))
        if self._is_open:
            for part in thought:
                yield Muted(part)

    def _facts(self, message: Message) -> Iterator[Fact]:
        if self._place[1] > 1:
            yield _walk(message, self._place)
        if message.style is not None:
            yield ((style_name(message.style), ()),)
        if message.receipt is not None:
            settings, usage = message.receipt.settings, message.receipt.usage
            if settings.temperature is not None:
                yield ((_("temp {value:g}").format(value=settings.temperature), ()),)
            if usage.decode_tokens_per_second:
                yield ((_("{speed:.0f} tokens/s").format(speed=usage.decode_tokens_per_second), ()),)
        if (ended := _ending(message.stop)) is not None:
            yield ((ended, ()),)
            if message.stop is not StopReason.BLOCKED:
                yield ((_("continue"), ("continue",)),)


def style_name(style: str) -> str:
    """A style in the user's language."""
    return {"formal": _("formal"), "casual": _("casual"), "friendly": _("friendly")}.get(style, style)


def _ending(stop: StopReason | None) -> str | None:
    """Why an answer is not whole."""
    match stop:
        case StopReason.CANCELLED:
            return _("stopped")
        case StopReason.LENGTH:
            return _("cut at the longest length")
        case StopReason.LOOP:
            return _("stopped, it repeated itself")
        case StopReason.BLOCKED:
            return _("stopped by the safety filter")
        case _:
            return None


def error_text(error: HychatError) -> str:
    """What went wrong and what to do; of an engine that died without its log, which `hychat doctor` finds."""
    hint = error.hint.partition("\n")[0] if isinstance(error, EngineError) else error.hint
    return "\n".join(text for text in (error.message, hint) if text)


class Welcome:
    """What an empty chat says."""

    def guess(self, width: int) -> int:  # noqa: ARG002 - an entry's
        """As `Entry`."""
        return len(self.parts())

    def parts(self) -> list[Part]:
        """As `Entry`."""
        hints = (
            ("/", _("commands; F1 lists them with their keys")),
            ("@", _("a file before the question: text, a document, an image")),
            ("F2", _("models: fetch one, or talk to another")),
            ("F3 F4", _("style and temperature of the next answer")),
            ("Ctrl+R", _("earlier chats")),
        )
        return [
            Lines("hychat", "heading"),
            Blank(),
            Lines(_("Ask something. What is said here stays on this machine."), "question"),
            Blank(),
            *(Hint(key, text) for key, text in hints),
        ]


class Note:
    """A sentence of hychat's own."""

    def __init__(self, text: str, tone: Tone = Tone.INFO) -> None:
        self._text = text
        self._look = {Tone.INFO: "muted", Tone.WARNING: "warning", Tone.ERROR: "error"}[tone]

    def guess(self, width: int) -> int:
        """As `Entry`."""
        return rows_guessed(self._text, width)

    def parts(self) -> list[Part]:
        """As `Entry`."""
        return [Lines(self._text, self._look)]
