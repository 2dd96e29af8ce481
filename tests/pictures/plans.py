"""The README's table of what goes where, planned for headers of the published shapes: `python -m tests.pictures.plans`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hychat.engine.gguf import read_header
from hychat.engine.plan import Device, LoadPlan, plan
from tests.whole_models import SHAPES, write_whole

_GPUS: Final = (0, 4, 8, 12, 24)
"""Free memory in GiB."""
_MACHINE: Final = 64
_GIB: Final = 1 << 30


def rows() -> Iterator[str]:
    """The table in Markdown, row by row."""
    yield _row("", "CPU only", *(f"{size} GB GPU" for size in _GPUS[1:]))
    yield _row(*["---"] * (len(_GPUS) + 1))
    with TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            path = write_whole(Path(folder) / f"{name}.gguf", shape)
            yield _row(f"`{name}`", *(_cell(_planned(path, size), shape.layers) for size in _GPUS))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _planned(path: Path, gpu: int) -> LoadPlan:
    size = gpu * _GIB
    devices = [Device("GPU0", "", "gpu", size, size)] if gpu else []
    return plan(read_header(str(path)), available_memory_bytes=_MACHINE * _GIB, devices=devices)


def _cell(made: LoadPlan, layers: int) -> str:
    here, *there = (place.total / _GIB for place in made.places)
    context = f"{made.context_tokens // 1024}k"
    if not there:
        return f"{here:.1f} here; {context}"
    if made.cpu_expert_layers >= layers:
        where = "all but the experts"
    elif made.cpu_expert_layers:
        where = f"all but the experts of {made.cpu_expert_layers} of {layers} layers"
    elif made.gpu_layers > layers:
        where = "all"
    else:
        where = f"{made.gpu_layers} of {layers} layers"
    return f"{where}; {there[0]:.1f} there, {here:.1f} here; {context}"


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rows(), ""]))
