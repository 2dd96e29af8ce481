"""The memory plan: the longest context that fits, and as many layers on devices as fit with it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.errors import ModelTooLarge, UsageError
from hychat.engine.gguf import GgufArray, GgufHeader, MetadataValue, TensorInfo, read_header
from hychat.engine.plan import (
    ALL_LAYERS,
    CONTEXT_STEP_TOKENS,
    LEAST_CONTEXT_TOKENS,
    Device,
    Wishes,
    in_bytes,
    plan,
)
from hychat.messages import choose_language
from tests.pictures.plans import rows
from tests.whole_models import SHAPES, write_whole

GIB = 1 << 30
F16, Q4_K = 1, 12
LAYERS, KV_PER_TOKEN = 32, 131_072


def model(*, type_id: int = Q4_K, weights: int = 4 * GIB, trained: int = 262_144) -> GgufHeader:
    """A model with the shape of Hunyuan 7B: 32 layers, 128 KiB of KV cache for a token."""
    metadata: dict[str, MetadataValue] = {
        "general.architecture": "hunyuan-dense",
        "hunyuan-dense.context_length": trained,
        "hunyuan-dense.block_count": LAYERS,
        "hunyuan-dense.embedding_length": 4096,
        "hunyuan-dense.feed_forward_length": 14_336,
        "hunyuan-dense.attention.head_count": 32,
        "hunyuan-dense.attention.head_count_kv": 8,
        "hunyuan-dense.attention.key_length": 128,
        "hunyuan-dense.attention.value_length": 128,
        "tokenizer.ggml.tokens": GgufArray(8, 128_167, 0),
    }
    names = ["token_embd.weight", *(f"blk.{layer}.ffn_up.weight" for layer in range(LAYERS))]
    size = weights // len(names)
    tensors = tuple(TensorInfo(name, (4096, 8 if layer else 1), type_id, 0, size) for layer, name in enumerate(names))
    return GgufHeader("seven.gguf", 3, metadata, tensors, 32, 0, weights)


def gpu(free_bytes: int, kind: str = "gpu") -> Device:
    return Device("CUDA0" if kind == "gpu" else "Vulkan0", "a device", kind, free_bytes, free_bytes)


def test_a_machine_with_room_gets_the_usual_longest_context() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB)
    assert (made.context_tokens, made.gpu_layers, made.kv_bytes) == (32_768, 0, 32_768 * KV_PER_TOKEN)
    assert made.reason.startswith("All 32 layers on the CPU.\nContext up to 32768 tokens (KV cache in f16, 4.0 GiB); ")


def test_the_context_never_exceeds_what_the_model_was_trained_for() -> None:
    assert plan(model(trained=4_096), available_memory_bytes=64 * GIB).context_tokens == 4_096


def test_a_context_beyond_the_training_is_cut_and_told() -> None:
    made = plan(model(trained=4_096), available_memory_bytes=64 * GIB, wishes=Wishes(context_tokens=100_000))
    assert made.context_tokens == 4_096
    assert made.reason.endswith("The model was trained for no longer context.")


@pytest.mark.parametrize(("wanted", "given_tokens"), [(1, 512), (512, 512), (1_000, 1_024), (100_000, 100_096)])
def test_a_wanted_context_is_given_in_steps(wanted: int, given_tokens: int) -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, context_tokens_wanted=wanted)
    assert made.context_tokens == given_tokens


def test_little_memory_shortens_the_context() -> None:
    made = plan(model(), available_memory_bytes=6 * GIB)
    assert 2_048 < made.context_tokens < 32_768
    assert 4 * GIB + made.kv_bytes < 6 * GIB


def test_a_model_that_does_not_fit_is_refused_with_figures() -> None:
    with pytest.raises(ModelTooLarge, match=r"needs 4\.\d GiB .* available: 4\.0 GiB\.") as caught:
        plan(model(), available_memory_bytes=4 * GIB)
    assert "smaller model" in caught.value.hint


def test_mapped_weights_may_exceed_what_is_available() -> None:
    made = plan(model(type_id=F16), available_memory_bytes=3 * GIB, total_memory_bytes=16 * GIB)
    assert made.context_tokens == 2_048


def test_mapped_weights_must_not_exceed_the_machines_memory() -> None:
    with pytest.raises(ModelTooLarge):
        plan(model(type_id=F16, weights=20 * GIB), available_memory_bytes=3 * GIB, total_memory_bytes=16 * GIB)


def test_weights_that_the_cpu_backend_copies_must_be_available() -> None:
    with pytest.raises(ModelTooLarge):
        plan(model(type_id=Q4_K), available_memory_bytes=3 * GIB, total_memory_bytes=16 * GIB)


def test_all_layers_and_the_output_go_to_a_device_that_takes_them() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(24 * GIB)])
    assert (made.gpu_layers, made.context_tokens) == (LAYERS + 1, 32_768)
    assert made.reason.startswith("All 32 layers on CUDA0.\nContext up to 32768 tokens (KV cache in f16, 4.0 GiB); ")
    assert made.reason.endswith("of 24.0 GiB free on CUDA0.")


def test_all_layers_on_a_device_are_worth_a_shorter_context() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(7 * GIB)])
    assert made.gpu_layers == LAYERS + 1
    assert 8_192 <= made.context_tokens < 32_768


def test_a_wanted_context_goes_before_layers_on_a_device() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(6 * GIB)], context_tokens_wanted=32_768)
    assert made.context_tokens == 32_768
    assert 0 < made.gpu_layers < LAYERS


def test_as_many_layers_as_fit_go_to_a_small_device() -> None:
    smaller, larger = (plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(n * GIB)]) for n in (2, 4))
    assert 0 < smaller.gpu_layers < larger.gpu_layers < LAYERS
    assert "of 32 layers on CUDA0, the rest on the CPU" in smaller.reason


def test_a_device_without_room_takes_no_layer() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(100 << 20)])
    assert made.gpu_layers == 0
    assert made.reason.startswith("No layer fits CUDA0")


def test_a_device_makes_room_on_the_machine() -> None:
    assert plan(model(), available_memory_bytes=2 * GIB, devices=[gpu(24 * GIB)]).gpu_layers == LAYERS + 1


def test_a_device_that_shares_the_machines_memory_makes_no_room() -> None:
    with pytest.raises(ModelTooLarge):
        plan(model(), available_memory_bytes=2 * GIB, devices=[gpu(24 * GIB, "igpu")])


def test_a_device_that_shares_memory_is_used_only_where_there_is_no_other() -> None:
    shared, own = gpu(24 * GIB, "igpu"), gpu(100 << 20)
    assert plan(model(), available_memory_bytes=64 * GIB, devices=[shared]).gpu_layers == LAYERS + 1
    assert plan(model(), available_memory_bytes=64 * GIB, devices=[shared, own]).gpu_layers == 0


def test_a_split_model_is_planned_with_the_tensors_of_all_parts() -> None:
    first, second = model(), model(weights=40 * GIB)
    assert plan(first, available_memory_bytes=8 * GIB)
    with pytest.raises(ModelTooLarge):
        plan(first, available_memory_bytes=8 * GIB, tensors=[*first.tensors, *second.tensors])


def test_what_lets_a_model_see_must_fit_beside_it() -> None:
    assert plan(model(), available_memory_bytes=8 * GIB, projector_bytes=1 * GIB)
    with pytest.raises(ModelTooLarge, match=r"needs 44\.\d GiB"):
        plan(model(), available_memory_bytes=8 * GIB, projector_bytes=40 * GIB)


def test_what_lets_a_model_see_goes_to_the_gpu_with_it_and_stays_here_where_that_is_a_worker() -> None:
    for device, places in ((gpu(24 * GIB), (0, 1)), (replace(gpu(24 * GIB), name="RPC0[there:50052]"), (1, 0))):
        without, with_it = (
            plan(model(), available_memory_bytes=64 * GIB, devices=[device], projector_bytes=size) for size in (0, GIB)
        )
        more = [after.weights - before.weights for before, after in zip(without.places, with_it.places, strict=True)]
        assert tuple(size // GIB for size in more) == places


@settings(deadline=None)
@given(memory=st.integers(0, 64 * GIB), more=st.integers(0, 8 * GIB), device=st.integers(0, 24 * GIB))
def test_more_memory_never_shortens_the_context(memory: int, more: int, device: int) -> None:
    def tokens(available: int) -> int:
        try:
            made = plan(model(), available_memory_bytes=available, devices=[gpu(device)], context_tokens_wanted=32_768)
        except ModelTooLarge:
            return 0
        assert made.context_tokens % CONTEXT_STEP_TOKENS == 0
        assert made.context_tokens >= LEAST_CONTEXT_TOKENS
        assert 0 <= made.gpu_layers <= LAYERS + 1
        return made.context_tokens

    assert tokens(memory) <= tokens(memory + more)


def test_a_quantized_kv_cache_is_taken_where_only_that_puts_all_layers_on_a_device() -> None:
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(7 * GIB)], context_tokens_wanted=32_768)
    assert (made.gpu_layers, made.kv_type, made.context_tokens) == (LAYERS + 1, "q8_0", 32_768)
    assert "KV cache in q8_0" in made.reason


def test_a_context_that_was_asked_for_is_refused_where_it_does_not_fit_and_the_longest_that_does_is_named() -> None:
    with pytest.raises(ModelTooLarge, match="a context of 200000 tokens") as caught:
        plan(model(), available_memory_bytes=8 * GIB, wishes=Wishes(context_tokens=200_000))
    longest = int(caught.value.hint.split()[-1])
    assert plan(model(), available_memory_bytes=8 * GIB, wishes=Wishes(context_tokens=longest))
    with pytest.raises(ModelTooLarge):
        plan(model(), available_memory_bytes=8 * GIB, wishes=Wishes(context_tokens=longest + CONTEXT_STEP_TOKENS))


def test_a_refusal_names_the_size_that_fits() -> None:
    with pytest.raises(ModelTooLarge) as caught:
        plan(model(weights=20 * GIB), available_memory_bytes=8 * GIB)
    assert "A model of about 7.0 GiB fits" in caught.value.hint


def test_wishes_stand() -> None:
    wishes = Wishes(gpu_layers=5, kv_type="q4_0", context_tokens=4_096)
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(24 * GIB)], wishes=wishes)
    assert (made.gpu_layers, made.kv_type, made.context_tokens) == (5, "q4_0", 4_096)
    assert "5 of 32 layers on CUDA0, the rest on the CPU." in made.reason


def test_no_layer_goes_to_a_device_where_none_is_wished() -> None:
    wishes = Wishes(gpu_layers=0)
    made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(24 * GIB)], wishes=wishes)
    assert (made.gpu_layers, made.devices) == (0, ())


def test_all_layers_can_be_wished_without_their_number() -> None:
    for wished in (ALL_LAYERS, 99, LAYERS + 1):
        made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(24 * GIB)], wishes=Wishes(gpu_layers=wished))
        assert made.gpu_layers == LAYERS + 1


@pytest.mark.parametrize("wished", [1, 99, ALL_LAYERS])
def test_layers_that_are_wished_on_a_gpu_are_refused_where_there_is_none(wished: int) -> None:
    with pytest.raises(UsageError, match=f"--gpu-layers {wished}: there is no GPU"):
        plan(model(), available_memory_bytes=64 * GIB, wishes=Wishes(gpu_layers=wished))
    assert plan(model(), available_memory_bytes=64 * GIB, wishes=Wishes(gpu_layers=0)).gpu_layers == 0


def test_layers_that_are_wished_shorten_the_context_until_they_fit() -> None:
    devices, wishes = [gpu(7 * GIB)], Wishes(gpu_layers=99)
    made = plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=wishes)
    left_to_hychat = plan(model(), available_memory_bytes=64 * GIB, devices=devices)
    assert (made.gpu_layers, made.context_tokens) == (LAYERS + 1, left_to_hychat.context_tokens)
    assert made.places[1].total <= 7 * GIB


def test_layers_that_do_not_fit_with_any_context_are_refused_and_what_fits_is_named() -> None:
    devices = [gpu(3 * GIB)]
    with pytest.raises(ModelTooLarge, match=r"4\.\d GiB of 3\.0 GiB free on CUDA0") as caught:
        plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=Wishes(gpu_layers=99))
    fitting = re.search(r"a context of (\d+) tokens: --gpu-layers (\d+)$", caught.value.hint)
    assert fitting
    wishes = Wishes(gpu_layers=int(fitting[2]), context_tokens=int(fitting[1]))
    assert plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=wishes).places[1].total <= 3 * GIB


def test_shares_that_one_device_cannot_hold_are_refused() -> None:
    devices = [gpu(24 * GIB), replace(gpu(1 * GIB), name="CUDA1")]
    wishes = Wishes(gpu_layers=99, tensor_split=(1.0, 1.0))
    with pytest.raises(ModelTooLarge, match=r"of 1\.0 GiB free on CUDA1"):
        plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=wishes)


def test_a_refusal_counts_the_memory_of_gpus() -> None:
    with pytest.raises(ModelTooLarge, match=r"available: 8\.0 GiB, 24\.0 GiB on CUDA0\.") as caught:
        plan(model(weights=60 * GIB), available_memory_bytes=8 * GIB, devices=[gpu(24 * GIB)])
    named = re.search(r"about (\d+)\.\d GiB fits", caught.value.hint)
    assert named
    assert 26 <= int(named[1]) <= 30
    fitting = model(weights=int(named[1]) * GIB)
    assert plan(fitting, available_memory_bytes=8 * GIB, devices=[gpu(24 * GIB)], context_tokens_wanted=512)


def test_wishes_for_devices_that_are_gone_are_dropped() -> None:
    wishes = Wishes(4_096, 99, 4, "q8_0", (2.0, 1.0), 1)
    assert wishes.for_other_devices() == Wishes(context_tokens=4_096, kv_type="q8_0")
    assert Wishes(gpu_layers=0).for_other_devices() == Wishes(gpu_layers=0)


def test_the_text_and_the_places_tell_the_same_bytes() -> None:
    for devices in ([], [gpu(4 * GIB)], [gpu(24 * GIB)]):
        made = plan(model(), available_memory_bytes=64 * GIB, devices=devices, projector_bytes=GIB)
        told = made.reason.splitlines()[1]
        assert f"{in_bytes(made.places[0].total)} of the machine's memory" in told
        assert all(f"{in_bytes(place.total)} of " in told for place in made.places[1:])


def test_a_plan_is_told_in_chinese_without_latin_punctuation() -> None:
    choose_language("zh")
    try:
        made = plan(model(), available_memory_bytes=64 * GIB, devices=[gpu(4 * GIB)])
    finally:
        choose_language("en")
    assert not re.search(r"[,;] |\.$|[a-z]{5}", made.reason)


def test_a_device_that_is_full_does_not_keep_layers_from_the_other() -> None:
    devices = [gpu(200 << 20), replace(gpu(24 * GIB), name="CUDA1")]
    made = plan(model(), available_memory_bytes=64 * GIB, devices=devices)
    assert [device.name for device in made.devices] == ["CUDA1"]
    assert (made.gpu_layers, len(made.places)) == (LAYERS + 1, 2)


def test_one_device_is_chosen_by_its_place() -> None:
    devices = [gpu(24 * GIB), replace(gpu(12 * GIB), name="CUDA1")]
    made = plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=Wishes(main_gpu=1))
    assert [device.name for device in made.devices] == ["CUDA1"]


@pytest.mark.parametrize(
    "wishes", [Wishes(main_gpu=2), Wishes(tensor_split=(1.0,)), Wishes(main_gpu=0, tensor_split=(1.0, 2.0))]
)
def test_wishes_for_devices_that_are_not_there_are_refused(wishes: Wishes) -> None:
    devices = [gpu(24 * GIB), replace(gpu(12 * GIB), name="CUDA1")]
    with pytest.raises(UsageError):
        plan(model(), available_memory_bytes=64 * GIB, devices=devices, wishes=wishes)


# Mixtures of experts


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> GgufHeader:
    """Hunyuan A13B at its full size, 45 GiB."""
    path = tmp_path_factory.mktemp("whole") / "a13b.gguf"
    return read_header(str(write_whole(path, SHAPES["hunyuan-a13b"])))


def test_experts_stay_on_the_machine_where_a_device_takes_the_rest(mixture: GgufHeader) -> None:
    smaller, larger = (
        plan(mixture, available_memory_bytes=64 * GIB, devices=[gpu(n * GIB)], context_tokens_wanted=8_192)
        for n in (8, 24)
    )
    assert smaller.gpu_layers == larger.gpu_layers == LAYERS + 1
    assert 0 < larger.cpu_expert_layers < smaller.cpu_expert_layers <= LAYERS
    assert f"All 32 layers on CUDA0, but the experts of {larger.cpu_expert_layers} layers on the CPU." in larger.reason


def test_a_device_that_holds_all_experts_gets_them(mixture: GgufHeader) -> None:
    made = plan(mixture, available_memory_bytes=64 * GIB, devices=[gpu(80 * GIB)])
    assert (made.gpu_layers, made.cpu_expert_layers) == (LAYERS + 1, 0)


def test_layers_whose_experts_stay_can_be_wished(mixture: GgufHeader) -> None:
    wishes = Wishes(cpu_expert_layers=32)
    made = plan(mixture, available_memory_bytes=64 * GIB, devices=[gpu(80 * GIB)], wishes=wishes)
    assert made.cpu_expert_layers == 32


def test_what_a_plan_puts_on_a_device_fits_it(mixture: GgufHeader) -> None:
    for size in range(1, 64, 3):
        made = plan(mixture, available_memory_bytes=64 * GIB, devices=[gpu(size * GIB)])
        assert all(place.total <= size * GIB for place in made.places[1:])


def test_a_mixture_that_is_wished_whole_on_a_small_device_is_refused_with_the_experts_that_must_stay(
    mixture: GgufHeader,
) -> None:
    wishes = Wishes(gpu_layers=99, cpu_expert_layers=0)
    with pytest.raises(ModelTooLarge, match=r"4\d\.\d GiB of 24\.0 GiB free on CUDA0") as caught:
        plan(mixture, available_memory_bytes=64 * GIB, devices=[gpu(24 * GIB)], wishes=wishes)
    assert re.search(r"--gpu-layers 33 --n-cpu-moe 1\d$", caught.value.hint)


def test_the_readmes_table_is_what_is_planned() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    assert "\n".join(rows()) in readme.read_text(encoding="utf-8")
