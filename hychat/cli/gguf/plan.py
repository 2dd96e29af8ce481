"""`hychat gguf plan`: what of a model would go where, before anything is loaded."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import options, typed
from hychat.cli.commands import Command
from hychat.cli.gguf.inspect import headers_of
from hychat.cli.output import Output
from hychat.config.load import load
from hychat.domain.errors import UsageError
from hychat.messages import _
from hychat.paths import config_file

if TYPE_CHECKING:
    from hychat.engine.memory import Memory
    from hychat.engine.plan import Device, LoadPlan

_GIB = 1 << 30
_MOST_GIB = 1 << 30
"""Of a machine's memory."""

_Model = Annotated[
    str,
    typer.Argument(
        metavar=_("MODEL"), help=_("A name, hf:owner/repository[:quantization or file], or a path."),
        autocompletion=typed.model_names,
    ),
]  # fmt: skip
_DeviceMemory = Annotated[
    str | None,
    typer.Option(
        "--device-memory",
        help=_("Plan for GPUs with this much free memory, in GiB, instead of those that are here; 0 for none."),
        metavar="N,N,...",
    ),
]
_Memory = Annotated[
    str | None, typer.Option("--memory", help=_("Plan for a machine with this much memory, in GiB."), metavar="N")
]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("Ask this hub instead of huggingface.co."), metavar=_("URL"))
]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]


def plan(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    model: _Model,
    device_memory: _DeviceMemory = None,
    memory: _Memory = None,
    context_tokens: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    n_cpu_moe: options.CpuExperts = None,
    kv_type: options.KvType = None,
    tensor_split: options.TensorSplit = None,
    main_gpu: options.MainGpu = None,
    rpc: options.Rpc = None,
    mmproj: options.Mmproj = None,
    mirror: _Mirror = None,
    as_json: _Json = False,
) -> None:
    """Plan, and print what lies where."""
    from hychat.engine.audit import audit
    from hychat.engine.memory import machine_memory
    from hychat.engine.plan import plan as planned
    from hychat.runtime import wishes_of

    flags = {
        "context_tokens": context_tokens,
        "gpu_layers": gpu_layers,
        "n_cpu_moe": n_cpu_moe,
        "kv_type": kv_type,
        "tensor_split": tensor_split,
        "main_gpu": main_gpu,
        "rpc": rpc,
        "mmproj": None if mmproj is None else str(mmproj),
    }
    if rpc and device_memory is not None:
        raise UsageError(
            _("--device-memory plans for GPUs that are not here, --rpc asks workers that are: choose one of them."),
            hint=_("A worker counts as a GPU: --device-memory 24,24 is a GPU and a worker of 24 GiB each."),
        )
    config = load(config_file(), os.environ).over(flags)
    here = machine_memory() if memory is None else _memory_of(memory)
    devices = _devices_here(ctx, config.rpc) if device_memory is None else _devices_of(device_memory)
    with headers_of(model, mirror) as parts:
        audit(parts[0])
        made = planned(
            parts[0],
            available_memory_bytes=here.available,
            total_memory_bytes=here.total,
            devices=devices,
            wishes=wishes_of(config),
            context_tokens_wanted=_usual_tokens(model),
            projector_bytes=_projector_bytes(model, config.mmproj, mirror),
            tensors=[tensor for part in parts for tensor in part.tensors],
        )
    output = Output.of_process()
    if as_json:
        output.json(_as_json(model, made))
    else:
        output.text(_table(model, made, here))


def _usual_tokens(name: str) -> int | None:
    """The context that the catalogue thinks right for a model."""
    from hychat.catalogue.find import find, is_path
    from hychat.domain.errors import ModelNotFound

    try:
        return None if is_path(name) else find(name).context_tokens
    except ModelNotFound:
        return None


