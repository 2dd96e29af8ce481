"""What is told beside an answer: how long its files are; with `-v` what runs where, and what it was made with."""

from collections.abc import Iterator
from dataclasses import asdict

from hychat.attach.parts import tokens_told
from hychat.cli.output import Output
from hychat.domain.attachment import Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.event import LoadProgress
from hychat.domain.message import Conversation
from hychat.engine.plan import places_in_words
from hychat.engine.protocol import Engine, LoadedModel
from hychat.messages import _, listed, ngettext


def loading(engine: Engine, cancel: CancelToken, output: Output) -> Iterator[LoadProgress]:
    """Load the model, and tell what it is and where it runs. Raises as `Engine.open`."""
    model = yield from engine.open(cancel)
    output.detail(_of_model(model))
    if plan := model.metadata.get("plan"):
        output.detail(plan)


def tell_tokens(attachment: Attachment, output: Output) -> None:
    """Tell somebody at a terminal about how much of the context a file takes."""
    if output.stderr.is_terminal and (tokens := tokens_told(attachment)):
        output.note(f"{attachment.name}: {tokens}")


def tell_answer(conversation: Conversation, engine: Engine, output: Output) -> None:
    """Tell what the last answer was made with, what of the model really lies where, and where the chat is kept."""
    receipt = conversation.leaf.receipt if conversation.leaf else None
    if receipt is not None:
        if places := places_in_words(engine.places()):
            output.detail(_("in memory: {places}").format(places=places))
        if engine.adapters:
            adapters = listed(adapter.in_words() for adapter in engine.adapters)
            output.detail(_("adapters: {adapters}").format(adapters=adapters))
        said = {name: value for name, value in asdict(receipt.settings).items() if value is not None}
        settings = listed(f"{name} {value}" for name, value in said.items() if name != "json_schema")
        output.detail(_("settings: {settings}").format(settings=settings))
        output.detail(_("chat: {id}").format(id=conversation.id))


def _of_model(model: LoadedModel) -> str:
    facts = model.metadata
    threads = int(facts.get("threads", 1))
    return ngettext(
        "model: {name} ({description}), context {context} tokens, on {devices}, {threads} thread",
        "model: {name} ({description}), context {context} tokens, on {devices}, {threads} threads",
        threads,
    ).format(
        name=model.name,
        description=facts.get("description", "?"),
        context=model.context_tokens,
        devices=facts.get("devices", "?"),
        threads=threads,
    )
