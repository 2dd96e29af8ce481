"""The programs that are measured from outside: hychat itself, and the anchors that environment variables name."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

from hychat.catalogue.find import locate
from tests.bench.machine import THREADS

MODEL: Final = "starter"
_PRIVATE: Final = ("HYCHAT_", "LLM_", "XDG_")
"""Beginnings of variables that would let the user's own settings in."""

Environment = Mapping[str, str]
Speeds = Mapping[str, float]
"""Tokens per second by test, named as llama-bench names it: `pp512` reads 512 tokens, `tg128` writes 128."""


def model_file() -> str:
    """The GGUF that every program here runs."""
    return locate(MODEL).path


def hychat() -> list[str]:
    """The command: HYCHAT, else the script beside this interpreter, else the module."""
    if command := os.environ.get("HYCHAT"):
        return shlex.split(command)
    script = Path(sys.executable).with_name("hychat")
    return [str(script)] if script.exists() else [sys.executable, "-m", "hychat"]


def anchor(variable: str) -> str | None:
    """The program that a variable names; None where it is not set."""
    return os.environ.get(variable) or None


@contextmanager
def fresh_home() -> Iterator[Environment]:
    """An environment whose home folder is new and empty, and whose interpreters keep compiled bytecode."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PRIVATE) and name != "PYTHONDONTWRITEBYTECODE"
    }
    with TemporaryDirectory(prefix="hychat-bench-") as home:
        folders = {f"XDG_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("CONFIG", "DATA", "CACHE", "STATE")}
        yield {**kept, "HOME": home, "LLM_USER_PATH": f"{home}/llm", **folders}


def output_of(command: list[str], environment: Environment) -> str:
    """What a program prints.

    Raises:
        CalledProcessError: It failed.
    """
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True
    ).stdout


def wall_seconds(command: list[str], environment: Environment) -> float:
    """Seconds from start to exit. Raises as `output_of`."""
    started = perf_counter()
    output_of(command, environment)
    return perf_counter() - started


def hychat_json(arguments: list[str], environment: Environment) -> Any:
    """What `hychat ... --json` prints. Raises as `output_of`."""
    return json.loads(output_of([*hychat(), *arguments, "--json"], environment))


def llama_bench(program: str, *, prompt: int = 0, generated: int, depth: int = 0, repetitions: int = 2) -> Speeds:
    """What llama-bench measures, after `depth` tokens of context. Raises as `output_of`."""
    sizes = ["-p", prompt, "-n", generated, "-d", depth, "-t", THREADS, "-r", repetitions]
    tests = json.loads(output_of([program, "-m", model_file(), *map(str, sizes), "-o", "json"], os.environ))
    names = (f"pp{test['n_prompt']}" if test["n_prompt"] else f"tg{test['n_gen']}" for test in tests)
    return {name: median(test["samples_ts"]) for name, test in zip(names, tests, strict=True)}
