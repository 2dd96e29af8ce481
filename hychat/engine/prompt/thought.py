"""From what a model writes to its thought and its answer.

Hunyuan writes `<think>`, a thought, `</think>`, `<answer>`, an answer, `</answer>`; Hy3 the same tags with the suffix
`:opensource`; other models often no `<answer>`. All of them drift: tags are lost, doubled, cut short or mixed up. What
is a tag is told from where it stands, so that an answer may speak of tags:

- An opening tag counts where its channel has said nothing yet; `<think>` not behind an `<answer>`. Both also count
  after one short line at the very start ("Okay.", then the thought), and an `<answer>` at the start of a line ends a
  thought that was not closed. `answer>` is read as `<answer>` where the answer has said nothing yet.
- A closing tag counts where its element is open, and `</answer>` closes a thought too. At first both elements count as
  open, because a lost tag or the prompt may have opened them. Where nothing was said yet, it is a double and left out.
- Any other tag is text, and so is a closing tag whose opening one was kept as text.

So a `</think>` whose opening tag was lost is left out; what stood before it has been given out as answer by then, and
stays that.

White space inside and between tags belongs to no channel and is left out, but for that between two runs of one channel.
A text without any tag comes out as it is.
"""

import re
from itertools import groupby
from typing import Final

from hychat.domain.event import Channel, TokenEvent

_SUFFIXES: Final = ("", ":opensource")
_TAGS: Final = tuple(
    f"<{slash}{name}{suffix}>" for slash in ("", "/") for name in ("think", "answer") for suffix in _SUFFIXES
)
_HEADLESS_TAGS: Final = tuple(f"answer{suffix}>" for suffix in _SUFFIXES)
_LONGEST: Final = max(map(len, _TAGS))

_TAG: Final = re.compile(r"<(?P<slash>/?)(?P<name>think|answer)(?::opensource)?>")
_HEADLESS_TAG: Final = re.compile(r"answer(?::opensource)?>")
_SPACE: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"[^\s][^\s<]*")

_OPENING_LINE_LENGTH: Final = 80
_ANNOUNCES_OR_QUOTES: Final = re.compile(r"[:：]\Z|[`\n]")


