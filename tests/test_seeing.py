"""Pictures in a chat: seen by a model that can, put into words for one that cannot, and never sent where neither helps."""

import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from hychat.attach.parts import part_of_file
from hychat.catalogue import find as finding
from hychat.catalogue.find import projector_of
from hychat.catalogue.onlooker import fitting_onlooker
from hychat.domain.attachment import OCR, Attachment, AttachmentKind
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel, Style, Truncate
from hychat.domain.errors import Blocked, CannotSee, EngineCrashed, Interrupted, PromptTooLong
from hychat.domain.event import (
    LoadProgress,
    PictureRead,
    PictureUnseen,
    ReadingPicture,
    SafetyEvent,
    TurnEvent,
    TurnFailed,
)
from hychat.domain.generation import StopReason
from hychat.domain.message import Conversation, ImagePart, Message, TextPart
from hychat.domain.model import LocalModel, ModelSpec
from hychat.domain.safety import SafetyAction
from hychat.engine.echo import EchoEngine
from hychat.engine.onlooker import EngineOnlooker
from hychat.engine.prompt.segments import Prompt
from hychat.engine.protocol import result_of
from hychat.safety.guard import Guard, Layers
from hychat.safety.words import Entry, Tier, WordList
from hychat.session.chat import ChatSession
from hychat.session.eyes import MachineEyes, TextReader
from hychat.session.seeing import Eyes, road_text
from tests.sessions import Shelf, again, answer_in, ask, asked, data, failure, finished

WORDS = WordList(
    [
        Entry("sell a stolen boat", "fraud", Tier.BLOCK),
        Entry("silly old boat", "harassment", Tier.WARN),
        Entry("i feel like sinking", "self-harm", Tier.SUPPORT),
    ]
)
QUESTION = TextPart("What is this?")


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "grey").save(file, "PNG")
    return file.getvalue()


PIXELS = _png()


def picture(name: str = "cat.png", data: bytes = PIXELS) -> ImagePart:
    return ImagePart(Attachment(AttachmentKind.IMAGE, name, "image/png", data=data))


@dataclass
class Words:
    """Eyes that say what they are told to say."""

    text: str = "a grey cat"
    reader: str = OCR
    looked: list[str] = field(default_factory=list)

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Generator[TurnEvent, None, Attachment]:
        text = yield from self.text_in(picture, cancel)
        self.looked.append(question)
        return replace(picture, text=text, read_by=self.reader)

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
        if cancel.is_set:
            raise Interrupted("stopped")
        yield ReadingPicture(picture.name, self.reader)
        return self.text

    def advice(self) -> str:
        return ""


def session(engine: EchoEngine, eyes: Eyes | None = None, shelf: Shelf | None = None) -> ChatSession:
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: WORDS, lambda: None))
    return ChatSession(engine, Conversation(), store=shelf, eyes=eyes, guard=guard)


def pictures_of(engine: EchoEngine, index: int = -1) -> list[bytes]:
    return [segment.picture for segment in engine.prompts[index] if segment.picture]


# Who looks


def test_a_model_that_sees_gets_the_picture_and_no_words_for_it() -> None:
    engine, eyes = EchoEngine(can_see=True), Words()
    finished(ask(session(engine, eyes), [picture(), QUESTION]))
    assert pictures_of(engine) == [PIXELS]
    assert eyes.looked == []
    assert "cat" not in asked(engine)


def test_for_a_model_that_cannot_see_a_picture_is_put_into_words_which_the_user_is_told() -> None:
    engine, eyes = EchoEngine(), Words()
    events = ask(session(engine, eyes), [picture(), QUESTION])
    assert pictures_of(engine) == []
    assert "cat.png" in asked(engine)
    assert "a grey cat" in asked(engine)
    assert eyes.looked == ["What is this?"]
    assert [event.attachment.read_by for event in events if isinstance(event, PictureRead)] == [OCR]


def test_a_picture_is_read_once_in_a_chat() -> None:
    engine, eyes, shelf = EchoEngine(), Words(), Shelf()
    chat = session(engine, eyes, shelf)
    ask(chat, [picture(), QUESTION])
    ask(chat, "And now?")
    again(chat)
    assert len(eyes.looked) == 1
    assert "a grey cat" in asked(engine)


