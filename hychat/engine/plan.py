"""What of a model goes where, and how long its context may grow: worked out from the header, before it is loaded.

Which memory counts. What lies where is told by `hychat.engine.footprint`. KV cache and compute buffers are anonymous memory that
llama.cpp writes to at once, so they must fit what is available now (Linux: `MemAvailable`, which counts the page cache that can
be dropped). Weights are mapped from the file: the kernel may drop them and read them again, so they need no more than the
machine's whole memory (`MemTotal`), but an answer crawls when they are read again for every token. A context beyond
`SHORT_CONTEXT_TOKENS` is therefore only given where everything fits what is available. Weights that the CPU backend copies count
as the KV cache does.

What goes before what. Everything on devices; else, in a mixture, all layers there and the experts of as few layers as must be on
the machine, since they are most of its bytes and few of its work; else as many layers as fit. The KV cache is in f16, and in q8_0
where only that lets all layers on a device, or the context be as long as was asked for.

What the user decides stands: where it does not fit with a long context it gets a shorter one, and where it does not fit at all it
is refused, with what would.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from hychat.domain.errors import ModelTooLarge, UsageError
from hychat.engine.footprint import SHORT_FLASH_TOKENS, Footprint, Layout, Place, compute_bytes
from hychat.engine.gguf import GgufHeader, TensorInfo
from hychat.messages import _, listed, ngettext

CONTEXT_STEP_TOKENS: Final = 256
LEAST_CONTEXT_TOKENS: Final = 512
SHORT_CONTEXT_TOKENS: Final = 2_048
USUAL_CONTEXT_TOKENS: Final = 8_192
"""Unless more is asked for, more layers on a device with this context are better than a longer one."""
MOST_CONTEXT_TOKENS: Final = 32_768
"""The longest context that is taken unasked; a Hunyuan header claims 262,144."""

_MEMORY_SHARE: Final = 0.9
"""The rest of what is available is left to other programs, and to the moment in which a context grows."""
_DEVICE_RESERVE_BYTES: Final = 256 << 20
_USUAL_KV: Final = "f16"
_QUANTIZED_KV: Final = "q8_0"
_QUANTIZED_BLOCK: Final = 32
ALL_LAYERS: Final = -1
"""As a wish for layers on devices; any number that a model does not have says the same."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something layers can be offloaded to."""

    name: str
    """As llama.cpp names its buffers there: `CUDA0`, `RPC0[192.168.1.7:50052]`."""
    description: str
    kind: str
    """`gpu`, or `igpu` for one that shares the machine's memory."""
    free_bytes: int
    total_bytes: int

    @property
    def is_worker(self) -> bool:
        """Whether it is on another machine."""
        return self.name.startswith("RPC")

    @property
    def room(self) -> int:
        """What layers may take of it, in bytes."""
        return self.free_bytes - _DEVICE_RESERVE_BYTES


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user decided; None leaves it to the plan."""

    context_tokens: int | None = None
    gpu_layers: int | None = None
    """Layers on devices; all where it is more than there are, or `ALL_LAYERS`."""
    cpu_expert_layers: int | None = None
    """Layers whose experts stay on the machine, from the first."""
    kv_type: str | None = None
    tensor_split: tuple[float, ...] = ()
    """What share of the layers on devices each of them gets."""
    main_gpu: int | None = None
    """The one device to use, by its place in the list."""

    def for_other_devices(self) -> "Wishes":
        """What of it still means something once a device that was counted on is gone."""
        no_device = 0 if self.gpu_layers == 0 else None
        return replace(self, gpu_layers=no_device, cpu_expert_layers=None, tensor_split=(), main_gpu=None)


NO_WISHES: Final = Wishes()


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How to load a model."""

    context_tokens: int
    """The most a run may grow to."""
    gpu_layers: int
    """llama.cpp's `n_gpu_layers`; one more than the model has layers when the output goes along."""
    kv_bytes: int
    """Of the KV cache at that context."""
    reason: str
    """The plan in two lines, for the user."""
    cpu_expert_layers: int = 0
    """Layers whose experts stay on the machine, from the first."""
    kv_type: str = "f16"
    devices: tuple[Device, ...] = ()
    """Those that are used, in llama.cpp's order."""
    shares: tuple[float, ...] = ()
    """What share of the layers on devices each of them gets, in any unit."""
    places: tuple[Place, ...] = ()
    """What the machine holds, then what each device does."""


