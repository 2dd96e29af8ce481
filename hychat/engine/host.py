"""The engine's child process: reads requests from a pipe, runs llama.cpp, writes replies to another.

Two threads. One reads the pipe, so that a cancel or the parent's death is noticed while llama.cpp computes; the other owns the
model. The process loads one model, once, and ends with its parent: at the end of the stream it exits at once.
"""

import json
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from hychat.engine import wire

if TYPE_CHECKING:
    from hychat.engine.llama.model import LogTail, Model, SegmentList
    from hychat.engine.llama.scheduler import Scheduler, Send
    from hychat.engine.llama.vision import Vision

_LOG_BYTES_LIMIT: Final = 1 << 20
_NO_MEMORY: Final = re.compile("allocate|bad_alloc|out of memory", re.IGNORECASE)
"""How llama.cpp and the system say so; there is no code for it."""


class Host:
    """The process: its two threads, and the pipe between them and the parent."""

    def __init__(self, pipe: wire.Wire) -> None:
        self._pipe = pipe
        self._inbox: queue.SimpleQueue[wire.Frame] = queue.SimpleQueue()
        self._scheduler: Scheduler | None = None

    def run(self) -> None:
        """Serve until the parent is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        if self._greet():
            service = self._load(self._first_load())
            if service is not None:
                self._serve(service)

    def _listen(self) -> None:
        while True:
            try:
                frame = self._pipe.receive()
            except wire.BrokenWire:
                os._exit(0)  # the parent is gone: whatever runs is for nobody
            self._inbox.put(frame)
            if isinstance(frame, wire.Cancel) and self._scheduler is not None:
                self._scheduler.interrupt()

    def _send(self, reply: wire.Reply) -> None:
        try:
            self._pipe.send(reply)
        except wire.BrokenWire:
            os._exit(0)

    def _greet(self) -> bool:
        """Load llama.cpp's library and say hello, or why not."""
        try:
            from hychat.engine.llama import devices, scheduler  # noqa: F401 - loads the library, which may fail
        except ImportError as error:
            self._send(wire.Failed(0, wire.Failure.UNAVAILABLE, str(error), []))
            return False
        self._send(wire.Hello(devices.offload_devices()))
        return True

    def _first_load(self) -> wire.Load:
        """Wait for the model to load; whoever asks about the build is answered meanwhile."""
        while True:
            match self._inbox.get():
                case wire.Load() as load:
                    return load
                case wire.Describe(request):
                    from hychat.engine.llama.build import build_facts  # for `hychat doctor` alone

                    self._send(wire.Described(request, build_facts()))
                case wire.Reach(request, endpoint):
                    self._reach(request, endpoint)
                case frame:
                    raise AssertionError(frame)

    def _reach(self, request: int, endpoint: str) -> None:
        from hychat.engine.llama.bindings import BindingsUnavailable
        from hychat.engine.llama.devices import worker_devices

        try:
            self._send(wire.Reached(request, worker_devices(endpoint)))
        except BindingsUnavailable as error:
            self._send(wire.Failed(request, wire.Failure.RPC, str(error), []))

    def _load(self, load: wire.Load) -> "Service | None":
        _redirect_output(load.log_file)
        from hychat.engine.llama.model import LogTail, Model, ModelLoadError
        from hychat.engine.llama.offload import Offload
        from hychat.engine.llama.scheduler import Scheduler
        from hychat.engine.llama.sequence import ProjectorLoadError
        from hychat.engine.llama.threads import default_threads

        log = LogTail()
        try:
            model = Model.load(
                load.path,
                offload=Offload(load.gpu_layers, load.devices, load.shares, load.cpu_expert_layers),
                overrides=load.overrides,
                on_progress=self._progress_teller(load.request),
            )
        except ModelLoadError:
            reason = log.last_error()
            failure = wire.Failure.MEMORY if _NO_MEMORY.search(reason) else wire.Failure.MODEL
            self._send(wire.Failed(load.request, failure, reason, []))
            return None
        if load.gpu_layers and not log.has_weights_on_devices:
            self._send(wire.Failed(load.request, wire.Failure.DEVICE, ", ".join(load.devices), []))
            return None
        model.kv_type = load.kv_type
        threads = load.threads or default_threads()
        try:
            vision = _vision(model, load.projector, threads, log)
        except ProjectorLoadError as error:
            reason = str(error) or log.last_error()
            self._send(wire.Failed(load.request, wire.Failure.PROJECTOR, reason, []))
            return None
        self._scheduler = Scheduler(
            model,
            self._send,
            context_tokens=load.context_tokens,
            slots=load.slots,
            threads=threads,
            adapt_threads=load.threads is None,
            vision=vision,
        )
        self._send(wire.Loaded(load.request, {**model.metadata(), "threads": str(threads)}))
        return Service(model, self._scheduler, threads, log, self._send)

    def _progress_teller(self, request: int) -> Callable[[float], None]:
        """Tells each whole percent once: llama.cpp calls for every tensor."""
        told: set[int] = set()

        def tell(fraction: float) -> None:
            percent = int(fraction * 100)
            if percent not in told:
                told.add(percent)
                self._send(wire.LoadProgress(request, percent / 100))

        return tell

    def _serve(self, service: "Service") -> None:
        scheduler = service.scheduler
        while True:
            scheduler.allow()  # first: a cancel that comes from here on stops the step
            while scheduler.is_idle or not self._inbox.empty():
                service.handle(self._inbox.get())
            scheduler.step()


