"""The README's table of what goes where, made by `hychat gguf plan` for headers of the published shapes."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.programs import run_hychat
from tests.whole_models import SHAPES, write_whole

_GPUS: Final = (0, 4, 8, 12, 24)
"""Free memory in GiB."""
_MACHINE: Final = 64
_GIB: Final = 1 << 30


def main() -> None:
    heads = ["", "CPU only", *(f"{size} GB GPU" for size in _GPUS[1:])]
    lines = [heads, ["---"] * len(heads)]
    with TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            path = write_whole(Path(folder) / f"{name}.gguf", shape)
            lines.append([f"`{name}`", *(_cell(_planned(path, size), shape.layers) for size in _GPUS)])
    sys.stdout.write("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")


def _planned(path: Path, gpu: int) -> dict[str, Any]:
    ended = run_hychat("gguf", "plan", str(path), "--device-memory", str(gpu), "--memory", str(_MACHINE), "--json")
    planned: dict[str, Any] = json.loads(ended.stdout)
    return planned


def _cell(planned: dict[str, Any], layers: int) -> str:
    machine, *devices = (
        (place["weights_bytes"] + place["kv_bytes"] + place["compute_bytes"]) / _GIB for place in planned["places"]
    )
    context = f"{planned['context_tokens'] // 1024}k"
    if not devices:
        return f"{machine:.1f} GiB, context {context}"
    aside, on_device = planned["n_cpu_moe"], planned["gpu_layers"]
    if aside:
        where = f"all layers, experts of {aside} of {layers} on the CPU"
    elif on_device > layers:
        where = "all"
    else:
        where = f"{on_device} of {layers} layers"
    return f"{where}; {devices[0]:.1f} GiB there, {machine:.1f} here; {context}"


if __name__ == "__main__":
    main()
