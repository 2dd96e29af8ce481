"""From the shell and back: one token of an answer, and the help."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, anchor, fresh_home, hychat, model_file, wall_seconds
from tests.bench.row import Row, alternating, at_most

_ASK: Final = "`hychat -m starter --max-tokens 1 hi`, start to exit, over"
_LLM: Final = Row("one-token-llm", f"{_ASK} `llm -m SmolLM2 hi`", "s", at_most(0.4))
_LLAMA_CLI: Final = Row("one-token-llama-cli", f"{_ASK} `llama-cli -st -p hi -n 1`", "s", at_most(1))
_HELP: Final = Row("help", "`hychat --help` over `python -c 'import typer'`", "s", at_most(2))

_HEAVY: Final = ("textual", "llama_cpp")
_MODULES_AFTER_HELP: Final = """
import sys
from hychat.__main__ import main
sys.argv = ["hychat", "--help"]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def rows(rounds: int) -> Iterator[Row]:
    """Wall time, with warm page cache and compiled bytecode."""
    chat = ["-m", model_file(), "-st", "-p", "hi", "-n", "1", "-t", str(THREADS)]
    silent = ["--no-display-prompt", "--log-disable", "--no-warmup"]
    with fresh_home() as environment:
        yield _one_token(_LLM, rounds, environment, "LLM", ["-m", "SmolLM2", "hi"])
        yield _one_token(_LLAMA_CLI, rounds, environment, "LLAMA_CLI", [*chat, *silent])
        yield _wall_time(_HELP, rounds, environment, [*hychat(), "--help"], [sys.executable, "-c", "import typer"])
        yield _modules_of_help(environment)


def _one_token(row: Row, rounds: int, environment: Environment, variable: str, arguments: list[str]) -> Row:
    program = anchor(variable)
    if program is None:
        return row.not_measured(f"set {variable}")
    ours = [*hychat(), "-m", MODEL, "--max-tokens", "1", "hi"]
    return _wall_time(row, rounds, environment, ours, [program, *arguments])


def _wall_time(row: Row, rounds: int, environment: Environment, ours: list[str], theirs: list[str]) -> Row:
    for command in (ours, theirs):
        wall_seconds(command, environment)  # warms page cache and bytecode, and makes the first files of a new home
    return row.measured(
        alternating(rounds, lambda: wall_seconds(ours, environment), lambda: wall_seconds(theirs, environment))
    )


def _modules_of_help(environment: Environment) -> Row:
    run = subprocess.run(
        [sys.executable, "-c", _MODULES_AFTER_HELP], env=environment, capture_output=True, check=True, text=True
    )
    loaded = [name for name in run.stderr.split() if name in _HEAVY]
    compared = f"heavy modules that `hychat --help` imports, of {', '.join(_HEAVY)}: {', '.join(loaded) or 'none'}"
    return Row("help-modules", compared, "", at_most(0)).measured([(len(loaded), len(_HEAVY))])
