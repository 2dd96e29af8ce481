"""How much memory this machine has, and how much of it a model may take."""

import os
from contextlib import suppress
from typing import Final, NamedTuple

_KIB: Final = 1024
_CGROUP: Final = "/sys/fs/cgroup"
"""Of this process as a container shows it; on a host it is the root, which has no limit."""


class Memory(NamedTuple):
    """Bytes."""

    available: int
    """Free, or freed without swapping."""
    total: int


def machine_memory() -> Memory:
    """What the system says, within a container's limit.

    macOS does not tell what is available, so half of the total is taken there.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = Memory(_figure("/proc/meminfo", "MemAvailable:", _KIB) or total // 2, total)
    limit = _container_limit(_CGROUP)
    return memory if limit is None else Memory(min(memory.available, limit.available), min(memory.total, limit.total))


def _container_limit(folder: str) -> Memory | None:
    """The memory limit of a cgroup (version 2), and what is left of it; None without one.

    The page cache counts as used there, and is dropped when it is in the way.
    """
    limit, used = _figure(f"{folder}/memory.max"), _figure(f"{folder}/memory.current")
    if limit is None or used is None:
        return None
    cached = _figure(f"{folder}/memory.stat", "inactive_file") or 0
    return Memory(max(0, limit - used + cached), limit)


def _figure(path: str, name: str = "", unit: int = 1) -> int | None:
    """The number after a name in a file of the system; without a name, the number that is all of the file."""
    with suppress(OSError, ValueError, IndexError), open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib adds nothing
        for line in file:
            if line.startswith(name):
                return int(line.removeprefix(name).split()[0]) * unit
    return None
