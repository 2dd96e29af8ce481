"""Which of the installed models may look at a picture in another model's place."""

from typing import Final

from hychat.catalogue.find import installed_path, known_models, projector_of
from hychat.domain.model import LocalModel

_BYTES_PER_FILE_BYTE: Final = 1.2
"""Memory of a model with its context and buffers, about."""


def fitting_onlooker(available_bytes: int) -> LocalModel | None:
    """The largest installed model that sees and fits into so much memory; None where there is none."""
    found: list[tuple[int, LocalModel]] = []
    for spec in known_models():
        if "image" in spec.capabilities and (path := installed_path(spec)):
            local = LocalModel(spec, str(path))
            if projector := projector_of(local):
                found.append((path.stat().st_size + projector.stat().st_size, local))
    fitting = [pair for pair in found if pair[0] * _BYTES_PER_FILE_BYTE <= available_bytes]
    return max(fitting, key=lambda pair: pair[0], default=(0, None))[1]
