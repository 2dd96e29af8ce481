"""Finding words: the one rule for what matches, and the index that proposes where to look.

A text matches when it holds every word of the query, whatever the case. `holds` decides that, always. An FTS5 index
over runs of three characters (the trigram tokenizer) names the messages worth asking where a word is long enough;
shorter words, as most Chinese ones are, and an SQLite without that index only mean that more messages are asked.
"""

import re
from itertools import islice
from typing import Final

RUN_CHARACTERS: Final = 3
"""What FTS5's trigram tokenizer indexes (sqlite.org/fts5.html, section 4.3.5)."""
MOST_RUNS: Final = 50
"""Runs asked of the index for one query; far fewer already single a message out."""
SNIPPET_CHARACTERS: Final = 120
CHARACTERS_BEFORE_MATCH: Final = 40


def fold(text: str) -> str:
    """The text as it is searched: without case, in every script; never shorter than it was.

    FTS5 stops reading at a NUL, so a NUL is a space here.
    """
    return text.replace("\0", " ").casefold()


def folded_words(query: str) -> tuple[str, ...]:
    """The query's words, each once; signs in them are text like any other."""
    return tuple(dict.fromkeys(fold(query).split()))


def holds(folded: str, words: str) -> bool:
    """Whether a folded text holds every one of the words (in one string, apart by spaces); SQL calls it so too."""
    return all(word in folded for word in words.split())


def index_query(words: tuple[str, ...]) -> str:
    """What to ask the index: all runs of the words; empty when every word is shorter than a run."""
    starts = ((word, start) for word in words for start in range(len(word) - RUN_CHARACTERS + 1))
    runs = dict.fromkeys(word[start : start + RUN_CHARACTERS] for word, start in starts)
    return " AND ".join('"{}"'.format(run.replace('"', '""')) for run in islice(runs, MOST_RUNS))


def snippet(text: str, words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """One line of the text around the first match of the folded words, and where in it all matches stand."""
    found = _spans(text, words)
    begin = max(0, found[0][0] - CHARACTERS_BEFORE_MATCH) if found else 0
    end = min(len(text), begin + SNIPPET_CHARACTERS)
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    shift = len(before) - begin
    line = before + re.sub(r"\s", " ", text[begin:end]) + after
    return line, tuple((first + shift, min(last, end) + shift) for first, last in found if first < end)


def _spans(text: str, words: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Where the folded words stand in the text as it was written; of words at one place, the longest."""
    folded = fold(text)
    # Folding keeps or lengthens each character (ß becomes ss), so equal lengths mean equal places.
    origin = range(len(text)) if len(folded) == len(text) else [at for at, char in enumerate(text) for _ in fold(char)]
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    matches = re.finditer(pattern, folded)
    return tuple(dict.fromkeys((origin[match.start()], origin[match.end() - 1] + 1) for match in matches))
