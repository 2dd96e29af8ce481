"""The conversation as one column of text, of which only what is seen is laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from hychat.tui.column import Column, Entry, Row
from hychat.tui.looks import Looks
from hychat.tui.markdown.look import Look
from hychat.tui.parts import DO

MARGIN_CELLS: Final = 2
"""Before the text: the bar, and a space."""
WIDEST_CELLS: Final = 100
"""Of text; longer lines are hard to read."""
_ROWS_KEPT: Final = 512
_COMPONENTS: Final = {
    name: f"transcript--{name.replace('_', '-')}"
    for name in (
        "muted", "question", "accent", "warning", "error", "heading", "strong", "emphasis", "strike", "code",
        "code_block", "link", "rule", "keyword", "string", "number", "comment", "function", "type",
    )
}  # fmt: skip
"""The looks of the text, each a component class."""


class Transcript(ScrollView):
    """Shows entries one under another; stays at the end while the reader is there, and never moves a reader who is not."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        & .transcript--bar { color: $bar; }
        & .transcript--band { background: $band; }
        & .transcript--muted { color: $muted; }
        & .transcript--question { color: $foreground; }
        & .transcript--accent { color: $accent; }
        & .transcript--warning { color: $warning; }
        & .transcript--error { color: $error; }
        & .transcript--heading { color: $heading; text-style: bold; }
        & .transcript--strong { text-style: bold; }
        & .transcript--emphasis { text-style: italic; }
        & .transcript--strike { text-style: strike; color: $muted; }
        & .transcript--code { color: $code-inline; }
        & .transcript--code-block { background: $band; color: $foreground; }
        & .transcript--link { color: $link; text-style: underline; }
        & .transcript--rule { color: $faint; }
        & .transcript--keyword { color: $code-keyword; }
        & .transcript--string { color: $code-string; }
        & .transcript--number { color: $code-number; }
        & .transcript--comment { color: $code-comment; text-style: italic; }
        & .transcript--function { color: $code-function; }
        & .transcript--type { color: $code-type; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"transcript--bar", "transcript--band", *_COMPONENTS.values()}
    BINDINGS: ClassVar[list[BindingType]] = []

    @dataclass
    class Clicked(Message):
        """Something in the text that does something was clicked."""

        action: tuple[str, ...]
        entry: Entry | None

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self.can_focus = False
        self.column = Column()
        self._is_following = True
        self._is_laid_out = False
        self._strips: LRUCache[int, Strip] = LRUCache(_ROWS_KEPT)
        """Rows as they are painted, by the identity of the row; what is forgotten is made again."""
        self._kept_rows: LRUCache[int, Row] = LRUCache(_ROWS_KEPT)
        self._shown_at = -1
        """The row of the column that was last on top; -1 where nothing that is on the screen can stay."""
        self._shown: list[Row] = []

    # What it shows

    def show(self, entries: Sequence[Entry]) -> None:
        """Have these entries."""
        self.column.show(entries)
        self._settle()

    def changed(self, entry: Entry) -> None:
        """Show what is new in an entry."""
        self.column.refresh(entry)
        self._settle()

    def follow(self) -> None:
        """Go to the end, and stay there."""
        self._is_following = True
        self._settle()

    def go_to(self, entry: Entry) -> None:
        """Bring an entry to the top."""
        self._is_following = False
        self._move_to(self.column.top_of(entry))

    def look_anew(self) -> None:
        """Lay everything out again: the theme or the language is another one."""
        self._lay_out_anew()
        self._settle()

    @property
    def is_following(self) -> bool:
        """Whether the end is in view."""
        return self._is_following

    @property
    def entry_on_top(self) -> Entry | None:
        """The entry that the first visible row belongs to."""
        return self.column.entry_at(round(self.scroll_y))

    def _looks(self) -> Looks:
        """The styles that the theme gives; a colour only where it is not the text's own."""
        style = {name: self.get_component_rich_style(each, partial=True) for name, each in _COMPONENTS.items()}
        markdown = Look(
            muted=style["muted"],
            heading=style["heading"],
            strong=style["strong"],
            emphasis=style["emphasis"],
            strike=style["strike"],
            code=style["code"],
            code_block=style["code_block"],
            language=style["muted"],
            link=style["link"],
            quote_bar=style["muted"],
            bullet=style["accent"],
            rule=style["rule"],
            table_header=style["strong"],
            tokens={
                "Keyword": style["keyword"],
                "Operator.Word": style["keyword"],
                "Name.Tag": style["keyword"],
                "Name.Builtin": style["function"],
                "Name.Function": style["function"],
                "Name.Attribute": style["function"],
                "Name.Decorator": style["function"],
                "Name.Class": style["type"],
                "Literal.String": style["string"],
                "Literal.Number": style["number"],
                "Comment": style["comment"],
                "Generic.Deleted": style["error"],
                "Generic.Inserted": style["string"],
                "Generic.Heading": style["strong"],
            },
        )
        names = ("muted", "question", "heading", "accent", "warning", "error")
        return Looks(markdown, **{name: style[name] for name in names})

    # Geometry

    @property
    def _width(self) -> int:
        """Cells of a row, the scroll bar not counted."""
        return self.scrollable_content_region.width

    @property
    def _text_width(self) -> int:
        return max(10, min(WIDEST_CELLS, self._width - 2 * MARGIN_CELLS))

    @property
    def left(self) -> int:
        """Cells before the margin."""
        return max(
            0, (self.size.width - self._text_width) // 2 - MARGIN_CELLS
        )  # as the prompt below, which has no scroll bar

    def on_resize(self, _event: events.Resize) -> None:
        """Lay out at the new width."""
        if self._text_width != self.column.width or not self._is_laid_out:
            self._is_laid_out = True
            top = self.column.part_at(round(self.scroll_y))
            self._lay_out_anew()
            if not self._is_following and top is not None:
                self._move_to(self.column.row_of(top))
                return
        self._settle()

    def _lay_out_anew(self) -> None:
        self.column.lay_out_anew(self._text_width, self._looks())
        self._strips.clear()
        self._shown_at = -1

    def _settle(self) -> None:
        """Lay out what is seen, at the end or where the reader is."""
        if not self.size.height:
            return
        top = self.column.settle_end(self.size.height) if self._is_following else round(self.scroll_y)
        self._move_to(top)

    def _move_to(self, top: int) -> None:
        top = self.column.settle(top, self.size.height)
        self._take_height()
        self.set_reactive(ScrollView.scroll_y, float(top))
        self.set_reactive(ScrollView.scroll_target_y, float(top))
        if self.column.height > self.size.height:
            self.vertical_scrollbar.position = top
        self._paint_changes(top)

    def _take_height(self) -> None:
        """Tell the scroll bar. Textual would lay the screen out at every new row; that is for when the bar comes or goes."""
        size = Size(self._width, self.column.height)
        if (size.height > self.size.height) != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(ScrollView.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height

    def _paint_changes(self, top: int) -> None:
        """Repaint what is not as it was: of an answer that grows that is its last rows, until it fills the screen."""
        before, was_at = self._shown, self._shown_at
        self._shown = [self.column.row(top + y) for y in range(self.size.height)]
        self._shown_at = top
        if was_at != top or len(before) != len(self._shown):
            self.refresh()
            return
        changed = [
            Region(0, y, self.size.width, 1)
            for y, (old, new) in enumerate(zip(before, self._shown, strict=True))
            if old is not new and old != new
        ]
        if changed:
            self.refresh(*changed)

    def validate_scroll_y(self, value: float) -> float:
        """Textual's bound, once what comes into view is laid out: it may be taller than was guessed."""
        rows, top = self.size.height, round(value)
        if not rows:
            return value
        is_near = top < self.scroll_y <= top + rows
        return self.column.settle(top, rows, from_below=is_near)

    def to_start(self) -> None:
        """Go to the first row."""
        self._is_following = False
        self._move_to(0)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The reader scrolled."""
        self._take_height()
        super().watch_scroll_y(old_value, new_value)
        self._is_following = new_value >= self.max_scroll_y - 1

    # Painting

    def render_line(self, y: int) -> Strip:
        """One row, with its margin."""
        at = round(self.scroll_y) + y
        row = self.column.row(at)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(at)) is not None:
            style = self.screen.get_component_rich_style("screen--selection")
            return self._strip(_selected(row, self._offset, span, style)).apply_offsets(0, at)
        strip = self._strips.get(id(row))
        if strip is None or self._kept_rows.get(id(row)) is not row:
            strip = self._strip(row)
            self._strips.set(id(row), strip)
            self._kept_rows.set(id(row), row)
        return strip.apply_offsets(0, at)

    @property
    def _offset(self) -> int:
        """Characters before the text of each row."""
        return self.left + MARGIN_CELLS

    def _strip(self, row: Row) -> Strip:
        base = self.rich_style
        bar = self.get_component_rich_style("transcript--bar") if row.is_marked else base
        behind = self.get_component_rich_style("transcript--band", partial=True) if row.is_band else Style()
        inside = [
            Segment("▎" if row.is_marked else " ", bar + behind),
            Segment(" ", base + behind),
            *(
                Segment(text, base + behind + style if style else base + behind)
                for text, style, _control in row.segments
            ),
        ]
        strip = Strip([Segment(" " * self.left, base), *inside])
        width = self.left + self._text_width + 2 * MARGIN_CELLS
        return strip.adjust_cell_length(width, base + behind).adjust_cell_length(self._width, base)

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Do what the clicked text says."""
        action = event.style.meta.get(DO) if event.style else None
        if action:
            event.stop()
            self.post_message(self.Clicked(tuple(action), self.column.entry_at(round(self.scroll_y) + event.y)))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, without margins."""
        start, end = selection
        first = start.y if start else 0
        last = min(end.y if end else self.column.height, self.column.height)
        self.column.settle(first, last - first + 1)
        rows = [self.column.row(y).text for y in range(first, last + 1)]
        if end is not None and rows and end.y == last:
            rows[-1] = rows[-1][: max(0, end.x - self._offset)]
        if start is not None and rows:
            rows[0] = rows[0][max(0, start.x - self._offset) :]
        return "\n".join(row.rstrip() for row in rows), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's
        """Paint the selection."""
        self.refresh()


def _selected(row: Row, offset: int, span: tuple[int, int], style: Style) -> Row:
    """The row with a part of its text in another style; the span counts the margin, and ends at -1 for the whole row."""
    first = max(0, span[0] - offset)
    last = len(row.text) if span[1] < 0 else max(0, span[1] - offset)
    segments: list[Segment] = []
    lengths = [len(segment.text) for segment in row.segments]
    for segment, begins in zip(row.segments, accumulate([0, *lengths]), strict=False):
        text, own, _control = segment
        low, high = (min(max(0, edge - begins), len(text)) for edge in (first, last))
        pieces = ((text[:low], own), (text[low:high], own + style if own else style), (text[high:], own))
        segments += [Segment(piece, look) for piece, look in pieces if piece]
    return Row(segments, row.is_marked, row.is_band)
