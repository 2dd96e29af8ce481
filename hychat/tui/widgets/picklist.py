"""A list to choose from: the bar stands before the row that is marked."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hychat.domain.text import printable

_MARGIN_CELLS: Final = 3
"""Two for the bar before a row, one before the scrollbar."""
_GAP_CELLS: Final = 2
_FACT_SIGN: Final = " · "
_LEAST_TITLE_CELLS: Final = 12


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to choose."""

    key: str
    """What the program knows it by."""
    title: str
    facts: str = ""
    """Small facts at the right edge, such as a size or a date, apart by ` · `; the first go first where there is no room."""
    detail: str = ""
    """A second row, muted."""
    found: tuple[tuple[int, int], ...] = ()
    """Where in the detail stands what was searched for, each first character and one past the last; the first is kept in view."""
    is_muted: bool = False
    """Whether it cannot be chosen now, or is of less weight."""
    is_heading: bool = False
    """Whether it only parts the list, and is not marked."""


class PickList(ScrollView, can_focus=True):
    """Items, one of which is marked; only what is seen is drawn."""

    DEFAULT_CSS = """
    PickList {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        & .picklist--bar { color: $bar; }
        & .picklist--title { color: $foreground; }
        & .picklist--marked { color: $foreground; text-style: bold; }
        & .picklist--muted { color: $muted; }
        & .picklist--found { color: $accent; }
        & .picklist--heading { color: $heading; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "picklist--bar", "picklist--title", "picklist--marked", "picklist--muted", "picklist--found", "picklist--heading",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)"),
        Binding("down,j", "step(1)"),
        Binding("pageup", "page(-1)"),
        Binding("pagedown", "page(1)"),
        Binding("home,g", "go_to(0)"),
        Binding("end,G", "go_to(-1)"),
        Binding("enter", "choose"),
    ]

    marked: var[int] = var(0)
    """Which item the bar stands before; -1 where there is none."""

    @dataclass
    class Marked(Message):
        """The bar stands before another item."""

        item: Item

    @dataclass
    class Chosen(Message):
        """The user chose an item."""

        item: Item

    def __init__(self, items: Sequence[Item] = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._items: tuple[Item, ...] = ()
        self._tops: list[int] = []
        """The first row of each item."""
        self.show(items)

    def show(self, items: Sequence[Item]) -> None:
        """Have these items; the bar stays with its item where that is still there."""
        before = self.item
        self._items = tuple(items)
        self._tops, rows = [], 0
        for item in self._items:
            self._tops.append(rows)
            rows += 2 if item.detail else 1
        self.virtual_size = Size(self._width, rows)
        keys = [item.key for item in self._items]
        self.marked = keys.index(before.key) if before and before.key in keys else self._markable(0, 1)
        self._scroll_to_marked()
        self.refresh()

    @property
    def items(self) -> tuple[Item, ...]:
        """All items."""
        return self._items

    @property
    def item(self) -> Item | None:
        """The one that is marked."""
        return self._items[self.marked] if 0 <= self.marked < len(self._items) else None

    def mark(self, key: str) -> None:
        """Put the bar before the item of that key."""
        for index, item in enumerate(self._items):
            if item.key == key:
                self.marked = index

    def watch_marked(self) -> None:
        """Show the bar where it is now."""
        if not self.is_mounted:
            return
        self._scroll_to_marked()
        self.refresh()
        if self.item is not None:
            self.post_message(self.Marked(self.item))

    def _markable(self, index: int, step: int) -> int:
        """The nearest item from there on that is no heading; -1 where there is none."""
        while 0 <= index < len(self._items) and self._items[index].is_heading:
            index += step
        return index if 0 <= index < len(self._items) else -1

    def _scroll_to_marked(self) -> None:
        if self.item is None or not self.size.height:
            return
        top = self._tops[self.marked]
        bottom = top + (2 if self.item.detail else 1)
        if self.marked and self._items[self.marked - 1].is_heading:
            top -= 1
        if top < self.scroll_y:
            self.scroll_to(y=top, animate=False)
        elif bottom > self.scroll_y + self.size.height:
            self.scroll_to(y=bottom - self.size.height, animate=False)

    # Keys

    def action_step(self, step: int) -> None:
        """The next item, or the one before."""
        found = self._markable(self.marked + step, step)
        self.marked = self.marked if found < 0 else found

    def action_page(self, pages: int) -> None:
        """A screen further."""
        rows = pages * max(1, self.size.height - 1)
        wanted = min(max(0, (self._tops[self.marked] if self.item else 0) + rows), max(0, self.virtual_size.height - 1))
        index = max(0, bisect_right(self._tops, wanted) - 1)
        found = self._markable(index, pages)
        self.marked = self.marked if found < 0 else found

    def action_go_to(self, index: int) -> None:
        """The first item, or the last."""
        self.marked = self._markable(index % max(1, len(self._items)), -1 if index else 1)

    def action_choose(self) -> None:
        """Take the marked item."""
        if self.item is not None:
            self.post_message(self.Chosen(self.item))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Mark an item; a click on the marked one chooses it."""
        row = round(self.scroll_y) + event.y
        index = bisect_right(self._tops, row) - 1
        if index < 0 or row >= self.virtual_size.height or self._items[index].is_heading:
            return
        if index == self.marked:
            self.action_choose()
        else:
            self.marked = index

    # Painting

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    def on_resize(self) -> None:
        """Take the new width."""
        self.virtual_size = Size(self._width, self.virtual_size.height)
        self._scroll_to_marked()

    def render_line(self, y: int) -> Strip:
        """One row."""
        row = round(self.scroll_y) + y
        index = bisect_right(self._tops, row) - 1
        base = self.rich_style
        if index < 0 or row >= self.virtual_size.height:
            return Strip.blank(self._width, base)
        item, is_marked = self._items[index], index == self.marked
        width = self._width - _MARGIN_CELLS
        bar = self.get_component_rich_style("picklist--bar")
        segments = [Segment("▎ " if is_marked else "  ", bar)]
        if row > self._tops[index]:
            segments += self._detail(item, width)
        else:
            segments += self._title(item, width, is_marked=is_marked)
        return Strip(segments).adjust_cell_length(self._width, base)

    def _title(self, item: Item, width: int, *, is_marked: bool) -> Iterator[Segment]:
        """The title, and the facts at the right edge where there is room for them."""
        style = self.get_component_rich_style(f"picklist--{_look(item, is_marked=is_marked)}")
        title, facts = printable(item.title).replace("\n", " "), _fitting_facts(item, width)
        room = width - cell_len(facts) - _GAP_CELLS
        if not facts or room < _LEAST_TITLE_CELLS:
            yield Segment(_cut(title, width), style)
            return
        yield Segment(set_cell_size(_cut(title, room), room + _GAP_CELLS), style)
        yield Segment(facts, self.get_component_rich_style("picklist--muted"))

    def _detail(self, item: Item, width: int) -> Iterator[Segment]:
        text, found = _with_match_in_view(item, width)
        text = _cut(text, width)
        muted = self.get_component_rich_style("picklist--muted")
        yield from _parted(text, found, muted, self.get_component_rich_style("picklist--found"))