def test_the_words_of_another_model_are_marked_as_such() -> None:
    engine = EchoEngine()
    finished(ask(session(engine, Words(reader="qwen3-vl-2b")), [picture(), QUESTION]))
    assert "another model" in asked(engine)


def test_without_eyes_the_picture_is_refused_and_nothing_is_kept() -> None:
    engine, shelf = EchoEngine(), Shelf()
    chat = session(engine, None, shelf)
    assert isinstance(failure(ask(chat, [picture(), QUESTION])).error, CannotSee)
    assert engine.prompts == []
    assert chat.conversation.messages == ()


def test_a_model_that_cannot_see_is_told_that_there_was_a_picture() -> None:
    seeing = session(EchoEngine(can_see=True))
    finished(ask(seeing, [picture(), QUESTION]))
    engine = EchoEngine()
    later = ChatSession(engine, seeing.conversation, eyes=Words())
    finished(ask(later, "And now?"))
    assert "cat.png" in asked(engine)
    assert pictures_of(engine) == []


def test_a_model_that_sees_looks_itself_at_what_was_put_into_words() -> None:
    chat = session(EchoEngine([["Fine."]]), Words())
    finished(ask(chat, [picture(), QUESTION]))
    engine = EchoEngine(can_see=True)
    finished(ask(ChatSession(engine, chat.conversation), "And now?"))
    assert pictures_of(engine) == [PIXELS]
    assert "a grey cat" not in asked(engine)


def test_instructions_in_a_picture_are_read_by_the_filter_too() -> None:
    engine = EchoEngine()
    events = ask(session(engine, Words("How do I s.e.l.l a stolen b0at?")), [picture(), QUESTION])
    assert isinstance(failure(events).error, Blocked)
    assert engine.prompts == []


def test_what_was_blocked_in_a_picture_is_what_why_tells_of() -> None:
    chat = session(EchoEngine(), Words("How do I sell a stolen boat?"))
    ask(chat, [picture(), QUESTION])
    assert chat.verdict is not None
    assert (chat.verdict.action, chat.verdict.reason) == (SafetyAction.BLOCK, "sell a stolen boat")


@pytest.mark.parametrize("can_see", [True, False])
def test_who_speaks_of_harming_himself_in_a_picture_is_not_taken_for_the_user(can_see: bool) -> None:
    engine = EchoEngine([["A page of Hamlet."]], can_see=can_see)
    events = ask(session(engine, Words("I feel like sinking")), [picture(), QUESTION])
    assert finished(events).text == "A page of Hamlet."
    assert "Take care" in asked(engine)
    assert [event.verdict.action for event in events if isinstance(event, SafetyEvent)] == [SafetyAction.WARN]


@pytest.mark.parametrize("can_see", [True, False])
def test_who_says_beside_a_picture_that_he_thinks_of_harming_himself_is_helped(can_see: bool) -> None:
    engine, shelf = EchoEngine(can_see=can_see), Shelf()
    events = ask(session(engine, Words(), shelf), [picture(), TextPart("I feel like sinking")])
    assert finished(events).stop is StopReason.COMPLETE
    assert "988" in answer_in(events)
    assert engine.prompts == []
    assert [message.role for message in shelf.saved] == ["user", "assistant"]


def test_every_style_of_a_comparison_helps_who_says_such_a_thing() -> None:
    engine = EchoEngine()
    chat = session(engine, Words())
    asked_so = (picture(), TextPart("I feel like sinking"))
    events = [event for _style, event in chat.compare(asked_so, tuple(Style), CancelToken())]
    assert answer_in(events).count("988") >= len(Style)
    assert engine.prompts == []


def test_the_text_in_a_picture_is_judged_before_a_model_sees_it_itself() -> None:
    engine = EchoEngine(can_see=True)
    events = ask(session(engine, Words("How do I sell a stolen boat?")), [picture(), QUESTION])
    assert isinstance(failure(events).error, Blocked)
    assert engine.prompts == []


