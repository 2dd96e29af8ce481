"""What Markdown looks like, and the rows that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.segment import Segment
from rich.style import Style

Span = tuple[str, Style]
"""Text in one style."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The styles of all elements. What stands in other text is laid over the style of that text."""

    text: Style = field(default_factory=Style)
    muted: Style = field(default_factory=Style)
    """Addresses of links."""
    heading: Style = field(default_factory=Style)
    strong: Style = field(default_factory=Style)
    emphasis: Style = field(default_factory=Style)
    strike: Style = field(default_factory=Style)
    code: Style = field(default_factory=Style)
    """Code within a line."""
    code_block: Style = field(default_factory=Style)
    """Its background is that of the whole band."""
    language: Style = field(default_factory=Style)
    link: Style = field(default_factory=Style)
    quote_bar: Style = field(default_factory=Style)
    bullet: Style = field(default_factory=Style)
    """Of numbers and task boxes too."""
    rule: Style = field(default_factory=Style)
    """Of the line under a table's header too."""
    table_header: Style = field(default_factory=Style)
    tokens: Mapping[str, Style] = field(default_factory=dict)
    """By Pygments' token type, such as `Keyword` or `Name.Function`; a type without one takes that of its parent."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the screen."""

    segments: Sequence[Segment]
    copies: bool = False
    """Whether a code block begins here, which is the place to offer a copy of it."""

    @property
    def text(self) -> str:
        """The row without styles."""
        return "".join(segment.text for segment in self.segments)
