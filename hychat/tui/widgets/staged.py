"""What stands between transcript and prompt: prompts that wait for their turn, files that go with the next one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.widgets import Static

from hychat.attach.parts import tokens_told
from hychat.domain.attachment import Attachment
from hychat.domain.message import AttachedPart, ImagePart, Part, TextPart
from hychat.messages import _

_LONGEST_CHARACTERS = 200
_BETWEEN = "   "


class Staged(Static):
    """A line for each prompt that waits, and one for the files and the message that is being changed."""

    DEFAULT_CSS = """
    Staged {
        height: auto;
        max-height: 5;
        color: $muted;
        display: none;
    }
    """

    def __init__(self) -> None:
        super().__init__(id="staged", markup=False)
        self._waiting: list[tuple[Part, ...]] = []
        self._files: list[AttachedPart] = []
        self._is_changing = False
        self._lines: list[str] = []

    # Files that go with the next prompt

    @property
    def has_files(self) -> bool:
        """Whether a prompt without words would say something."""
        return bool(self._files)

    @property
    def pictures(self) -> list[Attachment]:
        """Those among them that can be shown."""
        return [part.attachment for part in self._files if isinstance(part, ImagePart)]

    @dataclass
    class Changed(Message):
        """What goes with the next prompt is something else."""

    def attach(self, *files: AttachedPart) -> None:
        """Have these go with the next prompt."""
        self._set_files([*self._files, *files])

    def drop_last(self) -> bool:
        """Leave out what was attached last; whether there was anything."""
        had_files = self.has_files
        self._set_files(self._files[:-1])
        return had_files

    def _set_files(self, files: Sequence[AttachedPart]) -> None:
        self._files = [*files]
        self.tell()
        self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        """A click on what is attached leaves it out."""
        edge = self.styles.padding.left
        if self._files and event.y == len(self._lines) - 1:
            for number, label in enumerate(_labels(self._files)):
                width = cell_len(label)
                if edge <= event.x < edge + width:
                    self._set_files([*self._files[:number], *self._files[number + 1 :]])
                    return
                edge += width + len(_BETWEEN)

    def attach_paste(self, text: str) -> None:
        """Have a long paste go with it."""
        from hychat.attach.text import pasted_text

        self.attach(pasted_text(text, len(self._files) + 1))

    def drop_files(self) -> bool:
        """Leave the files out; whether there were any."""
        had_files = self.has_files
        self._set_files([])
        return had_files

    def parts(self, files: Iterable[AttachedPart], words: str) -> tuple[Part, ...]:
        """A prompt: what was attached, the files that its words name, its words. Nothing is attached any more."""
        parts: tuple[Part, ...] = (*self._files, *files, *([TextPart(words)] if words.strip() else []))
        self._set_files([])
        return parts

    # Prompts that wait

    def wait(self, parts: tuple[Part, ...]) -> None:
        """Ask this when the answer before it is written."""
        self._waiting.append(parts)
        self.tell()

    def next(self) -> tuple[Part, ...] | None:
        """The prompt whose turn it is; None where none waits."""
        parts = self._waiting.pop(0) if self._waiting else None
        self.tell()
        return parts

    def take_back(self, first: Sequence[Part] = ()) -> str:
        """The words of `first` and of all that wait, to be edited; their files are attached again."""
        prompts = [*([tuple(first)] if first else []), *self._waiting]
        self._waiting = []
        self.attach(*(part for parts in prompts for part in parts if isinstance(part, AttachedPart)))
        return "\n".join(filter(None, (_words(parts) for parts in prompts)))

    # Looks

    def tell_changing(self, *, is_changing: bool) -> None:
        """Whether an earlier message is being changed."""
        self._is_changing = is_changing
        self.tell()

    def tell(self) -> None:
        """Show everything, in the language of now."""
        lines = [_("next: {text}").format(text=_short(_words(parts))) for parts in self._waiting]
        if self._is_changing:
            lines.append(_("Changing an earlier question; sending it begins another branch. Esc leaves it."))
        if self._files:
            lines.append(_BETWEEN.join(_labels(self._files)))
        self._lines = lines
        self.update("\n".join(lines))
        self.display = bool(lines)


def _labels(files: Sequence[AttachedPart]) -> list[str]:
    """What is shown of each; a click takes it away."""
    images, others = count(1), count(1)
    return [
        f"[{_('Image #{number}').format(number=next(images))}] {part.attachment.name} ×"
        if isinstance(part, ImagePart)
        else f"[{_('File #{number}').format(number=next(others))}] {part.attachment.name} {tokens_told(part.attachment)} ×"
        for part in files
    ]


def _words(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_CHARACTERS]
