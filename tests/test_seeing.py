"""Pictures in a chat: seen by a model that can, put into words for one that cannot, and never sent where neither helps."""

import io
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
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import Blocked, CannotSee, EngineCrashed
from hychat.domain.event import PictureRead, TurnFailed
from hychat.domain.message import Conversation, ImagePart, TextPart
from hychat.domain.model import LocalModel, ModelSpec
from hychat.engine.echo import EchoEngine
from hychat.engine.onlooker import EngineOnlooker
from hychat.safety.guard import Guard, Layers
from hychat.safety.words import Entry, Tier, WordList
from hychat.session.chat import ChatSession
from hychat.session.eyes import MachineEyes
from hychat.session.seeing import Eyes
from tests.sessions import Shelf, again, ask, asked, failure, finished

WORDS = WordList([Entry("sell a stolen boat", "fraud", Tier.BLOCK)])
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

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Attachment:  # noqa: ARG002 - the protocol's
        self.looked.append(question)
        return replace(picture, text=self.text, read_by=self.reader)


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


@pytest.mark.parametrize(("score", "is_blocked"), [(0.9, True), (0.1, False)])
def test_a_picture_is_judged_before_a_model_sees_it(
    monkeypatch: pytest.MonkeyPatch, score: float, is_blocked: bool
) -> None:
    monkeypatch.setattr("hychat.safety.image.nsfw_score", lambda _data: score)
    engine = EchoEngine(can_see=True)
    events = ask(session(engine), [picture(), QUESTION])
    assert isinstance(events[-1], TurnFailed) == is_blocked
    assert bool(engine.prompts) != is_blocked


# What this machine has to look with


def onlooker(*said: str) -> EngineOnlooker:
    return EngineOnlooker("seer", lambda: EchoEngine([said] if said else [[EngineCrashed("gone")]], can_see=True))


def test_an_installed_model_looks_first() -> None:
    eyes = MachineEyes(lambda: onlooker("A ", "cat."), lambda: lambda _data, _name: "text")
    seen = eyes.read(picture().attachment, "What?", CancelToken())
    assert (seen.text, seen.read_by) == ("A cat.", "seer")


def test_where_that_fails_text_is_read() -> None:
    eyes = MachineEyes(onlooker, lambda: lambda _data, _name: "text")
    seen = eyes.read(picture().attachment, "What?", CancelToken())
    assert (seen.text, seen.read_by) == ("text", OCR)


def test_where_nothing_can_look_the_error_names_what_helps() -> None:
    with pytest.raises(CannotSee) as raised:
        MachineEyes(lambda: None, lambda: None).read(picture().attachment, "", CancelToken())
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
