"""Names of files on the hub, as users type them: `hf:owner/repo`, `hf:owner/repo:Q4_0`, `hf:owner/repo:file.gguf`."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from hychat.domain.errors import UsageError
from hychat.messages import _

PREFIX: Final = "hf:"
PREFERRED_QUANTIZATIONS: Final = ("Q4_K_M", "Q4_0", "IQ4_XS")
"""INT4 first: what the models of the catalogue come in."""
_PART: Final = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)", re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_PROJECTOR: Final = "mmproj"
_QUANTIZATION: Final = re.compile(r"(^|[-._])(UD[-_])?((I|T)?Q\d\w*|MXFP4\w*|BF16|F16|F32)$", re.IGNORECASE)
"""At the end of a file's name; `UD` is one publisher's mark."""
_PREFERRED_PROJECTORS: Final = ("Q8_0", "F16", "BF16")
"""The small one first: it is half of the other, and sees as well."""
_NO_MODELS_NAME: Final = re.compile(r"[-._]*(?:model)?[-._]*", re.IGNORECASE)
"""What makers add to a projector's name that is no name of a model."""


class HubReference(NamedTuple):
    """A repository, and what of it."""

    repository: str
    choice: str
    """A file, or a quantization; empty: the best there is."""


def is_reference(name: str) -> bool:
    """Whether a name says that it is one of the hub."""
    return name.startswith(PREFIX)


def read_reference(name: str) -> HubReference:
    """Take a name apart.

    Raises:
        UsageError: It has another form.
    """
    repository, _colon, choice = name.removeprefix(PREFIX).partition(":")
    if not _REPOSITORY.fullmatch(repository) or ".." in name:
        raise UsageError(
            _("{name} does not name a repository of the hub.").format(name=name),
            hint=_("The form is hf:owner/repository, with :Q4_0 or :file.gguf behind it where you want that one."),
        )
    return HubReference(repository, choice)


def choose(names: Sequence[str], choice: str) -> str | None:
    """The file that is meant, of those that a repository has: by name, by quantization, or the best of INT4.

    Of a split model it is the first part. None where nothing fits.
    """
    models = [name for name in names if is_first_part(name) and not is_projector(name)]
    if choice:
        exact = [name for name in names if choice in {name, name.rpartition("/")[2]}]
        return next(iter(exact), None) or next((name for name in models if is_quantized_as(name, choice)), None)
    for quantization in PREFERRED_QUANTIZATIONS:
        for name in models:
            if is_quantized_as(name, quantization):
                return name
    return models[0] if len(models) == 1 else None


def is_quantized_as(name: str, quantization: str) -> bool:
    """Whether a file's name says so: `Q4_0` stands in `model-Q4_0.gguf`, and not in `model-IQ4_0_4.gguf`."""
    return bool(re.search(rf"(?<![A-Za-z0-9]){re.escape(quantization)}(?![A-Za-z0-9_])", name, re.IGNORECASE))


def is_first_part(name: str) -> bool:
    """Whether a file is a whole model, or the first part of one."""
    part = _PART.search(name)
    return part is None or int(part[1]) == 1


def is_projector(name: str) -> bool:
    """Whether a file is the part of an image model that sees, by llama.cpp's naming."""
    return _PROJECTOR in name.lower()


def fitting_projector(model: str, names: Sequence[str]) -> str | None:
    """Of files that are published or lie together, the projector of a model by their names; None where none is.

    It has the model's name in its own, or, where all are one model in several quantizations, no model's name at all.
    """
    projectors = [name for name in names if is_projector(name) and name.lower().endswith(".gguf")]
    stems = {_stem(model).lower(), _model_name(model)}
    fitting = [name for name in projectors if any(stem in _stem(name).lower() for stem in stems)]
    models = {_model_name(name) for name in names if not is_projector(name) and name.lower().endswith(".gguf")}
    if not fitting and models <= stems:
        fitting = [name for name in projectors if _NO_MODELS_NAME.fullmatch(_model_name(name).replace(_PROJECTOR, ""))]
    order = {quantization: place for place, quantization in enumerate(_PREFERRED_PROJECTORS)}
    ranked = [
        (next((place for kind, place in order.items() if is_quantized_as(name, kind)), len(order)), name)
        for name in fitting
    ]
    return min(ranked, default=(0, None))[1]


def _stem(name: str) -> str:
    """Of a file's name, whatever folder it is in and whichever part of a model."""
    return _PART.sub("", name.rpartition("/")[2]).removesuffix(".gguf")


def _model_name(name: str) -> str:
    """As makers name their files: `model-2b-instruct` of `Model-2B-Instruct-Q4_K_M.gguf`."""
    return _QUANTIZATION.sub("", _stem(name)).lower()


def all_parts(name: str) -> list[str]:
    """The files of a split model, from the name of one; of any other just the one."""
    part = _PART.search(name)
    if part is None:
        return [name]
    return [
        f"{name[: part.start()]}-{number:05}-of-{part[2]}{name[part.end() :]}" for number in range(1, int(part[2]) + 1)
    ]


def leaves_its_folder(name: str) -> bool:
    """Whether a file's name, taken as a path, could point outside of the repository's folder."""
    return name.startswith(("/", "~")) or "\\" in name or ".." in name.split("/") or "\0" in name