def _look(item: Item, *, is_marked: bool) -> str:
    if item.is_heading:
        return "heading"
    if item.is_muted:
        return "muted"
    return "marked" if is_marked else "title"


def _fitting_facts(item: Item, width: int) -> str:
    """As many facts as leave room for the title, or for half of the row."""
    facts, wanted = printable(item.facts), min(cell_len(item.title), width // 2)
    while _FACT_SIGN in facts and width - cell_len(facts) - _GAP_CELLS < wanted:
        facts = facts.partition(_FACT_SIGN)[2].lstrip()
    return facts


def _with_match_in_view(item: Item, width: int) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The detail, less so much of its beginning that the first match is seen, and where the matches stand."""
    text, found = printable(item.detail), item.found
    if not found or cell_len(text[: found[0][1]]) <= width:
        return text, found
    begin = found[0][0]
    while begin and cell_len(text[begin : found[0][0]]) < width // 4:
        begin -= 1
    text = f"…{text[begin:]}"
    return text, tuple((first + 1 - begin, last + 1 - begin) for first, last in found)


def _parted(text: str, found: Sequence[tuple[int, int]], usual: Style, special: Style) -> Iterator[Segment]:
    end = 0
    for first, last in found:
        yield Segment(text[end:first], usual)
        yield Segment(text[first:last], special)
        end = last
    yield Segment(text[end:], usual)


def _cut(text: str, width: int) -> str:
    """The text in so many cells, with `…` where it was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"
