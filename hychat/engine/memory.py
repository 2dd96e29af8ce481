"""How much memory this machine has, and how much of it a model may take."""

import os
from typing import Final, NamedTuple

_KIB: Final = 1024


class Memory(NamedTuple):
    """Bytes."""

    available: int
    """Free, or freed without swapping."""
    total: int


def machine_memory() -> Memory:
    """What the system says; macOS does not tell what is available, so half of the total is taken there."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Memory(_available_on_linux() or total // 2, total)


def _available_on_linux() -> int | None:
    """`MemAvailable` of /proc/meminfo."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - pathlib adds nothing
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        pass
    return None
