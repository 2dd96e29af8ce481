"""The tiktoken file of A13B and 7B: tokens as bytes in order of rank, from which llama.cpp's merges are worked out.

The special tokens are not in the file; the tokenizer's code puts them behind the last rank: five with names, then
`<|extra_0|>` and so on to the end of the vocabulary (`tokenization_hy.py` of these checkpoints).
"""

import base64
import binascii
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from hychat.conversion.safetensors import damaged, unreadable
from hychat.messages import _

_NAMED: Final = ("<|endoftext|>", "<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>")
_BYTES: Final = 256


def read_ranks(path: Path) -> dict[bytes, int]:
    """Tokens in order; one that stands there twice keeps its first place.

    Raises:
        InputUnreadable: It cannot be read, or is no such file.
    """
    ranks: dict[bytes, int] = {}
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if words := line.split():
                ranks.setdefault(base64.b64decode(words[0], validate=True), len(ranks))
                if len(words) != 2 or not words[1].isdigit() or b"" in ranks:  # noqa: PLR2004 - a token and its rank
                    raise damaged(path, _("line {number} is no token with its rank").format(number=number))
    except OSError as error:
        raise unreadable(path, error) from error
    except binascii.Error as error:
        raise damaged(path, _("line {number} is no token with its rank").format(number=number)) from error
    if any(bytes([byte]) not in ranks for byte in range(_BYTES)):
        raise damaged(path, _("some bytes have no token"))
    return ranks


def special_tokens(count: int) -> list[str]:
    """The tokens behind the last rank."""
    extras = (f"<|extra_{number}|>" for number in range(count - len(_NAMED)))
    return [*_NAMED, *extras][:count]


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The two tokens that each longer one is merged from last; one that no merges lead to is left out.

    Merging the pair of lowest rank again and again, as tiktoken does, with the ranks below the token's own only.
    """
    merges: list[tuple[bytes, bytes]] = []
    for token, rank in ranks.items():
        parts = _merged(ranks, token, rank)
        if len(parts) == 2:  # noqa: PLR2004 - a pair
            merges.append((parts[0], parts[1]))
    return merges


def _merged(ranks: Mapping[bytes, int], token: bytes, below: int) -> list[bytes]:
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 1:
        rank, place = min(
            (ranks.get(left + right, below), place) for place, (left, right) in enumerate(pairwise(parts))
        )
        if rank >= below:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def letters() -> dict[int, str]:
    """GPT-2's letter for each byte: printable ones stand for themselves, the others are moved past U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(_BYTES) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(_BYTES + nth) for nth, byte in enumerate(others)}
