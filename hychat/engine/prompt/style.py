"""Asking for a manner: formal, casual or friendly.

The wish stands at the end of the question and is rendered again from the style stored with the answer that follows it,
so switching the style in the middle of a chat changes nothing that the model has read already.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

from hychat.domain.choices import Style

Language = Literal["en", "zh"]

WORDING: Final[Mapping[Style, Mapping[Language, str]]] = {
    Style.FORMAL: {
        "en": "Answer in a formal style: complete sentences, precise words, no contractions, no slang or exclamations.",
        "zh": "请用正式、书面的语气回答：句子完整，用词严谨，不用口语、俚语、语气词和感叹号。",
    },
    Style.CASUAL: {
        "en": "Answer casually, like texting a buddy: short sentences, slang like yeah, gonna, kinda, cool.",
        "zh": "请用随意的口语回答，就像和朋友聊天：句子短，用大白话，可以用语气词。",
    },
    Style.FRIENDLY: {
        "en": "Be friendly and enthusiastic! Use exclamation marks! Encourage me!",
        "zh": "请用热情友好的语气回答：直接和我说话，亲切、体贴，多一点鼓励！",
    },
}
"""What is asked for, by style and language of the message; `python -m tests.bench.styles` shows how the styles part."""

_CARE: Final[Mapping[Language, str]] = {
    "en": "Take care: help only with what is lawful and safe, and say why where you do not.",
    "zh": "请谨慎回答：只提供合法、安全的帮助；如果不便回答，请说明原因。",
}

_NOT_PROSE: Final = re.compile(
    r"(`{3,}).*?(?:\1|\Z) | `[^`\n]*` | \w+://\S+ | \"[^\"\n]*\" | “[^”]*” | 「[^」]*」 | 《[^》]*》",
    re.DOTALL | re.VERBOSE,
)
"""Code, addresses and quotations: they are talked about, in whatever language."""
_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA: Final = re.compile(r"[\u3041-\u30ff]")
_LATIN_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_'’-]*")
_WORDS: Final = re.compile(f"{_HAN.pattern}|{_LATIN_WORD.pattern}")
_REQUEST_END: Final = re.compile(r"[\n:：]")
_ENGLISH: Final = "a an are do does explain how in into is me mean of please say the this to translate what with you"
_ENGLISH_FRAME: Final = frozenset(_ENGLISH.split())
_CHINESE_FRAME: Final = frozenset("的了是吗呢吧请把怎什么这那我你用写帮给和在有")
"""Words that hold a sentence together; Chinese borrows English words, but not these, and the other way round."""
_DATA_CHARACTERS_READ: Final = 4000


def styled(text: str, style: Style | None) -> str:
    """The text with the wish for a style after it, in the language of the text."""
    if style is None:
        return text
    return f"{text}\n\n{WORDING[style][language_of(text)]}"


def careful(text: str) -> str:
    """The text with the wish for care after it, in the language of the text."""
    return f"{text}\n\n{_CARE[language_of(text)]}"


def language_of(text: str) -> Language:
    """Whether a message is in Chinese or English.

    Chinese with English words in it is Chinese; English about a Chinese phrase is English. What stands before the first
    colon or line break decides where it says anything: "翻译: The quick brown fox" asks in Chinese. A message of data
    alone is in the language of its data; one without any words, as bare figures, is taken for English.
    """
    prose = _NOT_PROSE.sub(" ", text).strip()
    request = _REQUEST_END.split(prose, maxsplit=1)[0]
    candidates = (request, prose, text[:_DATA_CHARACTERS_READ])
    return _language_of_prose(next(filter(_WORDS.search, candidates), ""))


def _language_of_prose(prose: str) -> Language:
    """A Chinese character counts as much as a word in Latin letters; kana speak for Japanese."""
    words = _LATIN_WORD.findall(prose)
    if not _CHINESE_FRAME & set(prose) and _ENGLISH_FRAME & {word.lower() for word in words}:
        return "en"
    han = len(_HAN.findall(prose)) - len(_KANA.findall(prose))
    return "zh" if han > 0 and han >= len(words) else "en"
