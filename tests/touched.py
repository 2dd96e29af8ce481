"""How much of the machine's memory a model really takes while it answers: pages that were written to, and pages of its file.

A program, `python -m tests.touched PATH SMALL`, with a layout and workers as JSON on stdin; Linux counts (`clear_refs`,
`smaps`). It loads and reads with hychat's own code: a text as long as the context, so that every buffer is used, and then its end
again, to see which pages of the file are still looked at. What a model of some kilobytes takes is taken off (code, graphs).
"""

import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hychat.engine.footprint import KV_TYPES, Layout
from tests.programs import environment

BATCH = 512


class Touched(NamedTuple):
    """Bytes."""

    written: int
    """Weights that were copied, KV cache and compute buffers."""
    read: int
    """Of the model's file."""


def touched(path: Path, small: Path, layout: Layout, workers: Sequence[str] = (), **env: str) -> Touched:
    """What an answer with this layout touches, beyond what the small model does; in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.touched", str(path), str(small)],
        input=json.dumps([layout, workers]).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        env=environment(**env),
        timeout=100,
    )
    return Touched(*json.loads(told.stdout))


def _touched(path: str, small: str, layout: Layout, workers: Sequence[str]) -> Touched:
    from hychat.engine.llama.devices import worker_devices

    devices = [str(device[0]) for worker in workers for device in worker_devices(worker)]
    before = _written()
    others = [_read(small, Layout(BATCH), ())]
    of_small = _written() - before
    others.append(_read(path, layout, devices))
    assert others
    return Touched(_written() - before - 2 * of_small, _looked_at(path))


def _read(path: str, layout: Layout, devices: Sequence[str]) -> object:
    """Read a text as long as the context; what is returned keeps the memory."""
    from hychat.engine.llama.context import AbortFlag, Context, Entry
    from hychat.engine.llama.model import Model
    from hychat.engine.llama.offload import Offload

    offload = Offload(layout.gpu_layers, devices, [1.0] * len(devices), layout.cpu_expert_layers)
    model = Model.load(path, offload=offload)
    model.kv_type = KV_TYPES[layout.kv_type]
    context = Context(model, tokens=layout.context_tokens, slots=4, threads=1, abort=AbortFlag())
    chance = random.Random(1)  # noqa: S311 - the same text each time
    last = layout.context_tokens - BATCH
    for start in [*range(0, layout.context_tokens, BATCH), last]:
        if start == last:
            Path("/proc/self/clear_refs").write_text("1", encoding="ascii")
            context.forget(0, last)
        tokens = [chance.randrange(256) for _token in range(BATCH)]
        context.decode([Entry(0, start, tokens, wants_logits=True)])
        context.synchronize()
    return model, context


def _written() -> int:
    """Anonymous memory of this process."""
    found = re.search(r"Anonymous: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(encoding="ascii"))
    assert found
    return int(found[1]) << 10


def _looked_at(path: str) -> int:
    """Pages of a file that were looked at since the marks were cleared."""
    mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(encoding="utf-8"))
    ours = [mapping for mapping in mappings if mapping.split("\n", 1)[0].endswith(path)]
    return sum(int(size) << 10 for mapping in ours for size in re.findall(r"Referenced: +(\d+) kB", mapping))


if __name__ == "__main__":
    (said, workers) = json.load(sys.stdin)
    sys.stdout.write(json.dumps(_touched(sys.argv[1], sys.argv[2], Layout(*said), workers)))
