"""Everything that can go wrong, as one tree.

    HychatError                     1
    ├── UsageError                  2   what was typed cannot be done
    │   ├── ConfigError                 config file or environment
    │   ├── InputUnreadable             a file or stdin that cannot be taken as what it is
    │   ├── SchemaError                 a JSON schema or grammar that cannot be used
    │   └── ConversationNotFound        no chat with that id
    ├── ModelNotFound               3   no such model, or it is not on this machine
    │   ├── CannotSee                   a picture for a model that cannot see, and nothing that can
    │   └── SpeechModelMissing          speech, and the model that writes it down is not on this machine
    ├── DownloadError               3   a model could not be fetched
    │   ├── HubUnreachable              no connection, or offline on purpose
    │   ├── HubRefused                  no such repository or file, or no right to it
    │   ├── DownloadDamaged             the file that came is not the one that was to come
    │   ├── DiskFull                    no room for it
    │   └── LicenceNotAccepted          its licence was not agreed to
    ├── ModelUnusable               4   there, but it cannot be loaded
    │   ├── ModelDamaged                not a whole GGUF
    │   ├── ModelRefused                the load audit says it would misbehave
    │   └── ModelTooLarge               not enough memory
    ├── PromptTooLong               5   more tokens than the context holds
    ├── Blocked                     6   the safety filter said no
    ├── EngineError                 1   the engine's process
    │   ├── EngineCrashed               it ended by itself
    │   ├── EngineSilent                it stopped answering
    │   └── EngineUnavailable           it cannot be started (llama-cpp-python broken or missing)
    ├── AnswerIncomplete            1   an answer that had to be whole was cut
    ├── ConversionError             1   a GGUF that cannot be made, measured or changed as asked
    ├── CatalogueError              1   a catalogue file that breaks its schema
    ├── ThemeError                  1   a theme that is not there, or whose file breaks its form
    ├── HistoryError                1   conversations cannot be read or written
    └── Interrupted               130   the user stopped it before there was an answer

Each says what happened, where, and what to do next (`hint`), and knows its exit code.
"""

from typing import ClassVar

from hychat.messages import _


class HychatError(Exception):
    """Base of all; its text is shown to the user as it is."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HychatError):
    """What was typed cannot be done."""

    exit_code = 2


class ConfigError(UsageError):
    """The config file or an environment variable has an unknown key or a bad value."""


class InputUnreadable(UsageError):
    """A file or stdin is missing, or is not text."""


class SchemaError(UsageError):
    """A JSON schema or grammar cannot be used to constrain an answer."""


class ConversationNotFound(UsageError):
    """No conversation has that id, or several do."""


class ModelNotFound(HychatError):
    """No model has that name, or its file is not on this machine."""

    exit_code = 3


class CannotSee(ModelNotFound):
    """The model cannot see, and nothing on this machine can look in its place."""


class SpeechModelMissing(ModelNotFound):
    """The model that writes speech down is not on this machine; it is on the hub."""

    def __init__(self, name: str, repository: str) -> None:
        super().__init__(
            _("The speech model {name} is not on this machine.").format(name=name),
            hint=_("Attach speech in a terminal, where you are asked whether to fetch it, or with --yes."),
        )
        self.name = name
        self.repository = repository


class DownloadError(HychatError):
    """A model could not be fetched."""

    exit_code = 3


class HubUnreachable(DownloadError):
    """The hub does not answer, or may not be asked."""


class HubRefused(DownloadError):
    """The hub has no such repository, revision or file, or does not give it to this user."""


class DownloadDamaged(DownloadError):
    """The file that came has another size or checksum than it must have; it was deleted."""


class DiskFull(DownloadError):
    """There is no room for the file; what was fetched of it is kept."""


class LicenceNotAccepted(DownloadError):
    """The model's licence asks for an agreement that was not given."""


class ModelUnusable(HychatError):
    """The model's file is there and cannot be loaded."""

    exit_code = 4


class ModelDamaged(ModelUnusable):
    """The file is not a whole, well-formed GGUF."""


class ModelRefused(ModelUnusable):
    """The load audit found that this build would answer with garbage."""


class ModelTooLarge(ModelUnusable):
    """There is not enough memory for the model or its context."""


class PromptTooLong(HychatError):
    """The prompt alone has more tokens than the context holds."""

    exit_code = 5

    def __init__(self, prompt_tokens: int, context_tokens: int, *, hint: str = "") -> None:
        """`hint` says what helps where that is not the usual."""
        super().__init__(
            _("The prompt has {prompt_tokens} tokens; the context has room for {context_tokens}.").format(
                prompt_tokens=prompt_tokens, context_tokens=context_tokens
            ),
            hint=hint or _("Shorten it, or let hychat cut the data: --truncate head, or --truncate tail."),
        )
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


class Blocked(HychatError):
    """The safety filter stopped the prompt or the answer."""

    exit_code = 6


class EngineError(HychatError):
    """The engine's process failed."""


class EngineCrashed(EngineError):
    """The engine's process ended by itself."""


class EngineSilent(EngineError):
    """The engine's process stopped answering and was ended."""


class EngineUnavailable(EngineError):
    """The engine's process cannot be started."""

    exit_code = 4


class AnswerIncomplete(HychatError):
    """An answer that had to be whole, such as JSON, was cut before its end."""


class ConversionError(HychatError):
    """A GGUF cannot be made, measured or changed as asked."""


class CatalogueError(HychatError):
    """A catalogue file breaks its schema."""


class ThemeError(HychatError):
    """There is no theme of that name, or its file breaks its form."""


class HistoryError(HychatError):
    """The conversations on disk cannot be read or written."""


class Interrupted(HychatError):
    """The user stopped the work before it had a result."""

    exit_code = 130
