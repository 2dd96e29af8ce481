"""The chat that lies on the desk: what every face of it, the TUI and the plain prompt, has in its hands."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from hychat.config.schema import KEYS, Config
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel, Style
from hychat.domain.errors import HychatError, UsageError
from hychat.domain.event import LoadProgress, TurnEvent, TurnFinished
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.domain.message import Conversation, Message, Role
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.engine.protocol import Engine
    from hychat.runtime import Runtime
    from hychat.session.chat import ChatSession

_USUAL_TEMPERATURE: Final = 0.7


class Desk:
    """One conversation at a time, with the settings that its next answer is made with."""

    def __init__(
        self, config: Config, open_runtime: "Callable[[], Runtime]", conversation: Conversation | None = None
    ) -> None:
        """`conversation` is one to go on with. The runtime is opened at its first use: the screen need not wait for it."""
        self.config = config
        self._open_runtime = open_runtime
        self._runtime: Runtime | None = None
        self.is_busy = False
        """Whether an answer is being written."""
        self._conversation = conversation
        self._opening = threading.Lock()
        """Held while session or runtime are made: the model is loaded in a thread, while the user may already choose."""
        self._session: ChatSession | None = None

    @property
    def runtime(self) -> "Runtime":
        """The engine and the history."""
        if self._runtime is None:
            with self._opening:
                self._runtime = self._runtime or self._open_runtime()
        return self._runtime

    @property
    def session(self) -> "ChatSession":
        """The chat; its model is looked for at the first use.

        Raises:
            ModelNotFound: Its model is not on this machine.
        """
        if self._session is None:
            runtime = self.runtime
            with self._opening:
                self._session = self._session or runtime.session(self._conversation)
        return self._session

    def load(self, cancel: CancelToken) -> Iterator[LoadProgress]:
        """Load the model, so that the first answer need not wait for it. Raises as `ChatSession.open`."""
        yield from self.session.open(cancel)

    def go_on_with(self, conversation: Conversation) -> None:
        """Begin with an earlier chat."""
        self._conversation = conversation

    def take_config(self, config: Config, changed: str) -> None:
        """Go on with these settings; of the present chat, only what was changed becomes another."""
        self.config = config
        if self._runtime is not None:
            self._runtime.config = replace(config, model=self._runtime.config.model)
        if self._session is None:
            return
        if changed == "style":
            self._session.style = config.style
        elif changed in {"safety", "guard_model", "keep_blocked"}:
            self._session.guard = self.runtime.guard(config.safety if changed == "safety" else self.safety)
        elif changed in self.generation_keys:
            self._session.settings = replace(self._session.settings, **{changed: getattr(config, changed)})

    def close(self) -> None:
        """End what was opened."""
        if self._runtime is not None:
            self._runtime.close()

    @property
    def conversation(self) -> Conversation:
        """What was said so far."""
        if self._session is not None:
            return self._session.conversation
        return self._conversation or Conversation(system=self.config.system)

    def open(self, conversation: Conversation | None) -> None:
        """Lay another conversation on the desk, or a new one; style and settings stay as they are.

        Raises:
            ModelNotFound: Its model is not on this machine.
        """
        before, self._session = self._session, self.runtime.session(conversation)
        if before is not None:
            self._session.settings, self._session.style = before.settings, before.style
            self._session.model, self._session.guard = before.model, before.guard

    def switch_model(self, name: str) -> None:
        """Go on with another model; it is loaded when it is asked.

        Raises:
            ModelNotFound: It is not on this machine.
        """
        self.runtime.switch_model(name)
        conversation = replace(self.conversation, model=name)
        self.open(conversation)
        self.session.model = None

    def switch_safety(self, level: SafetyLevel) -> None:
        """Filter the next turns at this level. Raises as `session`."""
        self.session.guard = self.runtime.guard(level)

    def compact(self, cancel: CancelToken) -> Iterator[TurnEvent]:
        """Have the chat summed up, and go on in a new one that knows the summary; the whole one stays in the history."""
        from hychat.session.chat import ChatSession

        whole = self.conversation
        model = self.runtime.model_name(whole)
        summing = ChatSession(
            self.runtime.engine(model),
            whole,
            settings=self._settings,
            guard=self.session.guard,
            eyes=self.runtime.eyes(),
        )
        request = _("Sum up our conversation so far in a few sentences: what I want, what was found out, what is open.")
        for event in summing.turn(request, cancel):
            yield event
            if isinstance(event, TurnFinished) and event.message.stop is StopReason.COMPLETE and event.message.text:
                known = _("What was said before, in short: {summary}").format(summary=event.message.text)
                system = f"{whole.system}\n\n{known}".strip()
                self.open(Conversation(title=whole.title, model=whole.model, system=system))

    def stand_at(self, conversation: Conversation) -> None:
        """Go on from another place of the same conversation, and remember it."""
        self.session.conversation = conversation
        if self.config.save and conversation.messages:
            self.runtime.history().save_position(conversation)

    @property
    def engine(self) -> "Engine":
        """What runs the model. Raises as `session`."""
        return self.session.engine

    # What is told of it

    @property
    def branch(self) -> tuple[Message, ...]:
        """The messages that are to be seen."""
        return self.conversation.branch()

    def last(self, role: Role) -> Message:
        """The last question, or the last answer.

        Raises:
            UsageError: There is none yet.
        """
        for message in reversed(self.branch):
            if message.role is role:
                return message
        raise UsageError(_("There is no answer yet.") if role is Role.ASSISTANT else _("There is no question yet."))

    @property
    def has_model(self) -> bool:
        """Whether its model was found on this machine."""
        return self._session is not None

    @property
    def has_starter_only(self) -> bool:
        """Whether the starter answers because nobody named a model, and the one to have is not here."""
        if self.config.model or not self.has_model:
            return False
        from hychat.catalogue.find import STARTER
        from hychat.catalogue.hub import is_offline

        return self.conversation.model == STARTER and not is_offline()

    @property
    def model_name(self) -> str:
        """What answers."""
        return (self.conversation.model or self.config.model or "").rpartition("/")[2]

    @property
    def device(self) -> str:
        """Where the model runs: `CPU`, or `GPU 25/25` with the layers that are there; empty before it is loaded."""
        model = self._session.model if self._session else None
        if model is None:
            return ""
        offloaded, layers = (int(model.metadata.get(key) or 0) for key in ("gpu_layers", "layers"))
        if not offloaded:
            return "CPU"
        return f"GPU {layers if offloaded < 0 else min(offloaded, layers)}/{layers}"

    @property
    def where(self) -> str:
        """What was planned for the model, and what llama.cpp says that each memory holds; empty before it is loaded."""
        from hychat.engine.plan import places_in_words

        model = self._session.model if self._session else None
        if model is None:
            return ""
        return "\n".join(filter(None, (model.metadata.get("plan"), places_in_words(self.engine.places()))))

    @property
    def style(self) -> Style | None:
        """The manner of the next answer."""
        return self._session.style if self._session else self.config.style

    @property
    def safety(self) -> SafetyLevel:
        """How much the filter stops."""
        if self._session is None:
            return self.config.safety
        return self._session.guard.level if self._session.guard else SafetyLevel.OFF

    @property
    def _settings(self) -> GenerationSettings:
        return self._session.settings if self._session else self.config.generation

    @property
    def _chosen(self) -> GenerationSettings:
        """The settings over those of the model, once it is known."""
        model = self._session.model if self._session else None
        return self._settings.over(model.defaults) if model else self._settings

    @property
    def temperature(self) -> float:
        """The one that the next answer is made with, as far as anybody knows before the model is loaded."""
        chosen = self._chosen.temperature
        return _USUAL_TEMPERATURE if chosen is None else chosen

    @property
    def has_own_temperature(self) -> bool:
        """Whether the user chose it."""
        return self._settings.temperature is not None

    @property
    def thinks(self) -> bool:
        """Whether the next answer may have a thought before it."""
        model = self._session.model if self._session else None
        return bool(self._chosen.think and model and model.builder.can_think)

    @property
    def context(self) -> tuple[int, int]:
        """Tokens that the chat fills, as of its last answer, and tokens that there are; 0 where that is not known yet."""
        model = self._session.model if self._session else None
        usage = self._last_usage
        return usage.prompt_tokens + usage.generated_tokens, model.context_tokens if model else 0

    @property
    def speed(self) -> float:
        """Tokens per second of the last answer; 0 before there is one."""
        return self._last_usage.decode_tokens_per_second

    @property
    def _last_usage(self) -> Usage:
        receipts = [message.receipt for message in self.branch if message.receipt]
        return receipts[-1].usage if receipts else Usage()

    @property
    def generation_keys(self) -> tuple[str, ...]:
        """Settings that may differ from chat to chat."""
        return tuple(field.name for field in fields(GenerationSettings) if field.name in KEYS)

    @property
    def adapter_choices(self) -> tuple[str, ...]:
        """What `/lora` can take away."""
        return tuple(f"-{adapter.name}" for adapter in self.engine.adapters) if self._session else ()

    @property
    def model_names(self) -> tuple[str, ...]:
        """Models that are on this machine."""
        from hychat.catalogue.find import installed_names  # brings YAML

        try:
            return installed_names()
        except HychatError:  # a broken file of the user's own is told where it is read for use
            return ()
