"""From a checkpoint to a GGUF: the header first, then every tensor in pieces, straight from file to file.

Experts are stacked by writing them one behind the other, so no more than a few pieces are ever in memory.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from hychat.conversion.card import read_card
from hychat.conversion.checkpoint import architecture_of, open_checkpoint, read_config
from hychat.conversion.encode import BF16, F16, FORMATS, Q8_0, DoesNotFit, Format, encoder, format_of
from hychat.conversion.families import family_of, read_geometry
from hychat.conversion.safetensors import unreadable
from hychat.conversion.special import read_special
from hychat.conversion.tensors import PlannedTensor, as_wide_as_stored, plan_tensors
from hychat.conversion.vocabulary import read_vocabulary
from hychat.conversion.whole_file import check_room, whole_file
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, InputUnreadable, Interrupted
from hychat.messages import _

OUTTYPES: Final = (*FORMATS,)
_ALIGNMENT: Final = 32
_PIECE_BYTES: Final = 4 << 20
_SPARE_BYTES: Final = 64 << 20
"""Of the disk, that is left to others; the header comes out of it too."""
_QUANTIZATION_VERSION: Final = 2

OnProgress = Callable[[int, int], None]
"""Bytes that are written, and all of them."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made."""

    path: Path
    bytes: int
    architecture: str
    """llama.cpp's name for it."""
    outtype: str
    tensors: int
    parameters: int


def convert(  # noqa: PLR0913 - what becomes what, and how it is watched
    folder: Path,
    output: Path,
    outtype: str | None,
    cancel: CancelToken,
    on_progress: OnProgress = lambda _done, _total: None,
    *,
    overwrites: bool = False,
) -> Converted:
    """Write the checkpoint in `folder` as a GGUF; nothing is left of one that cannot be finished.

    Without an `outtype` it is BF16 for a checkpoint in BF16, which loses nothing, else F16.

    Raises:
        InputUnreadable: There is no checkpoint, or a file of it is missing or damaged.
        ConversionError: It is of an architecture or type that hychat does not convert, or the GGUF cannot be written.
        UsageError: The output cannot be a file, is there already and must stay, or is one of the checkpoint's.
        Interrupted: It was cancelled.
    """
    _check_packages()
    with whole_file(output, sources=folder.glob("*"), overwrites=overwrites) as partial:
        architecture, parts, planned = _read(folder)
        wanted = FORMATS[outtype] if outtype else _precision_of(planned)
        work = _Work(planned, [format_of(tensor, wanted) for tensor in planned], cancel, on_progress)
        check_room(partial, output, work.total_bytes + _SPARE_BYTES)
        _write_header(partial, architecture, parts, work, wanted)
        header_bytes = partial.stat().st_size
        with partial.open("ab") as file:
            work.write_to(file)
        written = partial.stat().st_size
        work.check_whole(written, header_bytes)
    parameters = sum(math.prod(tensor.shape) for tensor in planned)
    return Converted(output, written, architecture, wanted.name, len(planned), parameters)


def _read(folder: Path) -> tuple[str, tuple[Any, ...], list[PlannedTensor]]:
    """llama.cpp's name of the architecture, what of the checkpoint writes keys, and its tensors. Raises as `convert`."""
    with _reading(folder):
        config = read_config(folder)
        family = family_of(architecture_of(config), config)
        checkpoint = open_checkpoint(folder, config)
        geometry = as_wide_as_stored(read_geometry(family, config), checkpoint)
        planned = plan_tensors(geometry, checkpoint)
        vocabulary = read_vocabulary(folder, config)
        parts = (geometry, vocabulary, read_special(folder, config, vocabulary), read_card(folder))
    return family.architecture, parts, planned


def _check_packages() -> None:
    try:
        import gguf.gguf_writer  # noqa: F401 - what follows imports them too, where nothing could be said
        import ml_dtypes  # noqa: F401 - likewise
    except ImportError as error:
        raise ConversionError(
            _("Conversion needs packages that are not installed."), hint="pipx inject hychat gguf ml-dtypes"
        ) from error


def _precision_of(planned: list[PlannedTensor]) -> Format:
    """What loses nothing and takes least: most weights' own type."""
    counts = Counter(part.dtype for tensor in planned if not tensor.is_exact for part in tensor.parts)
    return BF16 if counts.most_common(1)[0][0] == "BF16" else F16


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What the system says of a folder that it does not show."""
    try:
        yield
    except OSError as error:
        raise unreadable(folder, error) from error


def _write_header(path: Path, architecture: str, parts: tuple[Any, ...], work: "_Work", wanted: Format) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, size_label

    writer: Any = GGUFWriter(path, architecture)
    for part in parts:
        part.add_to(writer)
    writer.add_file_type(wanted.file_type)
    writer.add_quantization_version(_QUANTIZATION_VERSION)
    for tensor, form in zip(work.planned, work.formats, strict=True):
        kind = GGMLQuantizationType(form.type_id)
        length = form.bytes_of(math.prod(tensor.shape))
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), length, raw_dtype=kind)
    writer.add_size_label(size_label(*writer.get_total_parameter_count()))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except UnicodeEncodeError as error:
        message = _("The checkpoint's tokens or template hold text that is no UTF-8: {text}.")
        raise InputUnreadable(message.format(text=ascii(error.object[error.start : error.end]))) from error
    finally:
        writer.close()


@dataclass(frozen=True, slots=True)
class _Work:
    """All tensors, and how far it is."""

    planned: list[PlannedTensor]
    formats: list[Format]
    cancel: CancelToken
    on_progress: OnProgress

    @property
    def total_bytes(self) -> int:
        return sum(
            _padded(form.bytes_of(math.prod(tensor.shape)))
            for tensor, form in zip(self.planned, self.formats, strict=True)
        )

    def check_whole(self, written: int, header_bytes: int) -> None:
        """Whether all of it is in the file, and nothing else.

        Raises:
            ConversionError: It is not.
        """
        wanted = _padded(header_bytes) + self.total_bytes
        if written != wanted:
            raise ConversionError(
                _("What was written is not whole: it has {written} bytes in the place of {wanted}.").format(
                    written=written, wanted=wanted
                ),
                hint=_("Another program may have changed it; convert once more."),
            )

    def write_to(self, file: IO[bytes]) -> None:
        """Write the weights behind the header."""
        done, total = 0, self.total_bytes
        _pad(file)
        for tensor, form in zip(self.planned, self.formats, strict=True):
            for encoded in self._encoded(tensor, form):
                if self.cancel.is_set:
                    raise Interrupted(_("Stopped."))
                file.write(encoded)
                done += encoded.nbytes
                self.on_progress(done, total)
            _pad(file)

    def _encoded(self, tensor: PlannedTensor, form: Format) -> Iterator[Any]:
        try:
            for part in tensor.parts:
                encode = encoder(part.dtype, form, tensor.shape[-1])
                for piece in part.pieces(_PIECE_BYTES):
                    yield encode(piece)
        except DoesNotFit as error:
            shorter = form in {F16, Q8_0}
            raise ConversionError(
                _("{name} holds numbers that {type} cannot hold.").format(name=part.name, type=form.name),
                hint=_("Convert with --outtype bf16 or f32.") if shorter else _("It is damaged; fetch it again."),
            ) from error


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _pad(file: IO[bytes]) -> None:
    file.write(bytes(-file.tell() % _ALIGNMENT))
