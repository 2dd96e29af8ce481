"""What a user may choose by a word. Apart from the values they end up in, so that `--help` need not import those."""

from enum import StrEnum


class Style(StrEnum):
    """The manner an answer is asked for."""

    FORMAL = "formal"
    CASUAL = "casual"
    FRIENDLY = "friendly"


class SafetyLevel(StrEnum):
    """How much the filter stops."""

    OFF = "off"
    STANDARD = "standard"
    STRICT = "strict"


class Truncate(StrEnum):
    """Which end of over-long data to cut off."""

    HEAD = "head"
    TAIL = "tail"
