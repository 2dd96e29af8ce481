"""What a user reads when the engine's child says that it could not do something."""

from typing import Protocol

from hychat.domain.errors import (
    EngineError,
    HychatError,
    InputUnreadable,
    ModelTooLarge,
    ModelUnusable,
    PromptTooLong,
    SchemaError,
)
from hychat.engine import wire
from hychat.messages import _


class Loading(Protocol):
    """What was to be loaded."""

    @property
    def path(self) -> str:
        """The model's file."""
        ...

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def projector(self) -> str | None:
        """The file that lets it see."""
        ...


def error_of(failed: wire.Failed, loading: Loading) -> HychatError:
    """The error that stands for a failure."""
    match failed.failure:
        case (
            wire.Failure.MEMORY
            | wire.Failure.MODEL
            | wire.Failure.DEVICE
            | wire.Failure.ADAPTER
            | wire.Failure.PROJECTOR
        ):
            return _load_error(failed, loading)
        case wire.Failure.TOO_LONG:
            prompt_tokens, context_tokens = failed.figures
            return PromptTooLong(prompt_tokens, context_tokens)
        case wire.Failure.GRAMMAR:
            return SchemaError(_("llama.cpp does not accept the grammar made from the schema."))
        case wire.Failure.PICTURE:
            return InputUnreadable(
                _("{name} cannot read a picture of this chat.").format(name=loading.name),
                hint=_("Attach it again, or as a PNG or JPEG."),
            )
        case _:
            return EngineError(_("The engine could not go on: {reason}").format(reason=failed.detail))


def _load_error(failed: wire.Failed, loading: Loading) -> HychatError:
    if failed.failure == wire.Failure.MEMORY:
        return ModelTooLarge(
            _("There is not enough memory for {path} and its context.").format(path=loading.path),
            hint=_("Set a smaller context (hychat config set context_tokens 2048) or take a smaller model."),
        )
    if failed.failure == wire.Failure.DEVICE:
        return ModelUnusable(
            _("llama.cpp put no layer of {path} on {devices}, though they were to go there.").format(
                path=loading.path, devices=failed.detail
            ),
            hint=_("Without devices: --gpu-layers 0. What they say of themselves: hychat doctor"),
        )
    if failed.failure == wire.Failure.ADAPTER:
        return ModelUnusable(_("llama.cpp cannot use the adapter {reason}").format(reason=failed.detail))
    if failed.failure == wire.Failure.PROJECTOR:
        return ModelUnusable(
            _("{projector} does not let {name} see: {reason}").format(
                projector=loading.projector, name=loading.name, reason=failed.detail
            ),
            hint=_("A projector belongs to one model; fetch the one that is published beside it."),
        )
    return ModelUnusable(
        _("llama.cpp cannot load {path}: {reason}").format(path=loading.path, reason=failed.detail or "?"),
        hint=_("Fetch the file again, or look for a llama-cpp-python that knows this model."),
    )
