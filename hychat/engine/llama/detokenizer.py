"""From token bytes to text, a token at a time."""

import codecs


class Detokenizer:
    """Joins the bytes of tokens into characters; one UTF-8 character may span several tokens.

    Bytes that cannot be UTF-8 become U+FFFD. A character that an answer breaks off in the middle is left out.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """The characters that are whole by now."""
        return self._decoder.decode(piece)

    @property
    def is_whole(self) -> bool:
        """Whether no character is broken off in the middle."""
        return not self._decoder.getstate()[0]
