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
from typing import Any, Final, NamedTuple

from hychat.catalogue.find import locate
from tests.bench.machine import THREADS

MODEL: Final = "starter"
_PRIVATE: Final = ("HYCHAT_", "LLM_", "XDG_")
"""Beginnings of variables that would let the user's own settings in."""

Environment = Mapping[str, str]


class Speeds(NamedTuple):
    """Tokens per second."""

    prompt: float
    generation: float


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


def llama_bench(program: str, *, prompt: int = 0, generated: int = 128, repetitions: int = 2) -> Speeds:
    """What llama-bench measures; 0 for what it is not asked for. Raises as `output_of`."""
    options = ["-m", model_file(), "-p", prompt, "-n", generated, "-t", THREADS, "-r", repetitions, "-o", "json"]
    tests = json.loads(output_of([program, *map(str, options)], os.environ))
    prompt_speed = next((median(test["samples_ts"]) for test in tests if test["n_prompt"]), 0.0)
    generation_speed = next((median(test["samples_ts"]) for test in tests if test["n_gen"]), 0.0)
    return Speeds(prompt_speed, generation_speed)
