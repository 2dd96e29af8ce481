"""Runs a task of `hychat.engine.llama.tasks` in a process of its own, which may abort and can be stopped at any moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, Any, Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import ConversionError, EngineCrashed, EngineUnavailable, HychatError, Interrupted
from hychat.engine.spawn import environment
from hychat.engine.task_host import BOOT, PACKAGE_ROOT
from hychat.messages import _, language

Progress = Mapping[str, Any]
"""What a task tells of itself on its way, by the task's own names."""

_LOG_TAIL_LINES: Final = 4
_LOG_TAIL_BYTES: Final = 4096


def run_task(
    name: str,
    arguments: Mapping[str, Any],
    cancel: CancelToken,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> dict[str, Any]:
    """What the task's `run(**arguments)` returns; all of it is JSON.

    Raises:
        Interrupted: It was stopped, and its process is gone.
        ConversionError: The task says why it cannot be done.
        EngineCrashed: Its process died.
        EngineUnavailable: The process cannot be started.
    """
    with TemporaryFile() as log:
        process = _start(name, log)
        with process, cancel.waking(process.kill):
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(arguments).encode())
            with suppress(BrokenPipeError):
                process.stdin.close()
            result = _result(process.stdout, on_progress)
            if result is None:
                process.wait()
        if cancel.is_set:
            raise Interrupted(_("Stopped."))
        if result is None:
            raise _crashed(process.returncode, log)
        return result


def _start(name: str, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - this Python, and a name of ours
            [sys.executable, "-P", "-c", BOOT, PACKAGE_ROOT, name, language()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(),
            start_new_session=True,  # Ctrl+C is this process's to handle
        )
    except OSError as error:
        raise EngineUnavailable(
            _("The engine cannot be started: {reason}.").format(reason=error.strerror or error),
            hint=_("Free some memory or end other programs, then try again."),
        ) from error


def _result(told: IO[bytes], on_progress: Callable[[Progress], None]) -> dict[str, Any] | None:
    """Read to the result; None where the process ended without one.

    Raises:
        ConversionError: As the task says.
    """
    for line in told:
        match json.loads(line):
            case {"done": dict(result)}:
                return result
            case {"failed": str(message), "hint": str(hint)}:
                raise ConversionError(message, hint=hint)
            case {"progress": dict(progress)}:
                on_progress(progress)
    return None


def _crashed(code: int, log: IO[bytes]) -> HychatError:
    reason = f"exit {code}"
    with suppress(ValueError):
        reason = signal.Signals(-code).name if code < 0 else reason
    log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
    lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    text = _("The engine ended unexpectedly ({reason}).").format(reason=reason)
    return EngineCrashed(text, hint="\n".join(lines[-_LOG_TAIL_LINES:]))
