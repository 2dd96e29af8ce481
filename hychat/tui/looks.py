"""How the text of the transcript looks: the styles that the theme in use gives it."""

from dataclasses import dataclass, field

from rich.style import Style

from hychat.tui.markdown.look import Look


@dataclass(frozen=True, slots=True)
class Looks:
    """Styles of what is not Markdown, and those of what is."""

    markdown: Look = field(default_factory=Look)
    muted: Style = field(default_factory=Style)
    question: Style = field(default_factory=Style)
    heading: Style = field(default_factory=Style)
    accent: Style = field(default_factory=Style)
    warning: Style = field(default_factory=Style)
    error: Style = field(default_factory=Style)
