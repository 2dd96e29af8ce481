"""llama.cpp: which one, what it was built for, and whether it uses what this machine has."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from hychat.cli.doctor.finding import Finding, Surroundings, both, error, ok, warn
from hychat.cli.doctor.nvidia import NvidiaDriver, has_cuda_libraries, nvidia_driver
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.domain.numbers import size
from hychat.engine.child import Child
from hychat.engine.gpus import backend_libraries
from hychat.engine.greeting import Build, build_of, offload_devices
from hychat.engine.install import (
    CUDA_WHEELS,
    MINIMUM_VERSION,
    PACKAGE,
    compiled_here_line,
    cuda_build_line,
    cuda_wheel_for,
    install_line,
)
from hychat.engine.plan import Device
from hychat.messages import _

_CUDA: Final = "CUDA"


def engine(around: Surroundings) -> Iterator[Finding]:
    """Start the engine's process and ask it."""
    child = None
    try:
        child = Child(around.spawned) if around.spawned else Child.start()
        devices = offload_devices(child, CancelToken())
        build = build_of(child)
    except HychatError as problem:
        yield error(PACKAGE, problem.message, problem.hint, version=_version(), libraries=backend_libraries())
        return
    finally:
        if child is not None:
            child.close()
    yield _package(build)
    yield _backends(build, devices)
    yield _devices(devices)
    yield from nvidia(build, devices, nvidia_driver())


def _version() -> str | None:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def _package(build: Build) -> Finding:
    found = _version()
    message = _("{version}, with llama.cpp's ggml {ggml} ({commit})").format(
        version=found or "?", ggml=build.version, commit=build.commit
    )
    details = {"version": found, "ggml_version": build.version, "ggml_commit": build.commit}
    if found and _figures(found) < _figures(MINIMUM_VERSION):
        message = both(message, _("hychat was tested with {version} and later").format(version=MINIMUM_VERSION))
        return warn(PACKAGE, message, install_line(), **details)
    return ok(PACKAGE, message, **details)


def _figures(version: str) -> tuple[int, ...]:
    return tuple(int(figure) for figure in re.findall(r"\d+", version)[:3])


def _backends(build: Build, devices: tuple[Device, ...]) -> Finding:
    details = {"backends": build.backends, "libraries": backend_libraries(), "cpu_features": build.cpu_features}
    message = _("built for {backends}; on the processor it uses {features}").format(
        backends=", ".join(build.backends), features=", ".join(build.cpu_features) or "?"
    )
    unused = sorted(_features_of_processor() - {*build.cpu_features})
    if unused and not devices:  # with a GPU the processor has little to do
        left = _("the processor also has {features}, and this build leaves it unused")
        message = both(message, left.format(features=", ".join(unused)))
        return warn("backends", message, compiled_here_line(), unused_cpu_features=unused, **details)
    return ok("backends", message, **details)


def _features_of_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Those that decide how fast a model is, where Linux tells; named as llama.cpp names them."""
    try:
        flags = re.search(r"^flags\s*: (.*)$", cpuinfo.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:
        return set()
    return {"AVX2", "FMA", "F16C"} & set(flags[1].upper().split()) if flags else set()


def _devices(devices: tuple[Device, ...]) -> Finding:
    if not devices:
        return ok("devices", _("no GPU in use: the processor computes"), devices=[])
    told = [
        _("{name} ({backend}), {free} of {total} free").format(
            name=device.description, backend=device.name, free=size(device.free_bytes), total=size(device.total_bytes)
        )
        for device in devices
    ]
    as_json = [
        {
            "name": device.name,
            "description": device.description,
            "kind": device.kind,
            "free_bytes": device.free_bytes,
            "total_bytes": device.total_bytes,
        }
        for device in devices
    ]
    return ok("devices", "; ".join(told), devices=as_json)


def nvidia(build: Build, devices: tuple[Device, ...], driver: NvidiaDriver | None) -> Iterator[Finding]:
    """Whether an NVIDIA GPU is used; nothing to say where there is neither a driver nor a build for one."""
    is_for_cuda = _CUDA in build.backends
    if driver is None:
        if is_for_cuda:
            yield warn(
                "nvidia",
                _("This llama-cpp-python is built for CUDA, and no NVIDIA driver is found: the processor computes"),
                _("Install NVIDIA's driver; in a container: docker run --gpus all"),
            )
        return
    details = {"driver": driver.version, "cuda": _dotted(driver.cuda) if driver.cuda else None}
    name = _("NVIDIA driver {version}").format(version=driver.version or "").rstrip()
    if any(device.kind == "gpu" for device in devices):
        yield ok("nvidia", _("{driver}, in use").format(driver=name), **details)
    elif driver.trouble:
        yield warn(
            "nvidia",
            _("The driver does not work; nvidia-smi: {words}").format(words=driver.trouble),
            _("Restart the machine; if that does not help, install NVIDIA's driver again"),
            **details,
        )
    elif driver.cuda is None:
        yield warn(
            "nvidia",
            _("{driver} is on this machine, but its library libcuda.so.1 is not found here").format(driver=name),
            _("In a container: docker run --gpus all; elsewhere install the driver's libraries (libnvidia-compute)"),
            **details,
        )
    else:
        yield _unused(name, driver.cuda, details, is_for_cuda=is_for_cuda)


def _unused(name: str, cuda: tuple[int, int], details: dict[str, str | None], *, is_for_cuda: bool) -> Finding:
    """A GPU that could compute, and does not."""
    message = (
        _(
            "{driver} runs CUDA {cuda}, but llama.cpp finds no GPU it can use"
            " (it is built for a newer CUDA, or CUDA_VISIBLE_DEVICES hides the GPU)"
        )
        if is_for_cuda
        else _("{driver} runs CUDA {cuda}, but this llama-cpp-python is not built for it: the processor computes")
    ).format(driver=name, cuda=_dotted(cuda))
    wheel = cuda_wheel_for(cuda)
    if wheel is None:
        fix = _("Install a newer NVIDIA driver, one that runs CUDA {cuda} or later; then ask again: hychat doctor")
        return warn("nvidia", message, fix.format(cuda=_dotted(min(CUDA_WHEELS))), **details)
    if not has_cuda_libraries(wheel[0]):
        needs = _("the build below also needs CUDA {major}'s libraries (NVIDIA's package {package})")
        package = f"cuda-libraries-{wheel[0]}-{wheel[1]}"
        message = both(message, needs.format(major=wheel[0], package=package))
    return warn("nvidia", message, cuda_build_line(wheel), **details)


def _dotted(cuda: tuple[int, int]) -> str:
    return ".".join(map(str, cuda))
