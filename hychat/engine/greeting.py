"""What the engine's process says before it loads a model: the devices it sees, what it was built for, or why it cannot run."""

import re
import signal
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineSilent, Interrupted
from hychat.engine import wire
from hychat.engine.child import Child
from hychat.engine.plan import Device
from hychat.engine.workers import Endpoint, busy, no_worker
from hychat.messages import _


class Build(NamedTuple):
    """A build of llama.cpp."""

    version: str
    """ggml's."""
    commit: str
    backends: tuple[str, ...]
    """As ggml names them: CPU, CUDA, Vulkan, MTL (Metal), RPC."""
    cpu_features: tuple[str, ...]
    """What its code for the processor uses, such as AVX2."""


def offload_devices(child: Child, cancel: CancelToken) -> tuple[Device, ...]:
    """The devices that can take layers.

    Raises:
        EngineUnavailable: llama.cpp does not load on this machine.
        EngineError: The process died, or is stuck.
        Interrupted: `cancel` was set meanwhile.
    """
    match child.hello(cancel):
        case wire.Hello(devices):
            return tuple(Device(*device) for device in devices)
        case wire.Failed(detail=reason):
            from hychat.engine.unavailable import not_loadable  # only when something is wrong

            raise not_loadable(reason)
        case None if child.is_alive:
            raise Interrupted(_("Stopped."))
        case _ if child.end_signal() == signal.SIGILL:
            from hychat.engine.unavailable import wrong_processor  # likewise

            raise wrong_processor()
        case _:
            raise child.ended()


def worker_devices(child: Child, workers: Iterable[Endpoint]) -> tuple[Device, ...]:
    """The devices of workers, which were seen to answer; asked before a model is loaded.

    Raises:
        EngineUnavailable: This build of llama.cpp has no RPC.
        EngineError: What answers is no worker, or serves somebody else; or the process is stuck.
    """
    return tuple(device for worker in workers for device in _devices_of(child, worker))


def _devices_of(child: Child, worker: Endpoint) -> Iterator[Device]:
    with child.request() as (number, inbox):
        child.send(wire.Reach(number, str(worker)))
        try:
            reply = child.next_reply(inbox)
        except EngineSilent as silence:
            raise busy(worker) from silence
        match reply:
            case wire.Reached(devices=devices):
                yield from (Device(*device) for device in devices)
            case wire.Failed():
                from hychat.engine.unavailable import no_rpc

                raise no_rpc()
            case _ if child.end_signal() == signal.SIGABRT:  # llama.cpp's way to say so
                raise no_worker(worker)
            case _:
                raise child.ended()


def build_of(child: Child) -> Build:
    """What llama.cpp was built as; asked of a child that said its devices and has loaded no model.

    Raises:
        EngineError: The process died, or is stuck.
    """
    with child.request() as (number, inbox):
        child.send(wire.Describe(number))
        match child.next_reply(inbox):
            case wire.Described(facts=facts):
                of_cpu = facts["system"].partition("CPU : ")[2].partition(" : ")[0]
                return Build(
                    version=facts["version"],
                    commit=facts["commit"],
                    backends=tuple(facts["backends"].split(", ")),
                    cpu_features=tuple(re.findall(r"(\w+) = 1\b", of_cpu)),
                )
            case _:
                raise child.ended()