def plan(  # noqa: PLR0913 - what is known of model, machine and user
    header: GgufHeader,
    *,
    available_memory_bytes: int,
    devices: Sequence[Device] = (),
    wishes: Wishes = NO_WISHES,
    context_tokens_wanted: int | None = None,
    total_memory_bytes: int | None = None,
    projector_bytes: int = 0,
    tensors: Sequence[TensorInfo] = (),
) -> LoadPlan:
    """Where the parts of a model go, and the longest context that fits with it.

    Args:
        header: Of the model, or of its first part; one that passed the audit.
        available_memory_bytes: Memory that is free or can be freed without swapping.
        devices: What layers can go to; the machine's own memory is left out of them.
        wishes: What the user decided.
        context_tokens_wanted: What suits the model; shorter where it does not fit. None: what is usual.
        total_memory_bytes: The machine's memory; None: as much as is available.
        projector_bytes: Of the file that lets it see.
        tensors: Of all parts of a split model.

    Raises:
        ModelTooLarge: The model does not fit with the shortest context, or not as was wished; the error says what does.
        UsageError: A wish that this model or machine has no answer to.
    """
    used, shares = _devices_for(wishes, devices)
    search = _Search(
        Footprint.of(header, tensors, projector_bytes),
        used,
        shares,
        wishes.gpu_layers,
        wishes.cpu_expert_layers,
        _Room(available_memory_bytes, max(total_memory_bytes or 0, available_memory_bytes)),
    )
    if not wishes.tensor_split:
        search = search.on_useful_devices()
    wanted = wishes.context_tokens or context_tokens_wanted
    most = _most_tokens(header, wanted)
    layout = _chosen(search, most, wanted, wishes)
    if layout is None:
        fitting = _chosen(search.without_wishes(), most, wanted, wishes)
        raise _not_as_wished(search, fitting, wishes) if fitting else _too_large(search, wishes)
    if wishes.context_tokens and layout.context_tokens < _most_tokens(header, wishes.context_tokens):
        raise _context_too_long(search, layout, wishes.context_tokens)
    return _made(search, layout, wishes)


def _devices_for(wishes: Wishes, devices: Sequence[Device]) -> tuple[tuple[Device, ...], tuple[float, ...]]:
    """The devices that are used (GPUs, else such as share the machine's memory, as llama.cpp takes them), and their shares.

    Raises:
        UsageError: Something is wished of devices that are not there.
    """
    gpus = tuple(device for device in devices if device.kind == "gpu")
    used = gpus or tuple(device for device in devices if device.kind == "igpu")
    if wishes.main_gpu is not None:
        if not 0 <= wishes.main_gpu < len(used):
            raise UsageError(_no_such_device(wishes.main_gpu, used), hint=_("See: hychat doctor"))
        used = (used[wishes.main_gpu],)
    if wishes.gpu_layers and not used:
        message = _("--gpu-layers {number}: there is no GPU that llama.cpp can use.").format(number=wishes.gpu_layers)
        raise UsageError(message, hint=_("On the CPU alone: --gpu-layers auto. What is here: hychat doctor"))
    if wishes.tensor_split and len(wishes.tensor_split) != len(used):
        raise UsageError(_wrong_shares(wishes.tensor_split, used), hint=_("See: hychat doctor"))
    return used, wishes.tensor_split or _by_free_memory(used)


def _by_free_memory(devices: Sequence[Device]) -> tuple[float, ...]:
    return tuple(max(1.0, float(device.free_bytes)) for device in devices)


class _Room(NamedTuple):
    """Memory of the machine, in bytes."""

    available: int
    total: int


