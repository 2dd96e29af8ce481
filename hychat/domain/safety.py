"""What a guard says of a text or an image."""

from dataclasses import dataclass
from enum import StrEnum


class SafetyAction(StrEnum):
    """What is to be done with the text."""

    ALLOW = "allow"
    WARN = "warn"
    """It goes on, with care."""
    SUPPORT = "support"
    """Somebody speaks of harming himself: help instead of an answer."""
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class SafetyVerdict:
    """One guard's judgement."""

    action: SafetyAction
    category: str = ""
    score: float = 0.0
    """0 harmless to 1 harmful."""
    guard: str = ""
    reason: str = ""
    span: tuple[int, int] | None = None
    """First and one past the last character of what was found."""
