"""What llama.cpp would take for a model: it lays everything out as for a real load, and allocates nothing (`no_alloc`).

A program of its own, `python -m tests.simulate PATH`, with layouts and workers as JSON on stdin. It loads and makes contexts with
hychat's own code.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hychat.engine.footprint import KV_TYPES, Layout
from tests.programs import environment

SLOTS = 4

Compute = dict[str, int]
"""Bytes of the compute buffers by memory: `CPU`, `RPC0[127.0.0.1:50052]`."""


def simulated(path: Path, layouts: Sequence[Layout], workers: Sequence[str] = (), **env: str) -> list[Compute]:
    """The compute buffers of each layout, as llama.cpp tells them; in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulate", str(path)],
        input=json.dumps([layouts, workers]).encode(),
        capture_output=True,
        check=True,
        env=environment(**env),
        timeout=100,
    )
    return [Compute(compute) for compute in json.loads(told.stdout)]


def _simulate(path: str, layouts: Sequence[Layout], workers: Sequence[str]) -> list[Compute]:
    from hychat.engine.llama.bindings import lib
    from hychat.engine.llama.context import AbortFlag, Context
    from hychat.engine.llama.devices import worker_devices
    from hychat.engine.llama.model import LogTail, Model
    from hychat.engine.llama.offload import Offload

    _allocate_nothing(lib)
    devices = [str(device[0]) for worker in workers for device in worker_devices(worker)]
    log, told = LogTail(), []
    for layout in layouts:
        log.buffers.clear()
        offload = Offload(layout.gpu_layers, devices, [1.0] * len(devices), layout.cpu_expert_layers)
        model = Model.load(path, offload=offload)
        model.kv_type = KV_TYPES[layout.kv_type]
        Context(model, tokens=layout.context_tokens, slots=SLOTS, threads=1, abort=AbortFlag()).close()
        model.close()
        told.append({memory: held.get("compute", 0) for memory, held in log.buffers.items()})
    return told


def _allocate_nothing(lib: Any) -> None:
    defaults = lib.llama_model_default_params

    def without_memory() -> Any:
        params = defaults()
        params.no_alloc = True
        params.load_mode = lib.LLAMA_LOAD_MODE_NONE  # what is mapped has its bytes
        return params

    lib.llama_model_default_params = without_memory


if __name__ == "__main__":
    layouts, workers = json.load(sys.stdin)
    sys.stdout.write(json.dumps(_simulate(sys.argv[1], [Layout(*layout) for layout in layouts], workers)))
