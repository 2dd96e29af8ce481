"""A model that sees, asked to tell what a picture shows."""

from collections.abc import Callable, Generator
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.engine.oracle import EngineOracle
from hychat.engine.protocol import Engine, Piece

_MOST_TOKENS: Final = 400


class EngineOnlooker:
    """Looks with an engine of its own, which it opens for the first picture."""

    def __init__(self, name: str, open_engine: Callable[[], Engine]) -> None:
        """`name` is what the user calls the model."""
        self.name = name
        self._oracle = EngineOracle(open_engine, most_tokens=_MOST_TOKENS, is_whole=False)

    def describe(
        self, picture: bytes, request: str, cancel: CancelToken
    ) -> Generator[LoadProgress | PrefillProgress | Piece, None, str]:
        """What it says of a PNG or JPEG, with its progress. Raises as the oracle's `ask`."""
        return (yield from self._oracle.asking([request], cancel, [picture]))

    def close(self) -> None:
        """End the engine; a second call does nothing."""
        self._oracle.close()