class _Search(NamedTuple):
    """A model, a machine, and what of the layout is decided already."""

    footprint: Footprint
    devices: tuple[Device, ...]
    """Those that are used."""
    shares: tuple[float, ...]
    gpu_layers: int | None
    cpu_expert_layers: int | None
    room: _Room

    def without_wishes(self) -> "_Search":
        """The same, with nothing decided of what goes to the devices that are used."""
        shares = _by_free_memory(self.devices)
        return self._replace(shares=shares, gpu_layers=None, cpu_expert_layers=None)

    def on_useful_devices(self) -> "_Search":
        """Without devices that cannot hold a layer, where others can: llama.cpp gives each of them one at least."""
        shortest = Layout(LEAST_CONTEXT_TOKENS)
        useful = tuple(
            device
            for device in self.devices
            if self._replace(devices=(device,)).without_wishes().on_devices(shortest).gpu_layers > 1
        )
        return self._replace(devices=useful, shares=_by_free_memory(useful)) if useful else self

    @property
    def own_memories(self) -> tuple[Device, ...]:
        """Devices whose memory comes to that of the machine, where they may be used."""
        return tuple(device for device in self.devices if device.kind == "gpu" and self.gpu_layers != 0)

    def places(self, layout: Layout) -> tuple[Place, ...]:
        """What lies where."""
        sees_on = 1 if self.devices and not self.devices[0].is_worker else 0
        return self.footprint.places(layout, [device.name for device in self.devices], self.shares, sees_on=sees_on)

    def best(self, tokens: int, kv_type: str) -> Layout | None:
        """The layout with most on devices; None where these cannot hold what they must, or the machine the rest."""
        layout = self.on_devices(Layout(tokens, kv_type=kv_type))
        return layout if self.fits_devices(layout) and self.fits_machine(layout) else None

    def on_devices(self, empty: Layout) -> Layout:
        """As much as devices hold, or as was wished, whatever that leaves to the machine."""
        all_layers = len(self.footprint.layers) + 1
        if not self.devices:
            return empty
        whole = empty._replace(gpu_layers=self._clipped(self.gpu_layers, all_layers))
        if self.cpu_expert_layers is None and self.fits_devices(whole):
            return whole
        sparse = self._with_experts_aside(whole)
        if self.gpu_layers is not None or self.fits_devices(sparse):
            return sparse
        counts = range(1, all_layers + 1)
        fitting = bisect_left(
            counts, True, key=lambda layers: not self.fits_devices(sparse._replace(gpu_layers=layers))
        )
        return sparse._replace(gpu_layers=fitting) if fitting else empty

    def _with_experts_aside(self, layout: Layout) -> Layout:
        """With the experts of as few layers on the machine as devices ask for; of all, where even that is not enough."""
        if not self.footprint.has_experts:
            return layout
        most = len(self.footprint.layers)
        if self.cpu_expert_layers is not None:
            return layout._replace(cpu_expert_layers=min(self.cpu_expert_layers, most))
        counts = range(most)
        fewest = bisect_left(
            counts, True, key=lambda count: self.fits_devices(layout._replace(cpu_expert_layers=count))
        )
        return layout._replace(cpu_expert_layers=fewest)

    def _clipped(self, wished: int | None, most: int) -> int:
        return most if wished is None or wished == ALL_LAYERS else min(wished, most)

    def is_whole(self, layout: Layout | None) -> bool:
        """Whether devices take all of it."""
        return layout is not None and layout.gpu_layers > len(self.footprint.layers) and not layout.cpu_expert_layers

    def fits_devices(self, layout: Layout) -> bool:
        """Whether each device holds its part."""
        places = self.places(layout)[1:]
        return all(
            not place.total or place.total <= device.room for device, place in zip(self.devices, places, strict=True)
        )

    def fits_machine(self, layout: Layout) -> bool:
        """Whether what stays on the machine fits."""
        anonymous, mapped = self.machine_bytes(layout)
        whole = self.room.total if layout.context_tokens <= SHORT_CONTEXT_TOKENS else self.room.available
        is_written_fitting = anonymous <= self.room.available * _MEMORY_SHARE
        return is_written_fitting and anonymous + mapped <= whole * _MEMORY_SHARE

    def machine_bytes(self, layout: Layout) -> tuple[int, int]:
        """Memory of the machine that is written to, and what is only read and could be read again from the file."""
        machine, *others = self.places(layout)
        shared = [place for device, place in zip(self.devices, others, strict=True) if device.kind == "igpu"]
        compute = machine.compute
        if not layout.gpu_layers:  # the context grows as it is needed, and a run begins with a short one
            compute = max(compute, compute_bytes(self.footprint.header, SHORT_FLASH_TOKENS, is_flash=True))
        written = machine.kv + compute + machine.copied + sum(place.kv + place.compute for place in shared)
        read = machine.weights - machine.copied + sum(place.weights for place in shared)
        return written, read


def _chosen(search: _Search, most: int, wanted: int | None, wishes: Wishes) -> Layout | None:
    """The best layout over contexts and types of the KV cache."""
    usual = most if wanted else min(most, USUAL_CONTEXT_TOKENS)
    first = _over_contexts(search, wishes.kv_type or _USUAL_KV, most, usual)
    if wishes.kv_type or search.footprint.header.kv_bytes_per_token() == 0 or _has_odd_heads(search):
        return first
    if search.is_whole(first) or (first and first.context_tokens >= usual and not search.devices):
        return first
    second = _over_contexts(search, _QUANTIZED_KV, most, usual)
    is_longer = second is not None and (first is None or (bool(wishes.context_tokens) and first.context_tokens < usual))
    return second if is_longer or search.is_whole(second) else first


