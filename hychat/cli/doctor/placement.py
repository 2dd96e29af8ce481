"""What of a model went where: planned, and as llama.cpp tells it once the model has answered."""

import os
from collections.abc import Iterator
from functools import partial

from hychat.cli.doctor.finding import Check, Finding, Surroundings, both, error, ok, warn
from hychat.config.load import load
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.domain.generation import GenerationSettings
from hychat.engine.footprint import is_on_machine
from hychat.engine.plan import places_in_words
from hychat.engine.prompt.segments import ChatTurn
from hychat.engine.protocol import Engine, LoadedModel, result_of
from hychat.messages import _
from hychat.paths import config_file


def placement_of(model: str) -> Check:
    """The check for a model; an empty name takes the one that a question would."""
    return partial(_placement, model)


def _placement(name: str, around: Surroundings) -> Iterator[Finding]:
    """Load the model, have it answer with a token, and ask."""
    from hychat.runtime import Runtime  # brings what a chat needs

    runtime = Runtime(load(config_file(), os.environ).over({**around.flags, "model": name or None}))
    try:
        engine = runtime.engine(runtime.model_name())
        model = _answer_once(engine)
        places = engine.places()
    except HychatError as problem:
        yield error("load", problem.message, problem.hint)
        return
    finally:
        runtime.close()
    yield ok("plan", model.metadata.get("plan", ""), model=model.name)
    told = places_in_words(places)
    planned = int(model.metadata.get("gpu_layers", 0))
    is_on_devices = any(uses.get("model") for memory, uses in places.items() if not is_on_machine(memory))
    if planned and not is_on_devices:
        yield warn("load", told, _("The plan put layers on devices, and none is there; see the engine's log."))
    elif planned:
        yield ok("load", told, places=places)
    else:
        yield ok("load", both(told, _("KV cache and compute grow with the chat")), places=places)


def _answer_once(engine: Engine) -> LoadedModel:
    """Context and compute buffers come with the first answer. Raises as `Engine.open`."""
    model = result_of(engine.open(CancelToken()))
    prompt = model.builder.render("", (ChatTurn(is_user=True, text="?"),), think=False)
    for _event in engine.stream(prompt, GenerationSettings(max_tokens=1, seed=1), CancelToken()):
        pass
    return model