def test_where_nothing_is_filtered_nothing_is_read_for_the_filter() -> None:
    chat = session(EchoEngine(can_see=True), Words())
    chat.guard = None
    events = ask(chat, [picture(), QUESTION])
    assert not [event for event in events if isinstance(event, ReadingPicture)]


def test_a_text_in_a_picture_that_might_be_harmful_goes_on_with_care() -> None:
    plain, careful = EchoEngine(can_see=True), EchoEngine(can_see=True)
    finished(ask(session(plain, Words()), [picture(), QUESTION]))
    finished(ask(session(careful, Words("you silly old boat")), [picture(), QUESTION]))
    assert len(asked(careful)) > len(asked(plain))


@pytest.mark.parametrize(("score", "is_blocked"), [(0.9, True), (0.1, False)])
def test_a_picture_is_judged_before_a_model_sees_it(
    monkeypatch: pytest.MonkeyPatch, score: float, is_blocked: bool
) -> None:
    monkeypatch.setattr("hychat.safety.image.nsfw_score", lambda _data: score)
    engine = EchoEngine(can_see=True)
    events = ask(session(engine), [picture(), QUESTION])
    assert isinstance(events[-1], TurnFailed) == is_blocked
    assert bool(engine.prompts) != is_blocked


# What the user hears meanwhile


def test_that_a_picture_is_being_read_is_told_before_its_words_are_there() -> None:
    events = ask(session(EchoEngine(), Words()), [picture(), QUESTION])
    told = [event for event in events if isinstance(event, ReadingPicture | PictureRead)]
    assert [type(event) for event in told] == [ReadingPicture, PictureRead]
    assert told[0] == ReadingPicture("cat.png", OCR)


def test_a_model_that_looks_tells_how_far_it_is() -> None:
    eyes = MachineEyes(lambda: onlooker("A ", "cat."), lambda: None)
    told = [*eyes.read(picture().attachment, "What?", CancelToken())]
    assert isinstance(told[0], LoadProgress)
    assert {ReadingPicture("cat.png", "seer", 1.0), ReadingPicture("cat.png", "seer")} <= {*told}


def test_a_turn_that_is_stopped_while_a_picture_is_read_ends_as_stopped() -> None:
    engine, cancel = EchoEngine(), CancelToken()
    events: list[TurnEvent] = []
    for event in session(engine, Words()).turn([picture(), QUESTION], cancel):
        events.append(event)
        cancel.set()
    assert finished(events).stop is StopReason.CANCELLED
    assert engine.prompts == []


# Pictures of which nothing is known


def test_where_no_text_is_found_the_model_is_not_asked_and_what_helps_is_named() -> None:
    engine, shelf = EchoEngine(), Shelf()
    error = failure(ask(session(engine, Words(" "), shelf), [picture(), QUESTION])).error
    assert isinstance(error, CannotSee)
    assert "cat.png" in error.message
    assert "hychat models pull" in error.hint
    assert engine.prompts == []
    assert shelf.saved == []


@dataclass
class Reader(Words):
    """Finds text in pictures of letters only."""

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:  # noqa: ARG002
        yield ReadingPicture(picture.name, OCR)
        return "milk and bread" if picture.name == "list.png" else ""


def test_beside_a_picture_with_text_one_without_is_told_with_what_helps() -> None:
    engine = EchoEngine()
    events = ask(session(engine, Reader()), [picture(), picture("list.png"), QUESTION])
    told = [road_text(event.attachment) for event in events if isinstance(event, PictureRead)]
    assert len(told) == 2
    assert "hychat models pull" in told[1]
    assert "milk and bread" in asked(engine)


def test_a_model_that_could_see_says_that_its_projector_is_missing() -> None:
    eyes = MachineEyes(lambda: None, lambda: None, lambda: "hychat models pull qwen3-vl-2b")
    with pytest.raises(CannotSee) as raised:
        result_of(eyes.read(picture().attachment, "", CancelToken()))
    assert "projector" in raised.value.hint
    words = MachineEyes(lambda: None, lambda: reading("text"), lambda: "hychat models pull qwen3-vl-2b")
    [read] = [event for event in ask(session(EchoEngine(), words), [picture()]) if isinstance(event, PictureRead)]
    assert "hychat models pull qwen3-vl-2b" in road_text(read.attachment, read.advice)
    assert "hychat models pull qwen3-vl-2b" in raised.value.hint
    assert "rapidocr" not in raised.value.hint


