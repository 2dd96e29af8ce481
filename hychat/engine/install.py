"""The commands that put another build of llama-cpp-python in the place of this one.

Prebuilt wheels: llama-cpp-python's README, "Installation". Those for CUDA need NVIDIA's driver and CUDA's own libraries
(libcudart, libcublas) on the machine; neither is inside.
"""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "llama-cpp-python"
MINIMUM_VERSION: Final = "0.3.36"
WHEEL_INDEX: Final = "https://abetlen.github.io/llama-cpp-python/whl"
CUDA_WHEELS: Final = ((11, 8), (12, 1), (12, 2), (12, 3), (12, 4), (12, 5), (13, 0), (13, 2))
"""The CUDA versions there are wheels for."""

CudaVersion = tuple[int, int]
"""Major and minor."""


def cuda_wheel_for(driver: CudaVersion) -> CudaVersion | None:
    """The newest CUDA with wheels that a driver can run; None for a driver that is older than all of them."""
    return max((wheel for wheel in CUDA_WHEELS if wheel <= driver), default=None)


def cuda_build_line(wheel: CudaVersion) -> str:
    """The command that installs the build for a CUDA version that has wheels."""
    return _wheel_line(f"cu{wheel[0]}{wheel[1]}")


def cpu_build_line() -> str:
    """The command that installs the build that needs nothing but a processor."""
    return _wheel_line("cpu")


def compiled_here_line() -> str:
    """The command that compiles it for this very processor; needs a C++ compiler and some minutes."""
    return install_line("--no-binary", PACKAGE)


def _wheel_line(index: str) -> str:
    # Without --only-binary the source on PyPI wins over an older wheel, and is compiled for the processor alone.
    return install_line("--only-binary", PACKAGE, "--extra-index-url", f"{WHEEL_INDEX}/{index}")


def install_line(*options: str, prefix: str = sys.prefix) -> str:
    """The command that installs it anew where hychat lives, by the tool that made this place."""
    words = ["install", "--force-reinstall", "--no-cache-dir", *options, f"{PACKAGE}>={MINIMUM_VERSION}"]
    place = Path(prefix)
    if "pipx" in place.parts:
        return shlex.join(["pipx", "runpip", place.name, *words])
    if {"uv", "tools"} <= {*place.parts} or find_spec("pip") is None:
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *words[1:]])
    return shlex.join([sys.executable, "-m", "pip", *words])
