"""What to say where llama.cpp's library does not load: the loader's words, what they mean, and the command that helps."""

import re
from typing import Final

from hychat.domain.errors import EngineUnavailable
from hychat.engine.install import compiled_here_line, cpu_build_line, install_line
from hychat.messages import _

_MISSING: Final = re.compile(r"(?P<name>lib[\w.+-]+?)\.so(?:\.(?P<major>\d+))?[\d.]*: cannot open shared object file")
"""How glibc's loader and musl's name a library that is not there."""


def not_loadable(reason: str) -> EngineUnavailable:
    """The error for a library that does not load; `reason` has the loader's own words."""
    missing = _MISSING.search(reason)
    match missing["name"] if missing else "":
        case "libcuda":
            return _needs_driver(reason)
        case "libcudart" | "libcublas" | "libcublasLt" if missing:
            return _needs_cuda(missing["major"] or "", reason)
        case "libvulkan":
            return EngineUnavailable(
                _("This llama-cpp-python is built for Vulkan, which this machine does not have: {reason}").format(
                    reason=reason
                ),
                hint=_(
                    "Install the system's Vulkan loader (sudo apt install libvulkan1), or the CPU build:\n{command}"
                ).format(command=cpu_build_line()),
            )
        case "libgomp":
            return EngineUnavailable(
                _("llama-cpp-python cannot be loaded: {reason}").format(reason=reason),
                hint=_("Install the compiler's runtime library: sudo apt install libgomp1"),
            )
        case _:
            return EngineUnavailable(
                _("llama-cpp-python cannot be loaded: {reason}").format(reason=reason),
                hint=_("Install it again:\n{command}").format(command=install_line()),
            )


def _needs_driver(reason: str) -> EngineUnavailable:
    return EngineUnavailable(
        _("This llama-cpp-python is built for CUDA, and this machine has no NVIDIA driver: {reason}").format(
            reason=reason
        ),
        hint=_("Install the driver (in a container: docker run --gpus all), or the CPU build:\n{command}").format(
            command=cpu_build_line()
        ),
    )


def _needs_cuda(major: str, reason: str) -> EngineUnavailable:
    return EngineUnavailable(
        _("This llama-cpp-python needs the libraries of CUDA {version}, which are not found: {reason}").format(
            version=major, reason=reason
        ),
        hint=_(
            "Install CUDA {version} (NVIDIA's packages are named cuda-libraries-{version}-…) and name its folder in"
            " LD_LIBRARY_PATH, or install the CPU build:\n{command}"
        ).format(version=major, command=cpu_build_line()),
    )


def no_rpc() -> EngineUnavailable:
    """The error for a build that cannot reach workers."""
    return EngineUnavailable(
        _("This llama-cpp-python is built without RPC, so it can neither use workers nor be one."),
        hint=_("Build it with RPC:\n{command}").format(command=f"CMAKE_ARGS=-DGGML_RPC=on {compiled_here_line()}"),
    )


def wrong_processor() -> EngineUnavailable:
    """The error for a library with instructions that this processor does not know."""
    return EngineUnavailable(
        _("llama-cpp-python was built for another processor (SIGILL)."),
        hint=_("Build it here:\n{command}").format(command=compiled_here_line()),
    )
