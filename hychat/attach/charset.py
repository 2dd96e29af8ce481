"""From bytes to text: UTF-8, UTF-16 with its mark, GB18030 where it is Chinese, and else what can be read of it."""

import codecs
from typing import Final

UTF_16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_COMMON_LEADS: Final = bytes(range(0xA1, 0xD8))
"""First bytes of GB 2312's punctuation and of its 3,755 common characters; the rare ones come after them."""
_COMMON_SHARE: Final = 0.5
"""Chinese has nearly all its characters there; other text that can be taken for GB18030, such as Latin-1, hardly any."""


def decoded(data: bytes) -> str:
    """As the text that it most likely is, with a replacement character for what is none; a byte order mark is dropped."""
    if data.startswith(UTF_16_MARKS):
        return data.decode("utf-16", "replace")
    text = utf_8(data)
    if text is None:
        text = _chinese(data)
    return data.decode("utf-8-sig", "replace") if text is None else text


def utf_8(data: bytes) -> str | None:
    """None where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _chinese(data: bytes) -> str | None:
    """From GB18030, which holds GBK and GB 2312; None where it is not that, or hardly Chinese."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    wide = "".join(character for character in text if not character.isascii())
    leads = wide.encode("gb2312", "ignore")[::2]
    common = len(leads) - len(leads.translate(None, _COMMON_LEADS))
    return text if common >= len(wide) * _COMMON_SHARE else None
