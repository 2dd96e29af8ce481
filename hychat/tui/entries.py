"""What the transcript holds: questions, answers with their thoughts, and notes of hychat's own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import ceil
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from hychat.domain.choices import Style as Manner
from hychat.domain.errors import EngineError, HychatError
from hychat.domain.event import Channel
from hychat.domain.generation import StopReason
from hychat.domain.message import FilePart, ImagePart, Message
from hychat.domain.text import printable
from hychat.messages import _
from hychat.tui.column import Part, Row
from hychat.tui.effects import Tone
from hychat.tui.looks import Looks
from hychat.tui.markdown.wrapping import wrap

if TYPE_CHECKING:
    from hychat.tui.markdown.block import Block

_TAB_CELLS: Final = 4
DO: Final = "do"
"""Key in a segment's meta: what a click on it does, a word and its arguments."""


def rows_guessed(text: str, width: int) -> int:
    """How many rows a text may take: a letter takes a cell, a Chinese character two and three bytes."""
    characters, octets = len(text), len(text.encode("utf-8", "replace"))
    cells = characters + (octets - characters) // 2
    return max(1, text.count("\n") + ceil(cells / width))


def doing(style: Style, *action: str) -> Style:
    """The style of a text that does something when it is clicked."""
    return style + Style(meta={DO: action})


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Rows that are known as they stand, each a list of texts with the name of their look; folded where they are too long."""

    text: str
    look: str = "muted"
    is_marked: bool = False
    is_band: bool = False

    def guess(self, width: int) -> int:
        return rows_guessed(self.text, width)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        style: Style = getattr(looks, self.look)
        found = wrap([(printable(self.text).expandtabs(_TAB_CELLS), style)], width)
        return [Row([Segment(*span) for span in spans], self.is_marked, self.is_band) for spans in found]


_BETWEEN: Final = "  ·  "
Fact = tuple[tuple[str, tuple[str, ...]], ...]
"""Texts that belong together, each with what a click on it does; nothing where that is empty."""


@dataclass(frozen=True, slots=True, eq=False)
class _Meta:
    """One row of small facts, some of which do something when they are clicked."""

    facts: tuple[Fact, ...]
    is_spaced: bool = False
    """Whether an empty row goes before it."""

    def guess(self, width: int) -> int:  # noqa: ARG002 - a part's
        return 1 + self.is_spaced

    def rows(self, width: int, looks: Looks) -> list[Row]:
        segments: list[Segment] = []
        for fact in self.facts:
            more = [Segment(text, doing(looks.accent, *action) if action else looks.muted) for text, action in fact]
            more = [Segment(_BETWEEN, looks.muted), *more] if segments else more
            if segments and Segment.get_line_length([*segments, *more]) > width:
                break  # whole facts only, the first ones weigh most
            segments += more
        cut = Segment.adjust_line_length(segments, width, pad=False)
        return [*([Row()] if self.is_spaced else ()), Row(tuple(cut))]


@dataclass(frozen=True, slots=True, eq=False)
class _Markdown:
    """One block of an answer."""

    block: "Block"
    nth: int
    """Which block of its text it is, counted from 0."""

    def guess(self, width: int) -> int:
        return rows_guessed(self.block.source.rstrip("\n"), width) + (self.block.opens and self.nth > 0)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        from hychat.tui.markdown.layout import rows as rows_of_block  # brings the Markdown parser, 20 ms

        rows = [
            Row(self._with_copy(row.segments, looks) if row.copies else tuple(row.segments))
            for row in rows_of_block(self.block, width, looks.markdown)
        ]
        return [Row(), *rows] if self.block.opens and self.nth else rows

    def _with_copy(self, segments: Sequence[Segment], looks: Looks) -> tuple[Segment, ...]:
        """A click on the first row of code, right of the code itself, copies all of it."""
        *code, last = segments
        label = _("copy")
        gap = last.cell_length - cell_len(label) - 1
        if last.text.strip() or gap < 1:  # the language stands there, with one cell behind it
            more = code[-1:] if code and len(code) > 1 else []
            shown = [Segment(part.text, doing(part.style or Style(), "code", str(self.nth))) for part in (*more, last)]
            return (*code[: len(code) - len(more)], *shown)
        style = last.style or Style()
        return (*code, Segment(" " * gap, style), Segment(label, doing(style + looks.muted, "code", str(self.nth))),
                Segment(" ", style))  # fmt: skip


class _Text:
    """Markdown that may still grow, as parts."""

    def __init__(self, text: str = "") -> None:
        from hychat.tui.markdown.blocks import Blocks  # 7 ms

        self._blocks = Blocks()
        self._parts: list[_Markdown] = []
        self._pieces: list[str] = []
        self.feed(text)

    @property
    def source(self) -> str:
        """All that was fed."""
        return "".join(self._pieces)

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if text:
            self._pieces.append(text)
            self._blocks.feed(text)

    def parts(self) -> list[_Markdown]:
        """A part for each block; the same as before for those that did not change."""
        blocks = self._blocks.blocks
        kept = next(
            (n for n, (part, block) in enumerate(zip(self._parts, blocks, strict=False)) if part.block is not block),
            min(len(self._parts), len(blocks)),
        )
        self._parts[kept:] = [_Markdown(block, n) for n, block in enumerate(blocks[kept:], kept)]
        return [*self._parts]

    @property
    def blocks(self) -> "Sequence[Block]":
        """What it is made of."""
        return self._blocks.blocks


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
                label = f"▤ {part.attachment.name}  {_size_of(part)}"
                parts.append(_Lines(label, "muted", is_marked=True, is_band=True))
        if self.message.text:
            parts.append(_Lines(self.message.text, "question", is_marked=True, is_band=True))
        if self._place[1] > 1:
            parts.append(_Meta((_walk(self.message, self._place),)))
        return parts


def _size_of(part: FilePart | ImagePart) -> str:
    characters = len(part.attachment.text or "")
    return _("{count} characters").format(count=f"{characters:,}") if characters else ""


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
        self._thought: _Text | None = None
        self._text: _Text | None = None
        if message is None:
            self._thought, self._text = _Text(), _Text()

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
    def _written(text: "_Text | None") -> str:
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
            self._thought, self._text = _Text(self.message.thought), _Text(self.message.text)

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
            parts.append(_Blank())
        parts += text
        if self._state:
            parts.append(_Lines(self._state))
        if self.message is not None:
            parts.append(_Meta(tuple(self._facts(self.message)), is_spaced=bool(text)))
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
        yield _Meta((((f"{'▾' if self._is_open else '▸'} {label}", ("thought",)),),))
        if self._is_open:
            for part in thought:
                yield _Muted(part)

    def _facts(self, message: Message) -> Iterator[Fact]:
        if self._place[1] > 1:
            yield _walk(message, self._place)
        if message.style is not None:
            yield ((style_name(message.style), ()),)
        if message.receipt is not None:
            settings, usage = message.receipt.settings, message.receipt.usage
            if settings.temperature is not None:
                yield ((f"{settings.temperature:g}", ()),)
            if usage.decode_tokens_per_second:
                yield ((_("{speed:.0f} tokens/s").format(speed=usage.decode_tokens_per_second), ()),)
        if (ended := _ending(message.stop)) is not None:
            yield ((ended, ()),)
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
        case _:
            return None


@dataclass(frozen=True, slots=True, eq=False)
class _Blank:
    """An empty row."""

    def guess(self, width: int) -> int:  # noqa: ARG002 - a part's
        return 1

    def rows(self, width: int, looks: Looks) -> list[Row]:  # noqa: ARG002 - a part's
        return [Row()]


@dataclass(frozen=True, slots=True, eq=False)
class _Muted:
    """A part of a thought."""

    part: _Markdown

    def guess(self, width: int) -> int:
        return self.part.guess(width - 2)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        rows = self.part.rows(width - 2, looks)
        return [Row((Segment("  "), *_in(row.segments, looks.muted))) for row in rows]


def _in(segments: Iterable[Segment], style: Style) -> Iterator[Segment]:
    return (Segment(text, own + style if own else style) for text, own, _control in segments)


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
            ("@", _("a text file before the question")),
            ("F2", _("models: fetch one, or talk to another")),
            ("F3 F4", _("style and temperature of the next answer")),
            ("Ctrl+R", _("earlier chats")),
        )
        return [
            _Lines("hychat", "heading"),
            _Blank(),
            _Lines(_("Ask something. What is said here stays on this machine."), "question"),
            _Blank(),
            *(_Hint(key, text) for key, text in hints),
        ]


@dataclass(frozen=True, slots=True, eq=False)
class _Hint:
    """A key, and what it is for."""

    key: str
    text: str

    def guess(self, width: int) -> int:
        return rows_guessed(self.text, width - _HINT_CELLS)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        rows = wrap([(self.text, looks.muted)], width - _HINT_CELLS)
        keys = [f"{self.key:{_HINT_CELLS}}", *[" " * _HINT_CELLS] * len(rows)]
        return [
            Row((Segment(key, looks.accent), *(Segment(*span) for span in spans)))
            for key, spans in zip(keys, rows, strict=False)
        ]


_HINT_CELLS: Final = 9


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
        return [_Lines(self._text, self._look)]


class Comparison:
    """Answers to one question in several styles, side by side where there is room."""

    def __init__(self, styles: Iterable[Manner]) -> None:
        self.answers: dict[Manner, Answer] = {style: Answer() for style in styles}

    def guess(self, width: int) -> int:  # noqa: ARG002 - an entry's
        """As `Entry`."""
        return _COMPARISON_ROWS

    def parts(self) -> list[Part]:
        """As `Entry`."""
        return [_SideBySide(tuple((style, tuple(answer.parts())) for style, answer in self.answers.items()), self)]

    def head(self, style: Manner) -> tuple[str, tuple[str, ...]]:
        """What stands above an answer: its style, and once it is written what takes it."""
        message = self.answers[style].message
        name = style_name(style)
        return (_("{style}: go on from here").format(style=name), ("take", message.id)) if message else (name, ())


_COMPARISON_ROWS: Final = 12
_GAP_CELLS: Final = 3
_NARROWEST_COLUMN: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class _SideBySide:
    """Several answers in columns, or one under another where columns would be too narrow."""

    answers: tuple[tuple[Manner, tuple[Part, ...]], ...]
    comparison: Comparison

    def guess(self, width: int) -> int:
        return max(sum(part.guess(width) for part in parts) for _style, parts in self.answers) + 2

    def rows(self, width: int, looks: Looks) -> list[Row]:
        count = len(self.answers)
        column = (width - _GAP_CELLS * (count - 1)) // count
        if column < _NARROWEST_COLUMN:
            return [row for style, parts in self.answers for row in (*self._column(style, parts, width, looks), Row())]
        columns = [self._column(style, parts, column, looks) for style, parts in self.answers]
        return [self._beside(cells, column) for cells in zip_longest(*columns, fillvalue=Row())]

    def _column(self, style: Manner, parts: Iterable[Part], width: int, looks: Looks) -> list[Row]:
        text, action = self.comparison.head(style)
        look = doing(looks.accent, *action) if action else looks.accent
        head = Row(tuple(Segment.adjust_line_length([Segment(text, look)], width, pad=False)))
        return [head, Row(), *(row for part in parts for row in part.rows(width, looks))]

    @staticmethod
    def _beside(cells: Sequence[Row], width: int) -> Row:
        segments: list[Segment] = []
        for nth, cell in enumerate(cells):
            if nth:
                segments.append(Segment(" " * _GAP_CELLS))
            segments += Segment.adjust_line_length([*cell.segments], width)
        return Row(tuple(segments))