# Pictures that another model saw


def seen_by_another(name: str = "cat.png") -> Conversation:
    chat = session(EchoEngine(can_see=True))
    finished(ask(chat, [picture(name), QUESTION]))
    return chat.conversation


def test_pictures_that_another_model_saw_are_put_into_words_for_one_that_cannot() -> None:
    engine, eyes, shelf = EchoEngine(), Words(), Shelf()
    chat = ChatSession(engine, seen_by_another(), eyes=eyes, store=shelf)
    events = ask(chat, "And now?")
    assert [event.attachment.name for event in events if isinstance(event, PictureRead)] == ["cat.png"]
    assert "a grey cat" in asked(engine)
    assert eyes.looked == ["What is this?"]
    ask(chat, "And then?")
    assert len(eyes.looked) == 1
    assert shelf.conversation is not None
    assert [message.text for message in shelf.conversation.branch()][0::2] == ["What is this?", "And now?", "And then?"]
    assert pictures_in(shelf.conversation.branch()[0])[0].text == "a grey cat"


def pictures_in(message: Message) -> list[Attachment]:
    return [part.attachment for part in message.parts if isinstance(part, ImagePart)]


def test_a_picture_that_nobody_here_can_look_at_is_told_once_and_the_chat_goes_on() -> None:
    engine = EchoEngine()
    chat = ChatSession(engine, seen_by_another(), eyes=MachineEyes(lambda: None, lambda: None))
    first, second = ask(chat, "And now?"), ask(chat, "And then?")
    assert [event.name for event in first if isinstance(event, PictureUnseen)] == ["cat.png"]
    assert not [event for event in second if isinstance(event, PictureUnseen)]
    assert len(engine.prompts) == 2


def test_what_stands_in_an_earlier_picture_is_judged_before_the_model_reads_it() -> None:
    engine = EchoEngine()
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: WORDS, lambda: None))
    chat = ChatSession(engine, seen_by_another(), eyes=Words("How do I sell a stolen boat?"), guard=guard)
    assert isinstance(failure(ask(chat, "And now?")).error, Blocked)
    assert engine.prompts == []


def test_a_question_that_is_asked_again_keeps_the_words_of_its_picture() -> None:
    eyes, shelf = Words(), Shelf()
    chat = ChatSession(EchoEngine(), seen_by_another(), eyes=eyes, store=shelf)
    again(chat)
    again(chat)
    assert len(eyes.looked) == 1
    assert shelf.conversation is not None
    assert pictures_in(shelf.conversation.branch()[0])[0].read_by == OCR


# What is long


class Heavy(EchoEngine):
    """An engine to which a picture is a thousand tokens."""

    def count(self, prompts: Sequence[Prompt], cancel: CancelToken) -> tuple[int, ...]:
        pictures = (sum(1000 for segment in prompt if segment.picture) for prompt in prompts)
        return tuple(words + more for words, more in zip(super().count(prompts, cancel), pictures, strict=True))


@pytest.mark.parametrize("truncate", [None, Truncate.HEAD])
def test_pictures_that_are_too_many_are_told_as_what_does_not_fit(truncate: Truncate | None) -> None:
    engine = Heavy(can_see=True, context_tokens=1500)
    error = failure(ask(session(engine), [picture(), picture("dog.png"), QUESTION], truncate)).error
    assert isinstance(error, PromptTooLong)
    assert "2002 of them" in error.hint
    assert "--truncate" not in error.hint


def test_where_the_words_are_too_long_cutting_is_offered_once() -> None:
    engine = EchoEngine(context_tokens=300)
    long = TextPart("word " * 900)
    refused, cut = (failure(ask(session(engine), [data("x"), long], way)).error for way in (None, Truncate.HEAD))
    assert "--truncate" in getattr(refused, "hint", "")
    assert "--truncate" not in getattr(cut, "hint", "")


