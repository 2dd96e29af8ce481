"""The program's entry: starts the engine's process where an answer will be wanted, then reads the command line.

The engine's process needs longer to start than everything here together, so it is started before anything else is imported.
"""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hychat.engine.spawn import Spawned

_WITHOUT_ENGINE = {"config", "history"}
_ONLY_TELLS = {"--help", "-h", "--version", "--install-completion", "--show-completion"}


def main() -> None:
    """Run hychat with this process's arguments."""
    arguments = sys.argv[1:]
    spawned = _start_engine() if wants_engine(arguments) else None
    from hychat.cli.main import run

    sys.exit(run(arguments, spawned))


def wants_engine(arguments: list[str]) -> bool:
    """Whether a model will be asked, as far as a glance can tell; a wrong yes costs nothing but the start."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    is_completion = "_HYCHAT_COMPLETE" in os.environ
    return (
        bool(arguments)
        and arguments[0] not in _WITHOUT_ENGINE
        and _ONLY_TELLS.isdisjoint(options)
        and not is_completion
    )


def _start_engine() -> "Spawned | None":
    from hychat.engine.spawn import spawn

    try:
        return spawn()
    except OSError:  # tried again, and told, when the engine is opened
        return None


if __name__ == "__main__":
    main()
