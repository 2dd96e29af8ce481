"""What a layout takes, held against llama.cpp's own figures for the published shapes at their full size."""

from pathlib import Path

import pytest

from hychat.engine.footprint import Footprint, Layout
from hychat.engine.gguf import read_header
from tests.middling_models import Middling
from tests.simulate import simulated
from tests.tiny_models import write_hunyuan_dense
from tests.touched import touched
from tests.whole_models import SHAPES, write_whole

MIB = 1 << 20
NEAR = 0.08
"""What the estimate of a memory may be off by, as a share."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {name: write_whole(folder / f"{name}.gguf", shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("name", [*SHAPES])
def test_compute_buffers_on_the_machine_are_as_llama_cpp_has_them(models: dict[str, Path], name: str) -> None:
    layouts = [*map(Layout, (512, 2_048, 8_192, 32_768)), Layout(8_192, kv_type="q8_0")]
    footprint = Footprint.of(read_header(str(models[name])))
    actual = [compute["CPU"] for compute in simulated(models[name], layouts)]
    assert [footprint.places(layout)[0].compute for layout in layouts] == pytest.approx(actual, rel=NEAR)


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (("dense", "Q4_K_M"), Layout(1_024)),
        (("mixture", "Q4_K_M"), Layout(1_024, kv_type="q8_0")),
        (("mixture", "F16"), Layout(512)),
    ],
    ids=str,
)
def test_what_an_answer_touches_is_what_the_plan_counts(
    middling: Middling, tmp_path: Path, model: tuple[str, str], layout: Layout
) -> None:
    path = middling[model[0]][model[1]]
    written, read = touched(path, write_hunyuan_dense(tmp_path / "small.gguf"), layout)
    (machine,) = Footprint.of(read_header(str(path))).places(layout)
    assert machine.total == pytest.approx(written + read, rel=NEAR)
    assert machine.kv + machine.compute + machine.copied == pytest.approx(written, abs=NEAR * machine.total)


@pytest.mark.parametrize(
    ("name", "published_bytes"),
    [
        ("hunyuan-0.5b", 354_970_464),
        ("hunyuan-7b", 4_621_992_960),
        ("hy-mt2-30b-a3b", 18_236_702_880),
    ],
)
def test_the_shapes_are_those_of_the_published_files(models: dict[str, Path], name: str, published_bytes: int) -> None:
    assert models[name].stat().st_size == pytest.approx(published_bytes, rel=0.01)
    assert Footprint.of(read_header(str(models[name]))).weights == pytest.approx(published_bytes, rel=0.02)


def test_a_tied_output_has_a_copy_of_its_own_on_a_device(models: dict[str, Path]) -> None:
    footprint = Footprint.of(read_header(str(models["hunyuan-0.5b"])))
    machine, device = footprint.places(Layout(2_048, 25), ["GPU0"])
    assert machine.weights == footprint.inputs
    assert device.weights == footprint.weights


def test_experts_that_stay_on_the_machine_leave_their_layers_on_the_device(models: dict[str, Path]) -> None:
    footprint = Footprint.of(read_header(str(models["hunyuan-a13b"])))
    whole, sparse = (footprint.places(Layout(8_192, 33, count), ["GPU0"]) for count in (0, 32))
    assert sparse[1].kv == whole[1].kv
    assert sparse[1].weights < 0.05 * whole[1].weights
    assert sparse[0].weights + sparse[1].weights == whole[0].weights + whole[1].weights


@pytest.mark.parametrize("shares", [(1.0, 1.0), (3.0, 1.0), (0.0, 1.0)])
def test_devices_get_their_share_of_the_layers(models: dict[str, Path], shares: tuple[float, float]) -> None:
    footprint = Footprint.of(read_header(str(models["hunyuan-7b"])))
    _machine, first, second = footprint.places(Layout(8_192, 33), ["GPU0", "GPU1"], shares)
    assert first.kv + second.kv == footprint.kv_bytes(Layout(8_192))
    assert first.kv / (first.kv + second.kv) == pytest.approx(shares[0] / sum(shares), abs=0.04)


def test_a_quantized_kv_cache_takes_half(models: dict[str, Path]) -> None:
    footprint = Footprint.of(read_header(str(models["hunyuan-7b"])))
    exact, half, quarter = (footprint.kv_bytes(Layout(8_192, kv_type=kind)) for kind in ("f16", "q8_0", "q4_0"))
    assert half / exact == pytest.approx(0.53, abs=0.01)
    assert quarter / exact == pytest.approx(0.28, abs=0.01)