class Service:
    """A loaded model, and what can be asked of it."""

    def __init__(self, model: "Model", scheduler: "Scheduler", threads: int, log: "LogTail", send: "Send") -> None:
        self.scheduler = scheduler
        self._model = model
        self._threads = threads
        self._log = log
        self._send = send

    def handle(self, frame: wire.Frame) -> None:
        """Do what a frame asks; what takes long is only begun, and done by the scheduler's steps."""
        match frame:
            case wire.Count(request, prompts):
                self._count(request, prompts)
            case wire.Generate():
                self.scheduler.submit(frame)
            case wire.Cancel(request):
                self.scheduler.cancel(request)
            case wire.SaveState(request, of_request, path):
                self._send(wire.StateReady(request, self.scheduler.save_state(of_request, path)))
            case wire.LoadState():
                self._load_state(frame)
            case wire.Bench():
                self._bench(frame)
            case wire.Adapt():
                self._adapt(frame)
            case wire.Watch():
                self._watch(frame)
            case wire.Describe(request):
                self._send(wire.Described(request, {"buffers": json.dumps(self._log.buffers)}))
            case _:
                raise AssertionError(frame)

    def _count(self, request: int, prompts: "Iterable[SegmentList]") -> None:
        from hychat.engine.llama.sequence import PictureUnreadable

        try:
            self._send(wire.Counted(request, [self.scheduler.count(prompt) for prompt in prompts]))
        except PictureUnreadable:
            self._send(wire.Failed(request, wire.Failure.PICTURE, "", []))

    def _adapt(self, frame: wire.Adapt) -> None:
        from hychat.engine.llama.adapters import AdapterLoadError

        try:
            self.scheduler.adapt([(path, scale) for path, scale in frame.adapters])
        except AdapterLoadError as error:
            self._send(wire.Failed(frame.request, wire.Failure.ADAPTER, f"{error}: {self._log.last_error()}", []))
        else:
            self._send(wire.Adapted(frame.request))

    def _watch(self, frame: wire.Watch) -> None:
        from hychat.engine.llama.context import ContextTooLarge

        try:
            self._send(wire.Routed(frame.request, self.scheduler.watch(frame.experts)))
        except ContextTooLarge:
            self._send(wire.Failed(frame.request, wire.Failure.MEMORY, "context", []))

    def _load_state(self, frame: wire.LoadState) -> None:
        from hychat.engine.llama.context import ContextTooLarge

        try:
            tokens = self.scheduler.load_state(frame.path)
        except (OSError, ContextTooLarge):
            tokens = 0
        self._send(wire.StateReady(frame.request, tokens))

    def _bench(self, bench: wire.Bench) -> None:
        from hychat.engine.llama.bench import measure
        from hychat.engine.llama.context import ContextTooLarge, DecodeFailed

        try:
            prefill, decode = measure(
                self._model, bench, threads=self._threads, on_run=lambda: self._send(wire.Prefill(bench.request, 0, 0))
            )
        except ContextTooLarge:
            self._send(wire.Failed(bench.request, wire.Failure.MEMORY, "context", []))
        except DecodeFailed as error:
            self._send(wire.Failed(bench.request, wire.Failure.DECODE, str(error), []))
        else:
            self._send(wire.Benched(bench.request, prefill, decode))


def _vision(model: "Model", projector: str | None, threads: int, log: "LogTail") -> "Vision | None":
    """Raises ProjectorLoadError."""
    if projector is None:
        return None
    from hychat.engine.llama.vision import Vision  # its bindings take 5 ms, and few models see

    return Vision(model, projector, threads=threads, log=log)


def _redirect_output(log_file: str | None) -> None:
    """Point fds 1 and 2 at the engine log (nowhere without one), and start a new one when it has grown large."""
    path = log_file or os.devnull
    try:
        if log_file and os.path.exists(path) and os.path.getsize(path) > _LOG_BYTES_LIMIT:  # noqa: PTH110, PTH202
            os.replace(path, f"{path}.1")  # noqa: PTH105
        log_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:  # a full disk costs the log, not the answer
        log_fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)


def main() -> None:
    """Serve the two file descriptors given as arguments."""
    os.umask(0o077)  # what it writes, logs and KV states, is the user's alone
    os.setsid()  # Ctrl+C and a closed terminal are the parent's to handle
    read_fd, write_fd = int(sys.argv[1]), int(sys.argv[2])
    Host(wire.Wire(read_fd, write_fd)).run()


if __name__ == "__main__":
    main()
