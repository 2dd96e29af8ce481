"""Computes for hychat on other machines, over llama.cpp's RPC."""

from hychat.engine.llama.devices import offload_devices, serve_as_worker
from hychat.engine.task_host import CannotDo, Tell


def run(tell: Tell, *, endpoint: str, threads: int) -> dict[str, object]:
    """Serve until the process is ended.

    Raises:
        CannotDo: llama.cpp cannot listen there.
    """
    tell(devices=[description for _name, description, *_rest in offload_devices()])
    serve_as_worker(endpoint, threads=threads)
    raise CannotDo(f"llama.cpp cannot listen at {endpoint}")
