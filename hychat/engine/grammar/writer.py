"""Collects the rules of a grammar under way."""

from typing import Final

from hychat.domain.errors import SchemaError
from hychat.messages import _

MAX_RULES: Final = 20_000

NOTHING: Final = '""'
"""The empty text. Never an empty alternative: GBNF would read on into the next line."""


class GrammarWriter:
    """Names rules; the same body twice is one rule."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def rule(self, kind: str, body: str) -> str:
        """The name of the rule with this body."""
        if len(self._names) == MAX_RULES:
            raise SchemaError(_("The schema is too large: it needs more than {most} rules.").format(most=MAX_RULES))
        return self._names.setdefault(body, f"{kind}-{len(self._names)}")

    def either(self, kind: str, options: list[str]) -> str:
        """An expression for one of several."""
        different = list(dict.fromkeys(options))
        return different[0] if len(different) == 1 else self.rule(kind, " | ".join(different))

    def text(self, root: str) -> str:
        """The whole grammar."""
        return "".join([f"root ::= {root}\n", *(f"{name} ::= {body}\n" for body, name in self._names.items())])
