"""A thousand lines of English, Chinese, code and emoji, the same each time, with all that tokenizers stumble over."""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np

COUNT: Final = 1000

_SUBJECTS: Final = (
    "The old lighthouse keeper", "My neighbour's cat", "A committee of seven", "Nobody",
    "Dr. O'Brien", "She", "We've all",
    "The 3rd engine", "Université de Montréal", "It", "Everyone who'd asked", "An INT4 model", "I'm sure he", "Zoë",
)  # fmt: skip
_VERBS: Final = (
    "wrote", "couldn't find", "is watching", "re-measured", "doesn't like", "has been repairing",
    "sold", "said it'll take",
    "SHOULDN'T HAVE LOST", "they're counting", "quantized", "won 12,345.67 of", "e-mailed",
)  # fmt: skip
_OBJECTS: Final = (
    "a letter to the harbour office", "42 boats", "the quick brown fox", "$1,299.99 worth of tea",
    "page 1984 (of 2048)",
    "naïve résumés", "well-known half-truths", "https://example.org/a?b=c&d=%20#e",
    "the 7B checkpoint", "nothing at all",
    "an umbrella…", "“quoted” words", "50% of 1/3", "user@example.com", "æther & œuvre", "the Straße",
)  # fmt: skip
_ENDS: Final = (".", "!", "?", "...", " -- really?!", ";", " :", "\n", ".\n\n", "  ", "\t", " .", "", "!!!")
_ZH_STARTS: Final = (
    "我们",
    "昨天下午，",
    "这个模型",
    "腾讯混元",
    "他说：“",
    "北京大学的老师",
    "请问",
    "第三章",
    "人工智能",
    "她的猫",
)
_ZH_MIDDLES: Final = (
    "在家里写了一封信", "喜欢喝茶", "把2024年的数据整理好了", "使用INT4量化以后只占4.6GB", "去了上海和深圳", "翻译这段文字",
    "不知道为什么", "觉得非常有意思", "混合专家共有64个", "龍馬精神", "㐂欢生僻字𠮷野家", "跑得很快",
)  # fmt: skip
_ZH_ENDS: Final = ("。", "！", "？", "……", "”。", "，对吗？", "~", "\n", "（完）", "；", "：", "、等等")
_OTHER: Final = (
    "こんにちは世界",
    "カタカナとひらがな",
    "안녕하세요",
    "Привет, мир",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "Ελλάδα",
)
_CODE: Final = (
    "def {n}(x: int = {d}) -> list[str]:", '    return [f"{{i:>{d}}}" for i in range({d})]',
    "if ({n} != {d} && !{n}_ok) {{",
    "\tfor (size_t i = 0; i < {d}u; ++i) {{ {n}[i] += 0x{d:X}; }}",
    "SELECT * FROM {n} WHERE id={d} AND name LIKE '%a_b%';",
    "<div class=\"{n}\" id='x{d}'>&nbsp;</div>", "{n}.{n}(lambda _: _ ** {d})  # noqa",
    "$ curl -sSL http://127.0.0.1:{d}/{n} | jq '.[]'",
    '    "{n}": {{"value": {d}, "ok": true, "e": 1e-{d}}},', "#include <{n}.h>",
    "import {n} as _{n}{d}", "// {n}: TODO({d})",
    "        self.{n} = {n}", "\\frac{{{d}}}{{{n}}} \\cdot \\alpha^{{{d}}}", "```python",
    "|---|:--:|{d}|", "===={n}====", "{{{{{n}}}}}",
)  # fmt: skip
_NAMES: Final = (
    "main",
    "snake_case_name",
    "camelCaseName",
    "HTTPServer2",
    "x",
    "读取文件",
    "__init__",
    "Ünïcode",
    "kv_cache",
)
_EMOJI: Final = (
    "🚀", "😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇨🇳🇺🇳", "❤️", "1️⃣", "🧑🏿‍💻", "☺", "🤷‍♀️", "✅", "🐛🐛🐛",
    "（￣▽￣）", "¯\\_(ツ)_/¯", "∑∫√≈", "→⇒", "①②③",
    "½", "™️", "\u200b", "\u00a0", "e\u0301", "Z̷̧a̶l̴g̵o̶", "Ⅷ", "𝒳𝓎",
)  # fmt: skip
_SPECIAL: Final = (
    "<|eos|>",
    "<|startoftext|>",
    "<|extra_0|>",
    "<｜hy_User｜>",
    "<｜hy_place▁holder▁no▁2｜>",
    "<|eos",
    "<think>",
    "|>",
)
_GAPS: Final = (" ", "  ", "\t", "\n", " \n ", "", "    ", "\r\n", "\n\n\n", "\u3000")


@cache
def lines() -> tuple[str, ...]:
    """A quarter of each kind."""
    state = np.random.RandomState(20)

    def one(of: tuple[str, ...]) -> str:
        return of[state.randint(len(of))]

    def english() -> str:
        return f"{one(_SUBJECTS)} {one(_VERBS)} {one(_OBJECTS)}{one(_ENDS)}"

    def chinese() -> str:
        return one(_ZH_STARTS) + one(_ZH_MIDDLES) + one(_ZH_ENDS) + (one(_OTHER) if state.randint(3) == 0 else "")

    def code() -> str:
        return one(_CODE).format(n=one(_NAMES), d=10 ** state.randint(7) + state.randint(100))

    def emoji() -> str:
        pieces = [one(_EMOJI), one(_GAPS), one(_OBJECTS), one(_EMOJI), one(_GAPS), one(_ZH_MIDDLES), one(_EMOJI)]
        return "".join(pieces) + (one(_SPECIAL) + one(_GAPS) + one(_SPECIAL) if state.randint(4) == 0 else "")

    kinds: tuple[Callable[[], str], ...] = (english, chinese, code, emoji)
    return tuple(kinds[number % len(kinds)]() for number in range(COUNT))
