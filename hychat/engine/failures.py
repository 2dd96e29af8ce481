"""What a user reads when the engine's child says that it could not do something."""

import re
from typing import Final, Protocol

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
from hychat.engine.projector import not_fitting
from hychat.messages import _

_WIDTHS: Final = re.compile(r"text model \(n_embd = (\d+)\) and mmproj \(n_embd = (\d+)\)")
"""What mtmd says of a projector whose width is another one."""


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
        return not_fitting(loading.projector or "", loading.name, _projector_reason(failed.detail))
    return ModelUnusable(
        _("llama.cpp cannot load {path}: {reason}").format(path=loading.path, reason=failed.detail or "?"),
        hint=_("Fetch the file again, or look for a llama-cpp-python that knows this model."),
    )


def _projector_reason(detail: str) -> str:
    if widths := _WIDTHS.search(detail):
        reason = _("mismatch of widths: a token of a picture has {theirs} numbers, and the model reads {ours}.")
        return reason.format(ours=widths[1], theirs=widths[2])
    return _("it does not read pictures.") if detail == wire.BLIND else detail
