"""NVIDIA's driver: whether it is there, and the newest CUDA it runs. Found without llama.cpp, whose build may not know it."""

import ctypes
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hychat.engine.gpus import told_by
from hychat.engine.install import CudaVersion
from hychat.messages import _

_DRIVER_LIBRARY: Final = "libcuda.so.1"
_VERSION_FILE: Final = Path("/proc/driver/nvidia/version")
_CUDA_RUNTIMES: Final = {11: "libcudart.so.11.0"}
"""Those not named by their major version alone."""
_SMI_SECONDS: Final = 10.0
"""It wakes sleeping GPUs, which takes a few."""


@dataclass(frozen=True, slots=True)
class NvidiaDriver:
    """The driver of this machine."""

    version: str | None
    cuda: CudaVersion | None
    """The newest CUDA it runs; None where only the system's part of it is here, as in a container without the GPU."""
    trouble: str = ""
    """What nvidia-smi says where it fails."""


def nvidia_driver(library: str = _DRIVER_LIBRARY, version_file: Path = _VERSION_FILE) -> NvidiaDriver | None:
    """The driver; None without one. Asks its library, `nvidia-smi` and the kernel, in this order."""
    cuda = _cuda_of_library(library)
    version = _version_in(version_file)
    if cuda is None or version is None:
        told = _told_by_smi()
        driver = NvidiaDriver(version or told.version, cuda or told.cuda, told.trouble)
    else:
        driver = NvidiaDriver(version, cuda)
    return driver if driver != NvidiaDriver(None, None) else None


def has_cuda_libraries(major: int) -> bool:
    """Whether the loader finds CUDA's own libraries, which no wheel brings along."""
    runtime = _CUDA_RUNTIMES.get(major, f"libcudart.so.{major}")
    try:
        for name in (runtime, f"libcublas.so.{major}"):
            ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _cuda_of_library(name: str) -> CudaVersion | None:
    """cuDriverGetVersion: 1000 times the major, 10 times the minor; it needs no GPU and no initialisation."""
    version = ctypes.c_int()
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
            return version.value // 1000, version.value % 1000 // 10
    return None


def _version_in(file: Path) -> str | None:
    with suppress(OSError):
        found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", file.read_text(encoding="ascii", errors="replace"))
        return found[0] if found else None
    return None


def _told_by_smi() -> NvidiaDriver:
    """What the head of nvidia-smi's table says, or its words where it has none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return NvidiaDriver(None, None)
    try:
        code, told = told_by([program], _SMI_SECONDS)
    except OSError:
        return NvidiaDriver(None, None)
    except subprocess.TimeoutExpired:
        return NvidiaDriver(None, None, _("it does not answer within {seconds:.0f} s").format(seconds=_SMI_SECONDS))
    driver = re.search(r"Driver Version: *([\d.]+)", told)
    cuda = re.search(r"CUDA Version: *(\d+)\.(\d+)", told)
    trouble = next(iter(told.split("\n")), "").strip() or _("exit code {code}").format(code=code)
    return NvidiaDriver(
        driver[1] if driver else None, (int(cuda[1]), int(cuda[2])) if cuda else None, trouble if code else ""
    )