def _projector_bytes(name: str, typed: str, mirror: str | None) -> int:
    """Of the file that lets the model see, which may be typed; 0 where it has none. Raises as `headers_of`."""
    from hychat.catalogue.find import locate, projector_at, projector_of
    from hychat.domain.errors import ModelNotFound

    try:
        path = projector_at(typed) if typed else projector_of(locate(name))
    except ModelNotFound:
        if typed:
            raise
        return _remote_projector_bytes(name, mirror)
    return path.stat().st_size if path else 0


def _remote_projector_bytes(name: str, mirror: str | None) -> int:
    from hychat.catalogue.hub import hub_endpoint
    from hychat.catalogue.pulling import wanted

    found = wanted(name, hub_endpoint(mirror))
    return sum(file.bytes or 0 for file in found.files[found.part_count :])


def _devices_here(ctx: typer.Context, rpc: str) -> "tuple[Device, ...]":
    from hychat.domain.cancel import CancelToken
    from hychat.engine.child import Child
    from hychat.engine.greeting import offload_devices, worker_devices
    from hychat.engine.workers import endpoints, not_answering, silent

    workers = endpoints(rpc)
    if gone := silent(workers):
        raise not_answering(gone)
    child = Child(ctx.obj) if ctx.obj else Child.start()
    try:
        return (*offload_devices(child, CancelToken()), *worker_devices(child, workers))
    finally:
        child.close()


def _devices_of(text: str) -> "tuple[Device, ...]":
    """Raises UsageError."""
    from hychat.engine.plan import Device

    sizes = [_bytes_of(part) for part in text.split(",")]
    if None in sizes:
        raise UsageError(
            _("--device-memory: {text} is no memory in GiB.").format(text=text),
            hint=_("Write one number for each GPU, such as 8 or 24,24."),
        )
    free = [size for size in sizes if size]
    return tuple(Device(f"GPU{index}", "", "gpu", size, size) for index, size in enumerate(free))


def _memory_of(text: str) -> "Memory":
    """Raises UsageError."""
    from hychat.engine.memory import Memory

    size = _bytes_of(text)
    if size is None:
        raise UsageError(
            _("--memory: {text} is no memory in GiB.").format(text=text), hint=_("Write a number, such as 16 or 7.5.")
        )
    return Memory(size, size)


def _bytes_of(text: str) -> int | None:
    """Of a number in GiB; None where it is none, or beyond any machine."""
    try:
        size = float(text)
    except ValueError:
        return None
    return int(size * _GIB) if 0 <= size < _MOST_GIB else None  # false for nan as well


def _as_json(name: str, made: "LoadPlan") -> dict[str, object]:
    return {
        "model": name,
        "context_tokens": made.context_tokens,
        "gpu_layers": made.gpu_layers,
        "n_cpu_moe": made.cpu_expert_layers,
        "kv_type": made.kv_type,
        "reason": made.reason,
        "places": [
            {
                "name": place.name,
                "weights_bytes": place.weights,
                "kv_bytes": place.kv,
                "compute_bytes": place.compute,
                "free_bytes": device.free_bytes if device else None,
            }
            for place, device in zip(made.places, (None, *made.devices), strict=True)
        ],
    }


def _table(name: str, made: "LoadPlan", here: "Memory") -> str:
    from hychat.engine.plan import in_bytes

    heads = ("", _("weights"), _("KV cache"), _("compute"), _("together"), _("free"))
    free = (here.available, *(device.free_bytes for device in made.devices))
    rows = [
        (place.name, *map(in_bytes, (place.weights, place.kv, place.compute, place.total, room)))
        for place, room in zip(made.places, free, strict=True)
    ]
    return "\n".join([f"{name}: {made.reason}", "", *_aligned([heads, *rows])])


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns to the right, the first one to the left."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield f"{row[0]}{first}  {'  '.join(pad + cell for pad, cell in zip(others, row[1:], strict=True))}".rstrip()


app = typer.Typer(name="plan", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Tell what of a model would go where, before anything is loaded."))(plan)
