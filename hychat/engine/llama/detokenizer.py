"""From token bytes to text, a token at a time."""

import codecs


class Detokenizer:
    """Joins the bytes of tokens into characters; one UTF-8 character may span several tokens."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """The characters that are whole by now."""
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """A replacement character where the answer ended inside one."""
        return self._decoder.decode(b"", final=True)
