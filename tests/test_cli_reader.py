"""How the events of a turn become stdout, stderr and an exit code, by a scripted engine."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from hychat.cli.output import Output
from hychat.cli.reader import Wishes, read_turn
from hychat.cli.streams import OutputClosed, Stream
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import AnswerIncomplete, EngineCrashed, HistoryError, HychatError
from hychat.domain.event import TurnFinished
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation, Message
from hychat.engine.echo import EchoEngine
from hychat.session.chat import ChatSession

CODE = "Here it is:\n\n```python\nprint('hi')\n```\n\nAnd another:\n\n```\nno\n```\n"


class FullHistory:
    """Keeps nothing."""

    def save_message(self, _conversation: Conversation, _message: Message) -> None:
        raise HistoryError("The disk is full.")


@dataclass(slots=True)
class Shown:
    """What a turn wrote, and how it ended."""

    out_file: io.StringIO = field(default_factory=io.StringIO)
    error_file: io.StringIO = field(default_factory=io.StringIO)
    code: int | None = None
    error: HychatError | None = None

    @property
    def out(self) -> str:
        return self.out_file.getvalue()

    @property
    def told(self) -> str:
        return self.error_file.getvalue()


def show(
    script: Sequence[str | HychatError],
    wishes: Wishes,
    *,
    settings: GenerationSettings = GenerationSettings(),  # noqa: B008 - frozen
    can_think: bool = False,
    store: FullHistory | None = None,
) -> Shown:
    """Let the scripted engine say these pieces, and show the turn in a pipe."""
    session = ChatSession(EchoEngine([script], can_think=can_think), Conversation(), settings=settings, store=store)
    shown = Shown()
    output = Output(Stream(shown.out_file, {}), Stream(shown.error_file, {}))
    try:
        shown.code = read_turn(session.turn("why?", CancelToken()), output, wishes)
    except HychatError as error:
        shown.error = error
    return shown


def test_an_answer_ends_in_one_newline() -> None:
    assert show(["one", " two\n", "\n", "\n"], Wishes()).out == "one two\n"


def test_an_answer_begins_as_the_model_began_it() -> None:
    assert show(["    indented\n", "more"], Wishes()).out == "    indented\nmore\n"


def test_an_empty_answer_is_told() -> None:
    shown = show([], Wishes())

    assert (shown.code, shown.out, shown.told) == (0, "", "The model answered nothing.\n")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (CODE, "print('hi')\n"),
        ("~~~sh\nls\n~~~", "ls\n"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```\n"),
        ("```python\nleft open", "left open\n"),
        ("1. First:\n\n   ```sh\n   ls\n   ```\n", "ls\n"),
        ("- ls:\n  ```\n  ls |\n    wc\n  ```", "ls |\n  wc\n"),
        ("```sh\necho ```x\n``` y\n````\n", "echo ```x\n``` y\n"),
        ("```\r\nwindows\r\n```\r\n", "windows\n"),
    ],
)
def test_the_first_code_block_is_extracted(answer: str, code: str) -> None:
    shown = show([answer], Wishes(extract=True))

    assert (shown.code, shown.out, shown.told) == (0, code, "")


def test_an_answer_without_code_is_given_whole_and_that_is_said() -> None:
    shown = show(["no `block` here"], Wishes(extract=True))

    assert (shown.code, shown.out) == (0, "no `block` here\n")
    assert shown.told == "The answer has no code block; here is all of it.\n"


def test_a_thought_is_kept_apart() -> None:
    thinking = GenerationSettings(think=True)
    pieces = ["<think>", "hmm", "</think>", "yes"]

    hidden = show(pieces, Wishes(), settings=thinking, can_think=True)
    seen = show(pieces, Wishes(show_thinking=True), settings=thinking, can_think=True)
    as_json = json.loads(show(pieces, Wishes(as_json=True), settings=thinking, can_think=True).out)

    assert (hidden.out, hidden.told) == ("yes\n", "")
    assert (seen.out, seen.told) == ("yes\n", "hmm\n")
    assert (as_json["answer"], as_json["thought"]) == ("yes", "hmm")


def test_json_after_a_schema_is_one_value() -> None:
    schema = GenerationSettings(json_schema='{"type": "object"}')

    plain = show(['{"a": ', '"b"}'], Wishes(must_parse=True), settings=schema)
    wrapped = show(['{"a": ', '"b"}'], Wishes(must_parse=True, as_json=True), settings=schema)

    assert plain.out == '{"a": "b"}\n'
    assert json.loads(wrapped.out)["answer"] == {"a": "b"}


@pytest.mark.parametrize("as_json", [True, False])
def test_json_that_was_cut_is_an_error_and_not_on_stdout(as_json: bool) -> None:
    settings = GenerationSettings(json_schema='{"type": "object"}', max_tokens=1)

    shown = show(['{"a": ', '"b"}'], Wishes(must_parse=True, as_json=as_json), settings=settings)

    assert shown.out == ""
    assert isinstance(shown.error, AnswerIncomplete)
    assert shown.error.exit_code == 1


def test_an_engine_that_dies_leaves_what_was_written() -> None:
    shown = show(["one ", "two", EngineCrashed("It died.")], Wishes())

    assert shown.out == "one two\n"
    assert str(shown.error) == "It died."


def test_json_of_an_answer_that_failed_is_not_written() -> None:
    shown = show(["one", EngineCrashed("It died.")], Wishes(as_json=True))

    assert shown.out == ""
    assert isinstance(shown.error, EngineCrashed)


def test_a_history_that_fails_is_a_warning() -> None:
    shown = show(["yes"], Wishes(), store=FullHistory())

    assert (shown.code, shown.out) == (0, "yes\n")
    assert shown.told == "hychat: This chat is not saved. The disk is full.\n"


def test_a_reader_that_goes_away_leaves_the_turn_to_be_ended() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    cancel = CancelToken()
    session = ChatSession(EchoEngine([["one", "two", "three"]]), Conversation())
    events = session.turn("why?", cancel)

    with pytest.raises(OutputClosed):
        read_turn(events, Output(Stream(Closed(), {}), Stream(io.StringIO(), {})), Wishes())
    cancel.set()
    last = list(events)[-1]

    assert isinstance(last, TurnFinished)
    assert (last.message.text, last.message.stop) == ("one", StopReason.CANCELLED)
