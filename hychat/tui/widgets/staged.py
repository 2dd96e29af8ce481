"""What stands between transcript and prompt: prompts that wait for their turn, files that go with the next one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from hychat.attach.parts import tokens_told
from hychat.domain.attachment import Attachment
from hychat.domain.message import AttachedPart, ImagePart, Part, TextPart
from hychat.domain.text import printable
from hychat.messages import _, ngettext
from hychat.tui.markdown.wrapping import wrap

_MOST_PROMPT_ROWS = 3
_MOST_FILE_ROWS = 4
_LONGEST_NAME_CELLS = 40
_BETWEEN = "   "


class _Label(NamedTuple):
    """A text in a row, and the file that a click on it leaves out."""

    text: str
    file: int | None = None


_Row = list[_Label]


class Staged(Widget):
    """A row for each prompt that waits, then the files, and the message that is being changed."""

    DEFAULT_CSS = """
    Staged {
        height: auto;
        color: $muted;
        display: none;
    }
    """

    def __init__(self) -> None:
        super().__init__(id="staged")
        self._waiting: list[tuple[Part, ...]] = []
        self._held: tuple[str, ...] = ()
        self._files: list[AttachedPart] = []
        self._opening = ""
        self._is_changing = False

    # Files that go with the next prompt

    @property
    def has_files(self) -> bool:
        """Whether a prompt without words would say something."""
        return bool(self._files)

    @property
    def files(self) -> tuple[AttachedPart, ...]:
        """What goes with the next prompt."""
        return tuple(self._files)

    @property
    def pictures(self) -> list[Attachment]:
        """Those among them that can be shown."""
        return [part.attachment for part in self._files if isinstance(part, ImagePart)]

    @dataclass
    class Changed(Message):
        """What goes with the next prompt is something else."""

    def attach(self, *files: AttachedPart) -> None:
        """Have these go with the next prompt."""
        self.set_files([*self._files, *files])

    def drop_last(self) -> bool:
        """Leave out what was attached last; whether there was anything."""
        had_files = self.has_files
        self.set_files(self._files[:-1])
        return had_files

    def set_files(self, files: Sequence[AttachedPart]) -> None:
        """Have these go with the next prompt, and no others."""
        self._files = [*files]
        self.tell()
        self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        """A click on what is attached leaves it out."""
        rows = [*self._rows(self.content_size.width)]
        edge = self.styles.padding.left
        for text, file in rows[event.y] if event.y < len(rows) else ():
            width = cell_len(text)
            if file is not None and edge <= event.x < edge + width:
                self.set_files([*self._files[:file], *self._files[file + 1 :]])
                return
            edge += width

    def drop_files(self) -> bool:
        """Leave the files out; whether there were any."""
        had_files = self.has_files
        self.set_files([])
        return had_files

    def parts(self, files: Iterable[AttachedPart], words: str) -> tuple[Part, ...]:
        """A prompt: what was attached, the files that its words name, its words. Nothing is attached any more."""
        parts: tuple[Part, ...] = (*self._files, *files, *([TextPart(words)] if words.strip() else []))
        self.set_files([])
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

    def tell_opening(self, step: str, held: Sequence[str] = ()) -> None:
        """What is being opened, where it is anything, and the words of prompts that wait for it."""
        self._opening, self._held = step, tuple(held)
        self.tell()

    def tell_changing(self, *, is_changing: bool) -> None:
        """Whether an earlier message is being changed."""
        self._is_changing = is_changing
        self.tell()

    def tell(self) -> None:
        """Show everything, in the language of now."""
        self.display = bool(self._waiting or self._held or self._files or self._opening or self._is_changing)
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Rows at that width."""
        return len([*self._rows(width)])

    def render(self) -> Text:
        """The rows, at the width of now."""
        rows = self._rows(self.content_size.width)
        return Text("\n".join("".join(label.text for label in row) for row in rows), no_wrap=True, end="")

    def _rows(self, width: int) -> Iterator[_Row]:
        """From top to bottom, none wider than that."""
        prompts = [*map(_told, self._waiting), *map(_one_line, self._held)]
        for text in prompts[:_MOST_PROMPT_ROWS]:
            yield [_Label(_cut(_("next: {text}").format(text=text), width))]
        if (more := len(prompts) - _MOST_PROMPT_ROWS) > 0:
            yield [_Label(ngettext("and {count} more", "and {count} more", more).format(count=more))]
        if self._is_changing:
            changing = _("Changing an earlier question; sending it begins another branch. Esc leaves it.")
            for row in wrap([(changing, Style())], max(2, width)):
                yield [_Label("".join(text for text, _style in row))]
        if self._opening:
            yield [_Label(_cut(self._opening, width))]
        yield from _file_rows(self._files, width)


def _file_rows(files: Sequence[AttachedPart], width: int) -> list[_Row]:
    """Whole labels side by side; where there are too many, the first ones are only counted."""
    labels = [_Label(_cut(text, width), number) for number, text in enumerate(_labels(files))]
    rows = _filled(labels, width)
    hidden = 0
    while len(rows) > _MOST_FILE_ROWS:
        hidden += 1
        rows = _filled([_Label(f"+{hidden}"), *labels[hidden:]], width)
    return rows


def _filled(labels: Sequence[_Label], width: int) -> list[_Row]:
    """As many labels in a row as it holds."""
    rows: list[_Row] = []
    used = 0
    for label in labels:
        cells = cell_len(label.text)
        if rows and used + len(_BETWEEN) + cells <= width:
            rows[-1] += [_Label(_BETWEEN), label]
            used += len(_BETWEEN) + cells
        else:
            rows.append([label])
            used = cells
    return rows


def _labels(files: Sequence[AttachedPart]) -> Iterator[str]:
    """What is shown of each."""
    images, others = count(1), count(1)
    for part in files:
        if isinstance(part, ImagePart):
            kind, tokens = _("Image #{number}").format(number=next(images)), ""
        else:
            kind, tokens = _("File #{number}").format(number=next(others)), tokens_told(part.attachment)
        name = _cut(_one_line(part.attachment.name), _LONGEST_NAME_CELLS)
        yield " ".join(filter(None, (f"[{kind}]", name, tokens, "×")))


def _told(parts: Sequence[Part]) -> str:
    """A prompt in one line: the names of its files, then its words."""
    names = [
        f"{'▣' if isinstance(part, ImagePart) else '▤'} {part.attachment.name}"
        for part in parts
        if isinstance(part, AttachedPart)
    ]
    return _one_line("  ".join(filter(None, (*names, _words(parts)))))


def _words(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
