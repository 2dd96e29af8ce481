"""From the shell and back: one token of an answer, and the help."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from tests.bench.machine import THREADS
from tests.bench.programs import MODEL, Environment, anchor, fresh_home, hychat, model_file, wall_seconds
from tests.bench.row import Row, Target, alternating, at_most, row_of_pairs

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
    with fresh_home() as environment:
        yield _first_token(rounds, environment, "LLM", ["-m", "SmolLM2", "hi"], at_most(0.4))
        chat = ["-m", model_file(), "-st", "-p", "hi", "-n", "1", "-t", str(THREADS)]
        silent = ["--no-display-prompt", "--log-disable", "--no-warmup"]
        yield _first_token(rounds, environment, "LLAMA_CLI", [*chat, *silent], at_most(1.0))
        yield _help(rounds, environment)
        yield _help_is_light(environment)


def _first_token(rounds: int, environment: Environment, variable: str, arguments: list[str], target: Target) -> Row:
    name = f"one-token-{variable.lower().replace('_', '-')}"
    compared = f"`hychat -m starter --max-tokens 1 hi`, start to exit, over `{variable.lower().replace('_', '-')}`"
    program = anchor(variable)
    if program is None:
        return Row(name, compared, target=target, missing=f"set {variable}")
    ours = [*hychat(), "-m", MODEL, "--max-tokens", "1", "hi"]
    return _wall_time(name, compared, rounds, environment, (ours, [program, *arguments]), target)


def _help(rounds: int, environment: Environment) -> Row:
    commands = [*hychat(), "--help"], [sys.executable, "-c", "import typer"]
    return _wall_time(
        "help", "`hychat --help` over `python -c 'import typer'`", rounds, environment, commands, at_most(2)
    )


def _wall_time(  # noqa: PLR0913 - what a row needs
    name: str,
    compared: str,
    rounds: int,
    environment: Environment,
    commands: tuple[list[str], list[str]],
    target: Target,
) -> Row:
    ours, theirs = commands
    for command in commands:
        wall_seconds(command, environment)  # warms page cache and bytecode, and makes the first files of a new home
    pairs = alternating(rounds, lambda: wall_seconds(ours, environment), lambda: wall_seconds(theirs, environment))
    return row_of_pairs(name, compared, "s", pairs, target)


def _help_is_light(environment: Environment) -> Row:
    run = subprocess.run(
        [sys.executable, "-c", _MODULES_AFTER_HELP], env=environment, capture_output=True, check=True, text=True
    )
    loaded = [name for name in run.stderr.split() if name in _HEAVY]
    compared = f"heavy modules that `hychat --help` imports, of {', '.join(_HEAVY)}: {', '.join(loaded) or 'none'}"
    return row_of_pairs("help-modules", compared, "", [(len(loaded), len(_HEAVY))], at_most(0))