class ThoughtParser:
    """Reads a model's text as it comes. No text waits longer than the longest tag; white space waits for a word."""

    def __init__(self, starts_in_thought: bool) -> None:
        """Start inside a thought that the prompt opened, or not."""
        self._channel = Channel.THOUGHT if starts_in_thought else Channel.ANSWER
        self._has_tags = starts_in_thought
        self._is_fresh = True
        """Nothing was said since the channel was entered."""
        self._is_in_answer = False
        """An `<answer>` stands open."""
        self._closable = {"think", "answer"}
        self._quoted = {"think": 0, "answer": 0}
        """Opening tags kept as text, less their closing ones."""
        self._unread = ""
        self._space = ""
        """White space read and not given out yet."""
        self._space_behind: dict[Channel, str] = {}
        """White space that stood last in a channel when it was left."""
        self._spoken: set[Channel] = set()
        self._opening_line = ""
        """The first characters of the answer."""
        self._found: list[TokenEvent] = []

    @classmethod
    def resumed(cls, channel: Channel) -> "ThoughtParser":
        """Start in the middle of a thought or an answer: white space stands behind words that were said before."""
        parser = cls(starts_in_thought=channel is Channel.THOUGHT)
        parser._has_tags = True
        parser._is_fresh = False
        parser._spoken = {channel}
        if channel is Channel.ANSWER:
            parser._open("answer")
            parser._is_fresh = False
        return parser

    @property
    def is_in_thought(self) -> bool:
        """Whether what comes next belongs to a thought, as far as is known."""
        return self._channel is Channel.THOUGHT

    def feed(self, text: str) -> list[TokenEvent]:
        """What is certain after this piece of text."""
        return self._read(self._unread + text, is_end=False)

    def finish(self) -> list[TokenEvent]:
        """What was still waiting when the text ended. A thought that is open then stays a thought."""
        events = self._read(self._unread, is_end=True)
        if self._space and not (self._is_fresh and self._has_tags):
            self._say("")
        return events + self._taken()

    def _read(self, text: str, *, is_end: bool) -> list[TokenEvent]:
        at = 0
        while at < len(text):
            end = self._read_one(text, at, is_end=is_end)
            if end is None:
                break
            at = end
        self._unread = text[at:]
        return self._taken()

    def _taken(self) -> list[TokenEvent]:
        found, self._found = self._found, []
        runs = groupby(found, key=lambda event: event.channel)
        return [TokenEvent("".join(event.text for event in run), channel) for channel, run in runs]

    def _read_one(self, text: str, at: int, *, is_end: bool) -> int | None:
        """Read a run of white space, a tag or a word; where it ends, or None if only more text can tell what it is."""
        if space := _SPACE.match(text, at):
            self._space += space[0]
            return space.end()
        if tag := _TAG.match(text, at):
            self._read_tag(tag[0], tag["name"], is_closing=bool(tag["slash"]))
            return tag.end()
        if self._may_be_headless and (tag := _HEADLESS_TAG.match(text, at)):
            self._open("answer")
            return tag.end()
        if not is_end and self._may_become_tag(text, at):
            return None
        word = _WORD.match(text, at)
        end = word.end() if word else len(text)
        self._say(text[at:end])
        return end

    def _may_become_tag(self, text: str, at: int) -> bool:
        if len(text) - at >= _LONGEST:
            return False
        tags = (*_TAGS, *_HEADLESS_TAGS) if self._may_be_headless else _TAGS
        return any(tag.startswith(text[at:]) for tag in tags)

    @property
    def _may_be_headless(self) -> bool:
        return self._is_fresh and self._channel is Channel.ANSWER

    def _read_tag(self, tag: str, name: str, *, is_closing: bool) -> None:
        if is_closing and self._closes(name):
            self._close(name)
        elif not is_closing and self._opens(name):
            self._open(name)
        else:
            self._quoted[name] = max(0, self._quoted[name] + (-1 if is_closing else 1))
            self._say(tag)

    def _opens(self, name: str) -> bool:
        if self._channel is Channel.THOUGHT:
            return self._is_fresh or (name == "answer" and "\n" in self._space)
        if self._is_fresh:
            return not (name == "think" and self._is_in_answer)
        return self._is_after_opening_line

    @property
    def _is_after_opening_line(self) -> bool:
        """Whether one short line is all that was said, and it does not announce or quote what follows."""
        line = self._opening_line
        is_short = len(line) <= _OPENING_LINE_LENGTH and not _ANNOUNCES_OR_QUOTES.search(line)
        return is_short and not self._has_tags and "\n" in self._space

    def _closes(self, name: str) -> bool:
        if self._channel is Channel.THOUGHT and name == "think":
            return True
        if self._quoted[name]:
            return False
        return self._channel is Channel.THOUGHT or self._is_fresh or name in self._closable

    def _open(self, name: str) -> None:
        self._is_in_answer = name == "answer"
        self._closable.add(name)
        if self._is_in_answer:
            self._closable.discard("think")
        self._enter(Channel.ANSWER if self._is_in_answer else Channel.THOUGHT)

    def _close(self, name: str) -> None:
        self._is_in_answer = False
        self._closable.discard("think" if self._channel is Channel.THOUGHT else name)
        self._enter(Channel.ANSWER)

    def _enter(self, channel: Channel) -> None:
        if channel is not self._channel:
            self._space_behind[self._channel] = self._space
            self._space = ""
        self._channel = channel
        self._is_fresh = self._has_tags = True
        self._quoted = dict.fromkeys(self._quoted, 0)

    def _say(self, text: str) -> None:
        """Give text out in the present channel, with the white space before it where that is text too."""
        space = self._space_behind.pop(self._channel, "") + self._space
        if self._channel in self._spoken or not self._has_tags:
            text = space + text
        self._space = ""
        self._is_fresh = False
        self._spoken.add(self._channel)
        if self._channel is Channel.ANSWER and len(self._opening_line) <= _OPENING_LINE_LENGTH:
            self._opening_line += text
        self._found.append(TokenEvent(text, self._channel))