def _over_contexts(search: _Search, kv_type: str, most: int, usual: int) -> Layout | None:
    """The longest context with all on devices, where that is no shorter than usual; else the longest that is of use."""
    if search.devices:
        whole = _longest(most, lambda tokens: search.is_whole(search.best(tokens, kv_type)))
        if whole and whole >= usual:
            return search.best(whole, kv_type)
        most = usual
    tokens = _longest(most, lambda tokens: search.best(tokens, kv_type) is not None)
    return search.best(tokens, kv_type) if tokens else None


def _has_odd_heads(search: _Search) -> bool:
    """Whether a quantized KV cache is impossible: its blocks hold 32 values of a head."""
    header = search.footprint.header
    return bool((header.key_length or 0) % _QUANTIZED_BLOCK or (header.value_length or 0) % _QUANTIZED_BLOCK)


def _most_tokens(header: GgufHeader, wanted: int | None) -> int:
    trained = header.context_tokens or MOST_CONTEXT_TOKENS
    steps = min(-(-(wanted or MOST_CONTEXT_TOKENS) // CONTEXT_STEP_TOKENS), trained // CONTEXT_STEP_TOKENS)
    return max(LEAST_CONTEXT_TOKENS, steps * CONTEXT_STEP_TOKENS)


def _longest(most: int, fits: Callable[[int], bool]) -> int | None:
    """The longest context that fits; None when not even the shortest does. What fits also fits shorter."""
    contexts = range(LEAST_CONTEXT_TOKENS, most + 1, CONTEXT_STEP_TOKENS)
    fitting = bisect_left(contexts, True, key=lambda tokens: not fits(tokens))
    return contexts[fitting - 1] if fitting else None


def _made(search: _Search, layout: Layout, wishes: Wishes) -> LoadPlan:
    is_used = bool(layout.gpu_layers)
    how_much = _how_much(search, layout)
    if (wishes.context_tokens or 0) > layout.context_tokens:
        how_much = _("{first} {second}").format(
            first=how_much, second=_("The model was trained for no longer context.")
        )
    return LoadPlan(
        context_tokens=layout.context_tokens,
        gpu_layers=layout.gpu_layers,
        kv_bytes=search.footprint.kv_bytes(layout),
        reason=f"{_where(search, layout)}\n{how_much}",
        cpu_expert_layers=layout.cpu_expert_layers,
        kv_type=layout.kv_type,
        devices=search.devices if is_used else (),
        shares=search.shares if is_used else (),
        places=search.places(layout) if is_used else search.places(layout)[:1],
    )


def _where(search: _Search, layout: Layout) -> str:
    count = len(search.footprint.layers)
    names = _names(search.devices)
    if not search.devices or search.gpu_layers == 0:
        return _("All {all} layers on the CPU.").format(all=count)
    if not layout.gpu_layers:
        return _("No layer fits {devices}: all {all} on the CPU.").format(devices=names, all=count)
    on_devices, has_output = min(layout.gpu_layers, count), layout.gpu_layers > count
    if layout.cpu_expert_layers and has_output:
        message = _("All {all} layers on {devices}, but the experts of {aside} layers on the CPU.")
    elif layout.cpu_expert_layers:
        message = _("{layers} of {all} layers on {devices}, but the experts of {aside} layers on the CPU.")
    elif has_output:
        message = _("All {all} layers on {devices}.")
    else:
        message = _("{layers} of {all} layers on {devices}, the rest on the CPU.")
    return message.format(layers=on_devices, all=count, devices=names, aside=layout.cpu_expert_layers)


def _how_much(search: _Search, layout: Layout) -> str:
    return _("Context up to {tokens} tokens (KV cache in {kv_type}, {kv}); {memory}.").format(
        tokens=layout.context_tokens,
        kv_type=layout.kv_type,
        kv=in_bytes(search.footprint.kv_bytes(layout)),
        memory=_takes(search, layout),
    )


def _takes(search: _Search, layout: Layout) -> str:
    machine, *others = search.places(layout)
    takes = [_("{used} of the machine's memory").format(used=in_bytes(machine.total))]
    takes += [
        _("{used} of {free} free on {device}").format(
            used=in_bytes(place.total), free=in_bytes(device.free_bytes), device=device.name
        )
        for device, place in zip(search.devices, others, strict=True)
        if layout.gpu_layers
    ]
    return listed(takes)


def _context_too_long(search: _Search, fitting: Layout, wished_tokens: int) -> ModelTooLarge:
    text = _("{path} does not fit with a context of {tokens} tokens; {available}.").format(
        path=search.footprint.header.path, tokens=wished_tokens, available=_available(search)
    )
    hint = _("The longest context that fits has {tokens} tokens: --context-tokens {tokens}")
    return ModelTooLarge(text, hint=hint.format(tokens=fitting.context_tokens))


def _not_as_wished(search: _Search, fitting: Layout, wishes: Wishes) -> ModelTooLarge:
    """`fitting` is what would fit instead."""
    text = _("{path} does not fit that way, not even with the shortest context: it takes {takes}; {available}.").format(
        path=search.footprint.header.path, takes=_takes(search, _shortest(search, wishes)), available=_available(search)
    )
    flags = [f"--gpu-layers {fitting.gpu_layers}"]
    if search.footprint.has_experts:
        flags.append(f"--n-cpu-moe {fitting.cpu_expert_layers}")
    if fitting.kv_type != (wishes.kv_type or _USUAL_KV):
        flags.append(f"--kv-type {fitting.kv_type}")
    hint = _("This does, with a context of {tokens} tokens: {flags}")
    return ModelTooLarge(text, hint=hint.format(tokens=fitting.context_tokens, flags=" ".join(flags)))


def _too_large(search: _Search, wishes: Wishes) -> ModelTooLarge:
    needed = sum(place.total for place in search.places(_shortest(search, wishes)))
    text = _("{path} needs {needed} of memory with the shortest context ({tokens} tokens); {available}.").format(
        path=search.footprint.header.path,
        needed=in_bytes(needed),
        tokens=LEAST_CONTEXT_TOKENS,
        available=_available(search),
    )
    hint = _("Take a smaller model or a smaller quantization, or close other programs.")
    room = int(search.room.available * _MEMORY_SHARE) + sum(max(0, gpu.room) for gpu in search.own_memories)
    largest = room - (needed - search.footprint.weights)
    if largest > 0:
        smaller = _("A model of about {size} fits; see: hychat models list").format(size=in_bytes(largest))
        hint = _("{first} {second}").format(first=hint, second=smaller)
    return ModelTooLarge(text, hint=hint)


def _shortest(search: _Search, wishes: Wishes) -> Layout:
    return search.on_devices(Layout(LEAST_CONTEXT_TOKENS, kv_type=wishes.kv_type or _USUAL_KV))


def _available(search: _Search) -> str:
    free = [
        _("{free} on {device}").format(free=in_bytes(device.free_bytes), device=device.name)
        for device in search.own_memories
    ]
    return _("available: {memory}").format(memory=listed([in_bytes(search.room.available), *free]))


def _names(devices: Sequence[Device]) -> str:
    return listed(device.name for device in devices)


def _no_such_device(wished: int, used: Sequence[Device]) -> str:
    if not used:
        return _("--main-gpu {number}: there is no GPU that llama.cpp can use.").format(number=wished)
    return ngettext(
        "--main-gpu {number}: there is {count} device, counted from 0.",
        "--main-gpu {number}: there are {count} devices, counted from 0.",
        len(used),
    ).format(number=wished, count=len(used))


def _wrong_shares(wished: Sequence[float], used: Sequence[Device]) -> str:
    return ngettext(
        "--tensor-split has {said} shares, and there is {count} device.",
        "--tensor-split has {said} shares, and there are {count} devices.",
        len(used),
    ).format(said=len(wished), count=len(used))


def places_in_words(places: Mapping[str, Mapping[str, int]]) -> str:
    """What each memory holds, by what llama.cpp tells: `CPU: weights 92 MiB, KV cache 45 MiB`."""
    names = {"model": _("weights"), "KV": _("KV cache"), "compute": _("compute")}
    told = (
        (memory, listed(f"{names[use]} {in_bytes(size)}" for use, size in held.items() if use in names and size))
        for memory, held in places.items()
    )
    return _("; ").join(_("{memory}: {sizes}").format(memory=memory, sizes=sizes) for memory, sizes in told if sizes)


def in_bytes(count: int) -> str:
    """A size for people."""
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / 2**20:.0f} MiB"
