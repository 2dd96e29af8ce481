"""Logits of a model, computed here or on workers; a program of its own: `python -m tests.logits PATH`, more as JSON on stdin."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hychat.engine.llama.offload import Offload
from tests.programs import environment

TOKENS = tuple(range(10, 74))


def logits_of(path: Path, offload: Offload, workers: Sequence[str] = (), **env: str) -> list[float]:
    """Of the token after `TOKENS`; where there are workers, on their devices."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.logits", str(path)],
        input=json.dumps([offload, workers]).encode(),
        capture_output=True,
        check=True,
        env=environment(**env),
        timeout=100,
    )
    return [float(value) for value in json.loads(told.stdout)]


def _logits(path: str, offload: Offload, workers: Sequence[str]) -> list[float]:
    from hychat.engine.llama.bindings import lib
    from hychat.engine.llama.context import AbortFlag, Context, Entry
    from hychat.engine.llama.devices import worker_devices
    from hychat.engine.llama.model import Model

    if workers:
        offload = offload._replace(devices=[str(device[0]) for worker in workers for device in worker_devices(worker)])
    model = Model.load(path, offload=offload)
    context = Context(model, tokens=512, slots=1, threads=1, abort=AbortFlag())
    entry = Entry(0, 0, list(TOKENS), wants_logits=True)
    context.decode([entry])
    row = lib.llama_get_logits_ith(context.handle, entry.logits_index)
    return list(row[: model.vocab_size])


if __name__ == "__main__":
    said, workers = json.load(sys.stdin)
    sys.stdout.write(json.dumps(_logits(sys.argv[1], Offload(*said), workers)))
