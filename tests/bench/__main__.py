"""`python -m tests.bench [NAME...]`: run benchmarks and print a row for each figure."""

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Final

from hychat.domain.errors import HychatError
from tests.bench import machine
from tests.bench.row import Row, heading

_NAMES: Final = (
    "speed",
    "chat",
    "startup",
    "cancel",
    "busy",
    "memory",
    "parallel",
    "download",
    "tui",
    "tui_large",
    "safety",
    "images",
    "vision",
    "ocr",
    "voice",
    "convert",
    "quantize",
    "int4",
)
"""Modules of this package; each has `rows`."""
_ROUNDS: Final = 5


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and memory, as ratios.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"what to run: {', '.join(_NAMES)}; all of them if none"
    )
    parser.add_argument("--list", action="store_true", help="tell what there is")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="A B pairs for each row (default %(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(_NAMES):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    if arguments.list:
        print("\n".join(f"{name:<10} {_module(name).__doc__}" for name in _NAMES))
    else:
        _run(arguments.names or _NAMES, arguments.rounds, as_json=arguments.json)


def _run(names: Sequence[str], rounds: int, *, as_json: bool) -> None:
    machine.keep_to_two_cores()
    quiet = machine.look()
    if as_json:
        rows = [row.as_json() for name in names for row in _rows(name, rounds)]
        state = {"load_average": quiet.load_average, "parallel_speed": quiet.parallel_speed, "is_quiet": quiet.is_quiet}
        print(json.dumps({"machine": state, "rounds": rounds, "rows": rows}, indent=1))
        return
    print(f"{quiet}\n\n{heading()}")
    for name in names:
        for row in _rows(name, rounds):
            print(row, flush=True)


def _rows(name: str, rounds: int) -> Iterator[Row]:
    """A module's rows; one that says so where it cannot go on."""
    try:
        yield from _module(name).rows(rounds)
    except HychatError as error:
        yield Row(name, "stopped here").not_measured(f"{error}\n{error.hint}".rstrip())
    except subprocess.CalledProcessError as error:
        yield Row(name, "stopped here").not_measured(
            f"{error.cmd[0]}: exit {error.returncode}\n{error.stderr or ''}".rstrip()
        )


def _module(name: str) -> Any:
    return import_module(f"tests.bench.{name}")


if __name__ == "__main__":
    main()
