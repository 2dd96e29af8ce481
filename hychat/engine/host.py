"""The engine's child process: reads requests from a pipe, runs llama.cpp, writes replies to another.

Two threads. One reads the pipe, so that a cancel or the parent's death is noticed while llama.cpp computes; the other owns the
model. The process ends with its parent: at the end of the stream it exits at once.
"""

import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, assert_never

from hychat.engine import wire

if TYPE_CHECKING:
    from hychat.engine.llama.model import LogTail, Model
    from hychat.engine.llama.scheduler import Scheduler

_LOG_BYTES_LIMIT = 1 << 20


class Host:
    """One model, and the requests to it."""

    def __init__(self, pipe: wire.Wire) -> None:
        self._pipe = pipe
        self._inbox: queue.SimpleQueue[wire.Frame] = queue.SimpleQueue()
        self._model: Model | None = None
        self._scheduler: Scheduler | None = None
        self._log: LogTail | None = None
        self._threads = 1

    def run(self) -> None:
        """Serve until the parent says so or is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            from hychat.engine.llama import devices, scheduler  # noqa: F401 - loads llama.cpp, which may fail
        except ImportError as error:
            self._send(wire.Failed(0, wire.Failure.UNAVAILABLE, str(error), []))
            return
        self._send(wire.Hello(devices.offload_devices()))
        while True:
            self._take_requests()
            if self._scheduler is not None:
                self._scheduler.step()

    def _take_requests(self) -> None:
        """Handle what has come; wait for it where there is nothing else to do."""
        if self._scheduler is not None:
            self._scheduler.allow()  # first: a cancel that comes from here on stops the step
        while self._is_idle or not self._inbox.empty():
            self._handle(self._inbox.get())

    @property
    def _is_idle(self) -> bool:
        return self._scheduler is None or self._scheduler.is_idle

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

    def _handle(self, frame: wire.Frame) -> None:
        match frame:
            case wire.Load():
                self._load(frame)
            case wire.Cancel(request):
                if self._scheduler is not None:
                    self._scheduler.cancel(request)
            case wire.Count() | wire.Generate() | wire.Bench() | wire.SaveState() | wire.LoadState():
                self._ask(frame)
            case _:
                raise AssertionError(frame)

    def _ask(self, frame: wire.Count | wire.Generate | wire.Bench | wire.SaveState | wire.LoadState) -> None:
        scheduler, model = self._scheduler, self._model
        if scheduler is None or model is None:
            self._send(wire.Failed(frame.request, wire.Failure.MODEL, "no model is loaded", []))
            return
        match frame:
            case wire.Count(request, prompts):
                self._send(wire.Counted(request, [scheduler.count(prompt) for prompt in prompts]))
            case wire.Generate():
                scheduler.submit(frame)
            case wire.Bench():
                self._bench(frame, model)
            case wire.SaveState(request, of_request, path):
                self._send(wire.StateReady(request, scheduler.save_state(of_request, path)))
            case wire.LoadState():
                self._load_state(frame, scheduler)
            case _:
                assert_never(frame)

    def _load(self, load: wire.Load) -> None:
        _redirect_output(load.log_file)
        from hychat.engine.llama.model import LogTail, Model, ModelLoadError
        from hychat.engine.llama.scheduler import Scheduler
        from hychat.engine.llama.threads import default_threads

        self._log = self._log or LogTail()
        try:
            self._model = Model.load(
                load.path,
                gpu_layers=load.gpu_layers,
                overrides=load.overrides,
                on_progress=lambda fraction: self._tell_progress(load.request, fraction),
            )
        except ModelLoadError:
            self._send(wire.Failed(load.request, wire.Failure.MODEL, self._log.last_error(), []))
            return
        self._threads = load.threads or default_threads()
        self._scheduler = Scheduler(
            self._model,
            self._send,
            context_tokens=load.context_tokens,
            slots=load.slots,
            threads=self._threads,
            adapt_threads=load.threads is None,
        )
        self._send(wire.Loaded(load.request, {**self._model.metadata(), "threads": str(self._threads)}))

    def _tell_progress(self, request: int, fraction: float) -> bool:
        self._send(wire.LoadProgress(request, round(fraction, 3)))
        return True

    def _bench(self, bench: wire.Bench, model: "Model") -> None:
        from hychat.engine.llama.bench import measure
        from hychat.engine.llama.context import ContextTooLarge, DecodeFailed

        try:
            prefill, decode = measure(
                model,
                prompt_tokens=bench.prompt_tokens,
                generated_tokens=bench.generated_tokens,
                repetitions=bench.repetitions,
                threads=self._threads,
            )
        except ContextTooLarge:
            self._send(wire.Failed(bench.request, wire.Failure.MEMORY, "context", []))
        except DecodeFailed as error:
            self._send(wire.Failed(bench.request, wire.Failure.DECODE, str(error), []))
        else:
            self._send(wire.Benched(bench.request, prefill, decode))

    def _load_state(self, frame: wire.LoadState, scheduler: "Scheduler") -> None:
        from hychat.engine.llama.context import ContextTooLarge

        try:
            tokens = scheduler.load_state(frame.path)
        except (OSError, ContextTooLarge):
            tokens = 0
        self._send(wire.StateReady(frame.request, tokens))


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
