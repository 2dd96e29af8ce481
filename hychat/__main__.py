"""The program's entry: starts the engine's process where an answer will be wanted, then reads the command line.

The engine's process needs longer to start than everything here together, so it is started before anything else is imported.
"""

import os
import sys

TYPE_CHECKING = False  # typing itself would cost 5 ms before the child can start
if TYPE_CHECKING:
    from hychat.engine.spawn import Spawned

_WITHOUT_ENGINE = {"config", "gguf", "history", "models", "rpc-worker", "web"}
_ONLY_TELLS = {"--help", "-h", "--version", "--install-completion", "--show-completion"}
_INTERRUPTED = 130


def main() -> None:
    """Run hychat with this process's arguments."""
    try:
        exit_code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # before there is anything that could end in order
        exit_code = _INTERRUPTED
    _ignore_ctrl_c()
    _leave(exit_code)


def _leave(exit_code: int) -> None:
    """End the process.

    Under a thread that nobody waits for, such as one that writes speech down, nothing is torn down: the libraries that
    work in it would crash.
    """
    import threading

    if any(thread.daemon for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # nobody reads it, or it is closed: told where it was written
                continue
        os._exit(exit_code)
    sys.exit(exit_code)


def _run(arguments: list[str]) -> int:
    spawned = _start_engine() if wants_engine(arguments) else None
    from hychat.cli.main import run

    return run(arguments, spawned)


def _ignore_ctrl_c() -> None:
    """Python would answer one with a traceback while it shuts down."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def wants_engine(arguments: list[str]) -> bool:
    """Whether a model will be asked, as far as a glance can tell; a wrong yes costs nothing but the start."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    is_question = not arguments or arguments[0] not in _WITHOUT_ENGINE
    return is_question and _ONLY_TELLS.isdisjoint(options) and "_HYCHAT_COMPLETE" not in os.environ


def _start_engine() -> "Spawned | None":
    from hychat.engine.spawn import spawn

    try:
        return spawn()
    except OSError:  # tried again, and told, when the engine is opened
        return None


if __name__ == "__main__":
    main()