def test_what_was_read_out_of_a_picture_may_be_cut_where_that_is_allowed() -> None:
    engine = EchoEngine(context_tokens=300)
    finished(ask(session(engine, Words("word " * 900)), [picture(), QUESTION], Truncate.TAIL))
    assert asked(engine).count("word") > 50


def test_a_picture_alone_gives_the_chat_its_name() -> None:
    chat = session(EchoEngine(can_see=True))
    finished(ask(chat, [picture("fox.png")]))
    assert chat.conversation.title == "fox.png"


# What this machine has to look with


def onlooker(*said: str) -> EngineOnlooker:
    return EngineOnlooker("seer", lambda: EchoEngine([said] if said else [[EngineCrashed("gone")]], can_see=True))


def reading(text: str) -> TextReader:
    """OCR that always finds the same."""

    def read(picture: bytes, name: str, cancel: CancelToken) -> Generator[None, None, str]:  # noqa: ARG001
        yield
        return text

    return read


def test_an_installed_model_looks_first() -> None:
    eyes = MachineEyes(lambda: onlooker("A ", "cat."), lambda: reading("text"))
    seen = result_of(eyes.read(picture().attachment, "What?", CancelToken()))
    assert (seen.text, seen.read_by) == ("A cat.", "seer")


def test_where_that_fails_text_is_read() -> None:
    eyes = MachineEyes(onlooker, lambda: reading("text"))
    seen = result_of(eyes.read(picture().attachment, "What?", CancelToken()))
    assert (seen.text, seen.read_by) == ("text", OCR)


def test_where_nothing_can_look_the_error_names_what_helps() -> None:
    with pytest.raises(CannotSee) as raised:
        result_of(MachineEyes(lambda: None, lambda: None).read(picture().attachment, "", CancelToken()))
    assert "hychat models pull qwen3-vl-2b" in raised.value.hint
    assert "pipx inject hychat rapidocr" in raised.value.hint
    assert raised.value.exit_code == 3


# Pairs of models and projectors


def local(path: Path) -> LocalModel:
    path.write_bytes(b"GGUF")
    return LocalModel(ModelSpec(path.stem, path.stem, family="", architecture=""), str(path))


@pytest.mark.parametrize(
    "name", ["mmproj-Seer-2B-Instruct-Q8_0.gguf", "mmproj-Seer-2B-Instruct-Q4_K_M.gguf", "seer-2b-instruct.mmproj.gguf"]
)
def test_a_projector_beside_a_model_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    assert projector_of(local(tmp_path / "Seer-2B-Instruct-Q4_K_M.gguf")) == tmp_path / name


def test_another_models_projector_in_the_same_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mmproj-Other-7B-F16.gguf").write_bytes(b"GGUF")
    assert projector_of(local(tmp_path / "Seer-2B-Instruct-Q4_K_M.gguf")) is None


def test_the_largest_model_that_fits_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {name: replace(finding.find(name)) for name in ("qwen3-vl-2b", "smolvlm-500m")}
    sizes = {"qwen3-vl-2b": 3000, "smolvlm-500m": 1000}
    paths = {name: tmp_path / f"{name}.gguf" for name in specs}
    for name, path in paths.items():
        path.write_bytes(bytes(sizes[name]))
    monkeypatch.setattr("hychat.catalogue.onlooker.installed_path", lambda spec: paths.get(spec.name))
    monkeypatch.setattr("hychat.catalogue.onlooker.projector_of", lambda local: Path(local.path))
    found = [fitting_onlooker(available) for available in (10_000, 5000, 1000)]
    assert [each and each.spec.name for each in found] == ["qwen3-vl-2b", "smolvlm-500m", None]


def test_a_photo_keeps_its_name_and_becomes_a_picture(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "JPEG")
    (tmp_path / "photo.txt").write_bytes(file.getvalue())
    part = part_of_file(tmp_path / "photo.txt")
    assert isinstance(part, ImagePart)
    assert (part.attachment.name, part.attachment.media_type) == ("photo.txt", "image/jpeg")
