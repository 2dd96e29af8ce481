"""What a GGUF is made of: on this machine, on the hub, and damaged."""

import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import typer

from hychat.catalogue.find import find
from hychat.cli.gguf import inspect as inspect_command
from hychat.cli.gguf import plan as plan_command
from hychat.conversion.convert import convert
from hychat.conversion.inspect import inspect
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.engine.gguf import read_header
from tests.hub import Hub
from tests.programs import run_hychat
from tests.tiny_adapters import write_adapter
from tests.tiny_checkpoints import DENSE
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe
from tests.whole_models import SHAPES, write_whole

REPO = "owner/model-GGUF"
NAME = "Whole-Q4_K_M.gguf"
GIB = 1 << 30


@pytest.fixture
def a13b(tmp_path: Path) -> Path:
    """Hunyuan A13B at its full size; the file is a hole."""
    return write_whole(tmp_path / "a13b.gguf", SHAPES["hunyuan-a13b"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def test_a_mixture_tells_the_parameters_that_a_token_uses(a13b: Path) -> None:
    found = inspect([read_header(str(a13b))])
    assert found.parameters == pytest.approx(80.4e9, rel=0.005)  # the published figures
    assert found.active_parameters == pytest.approx(13e9, rel=0.03)
    assert (found.header.expert_count, found.header.expert_used_count, found.header.expert_shared_count) == (64, 8, 1)


def test_every_byte_is_in_one_group(a13b: Path) -> None:
    header = read_header(str(a13b))
    found = inspect([header])
    assert found.bytes == header.tensor_bytes
    assert sum(group.tensors for group in found.groups) == len(header.tensors)
    assert {group.name for group in found.groups} == {
        "embeddings", "attention", "experts", "shared", "router", "norms",
    }  # fmt: skip


def test_a_dense_model_uses_all_its_parameters(tmp_path: Path) -> None:
    found = inspect([read_header(str(write_hunyuan_dense(tmp_path / "dense.gguf")))])
    assert found.active_parameters == found.parameters
    assert not found.refusal


def test_the_verdict_of_the_audit_is_told(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "dense.gguf")
    path.write_bytes(path.read_bytes().replace(b"hunyuan-dense", b"hunyuan-dunce"))
    assert "hunyuan-dunce" in run_hychat("gguf", "inspect", str(path)).out


def test_people_get_a_table_and_a_bar() -> None:
    ended = run_hychat("gguf", "inspect", "starter")
    assert ended.code == 0
    assert "134.5 M" in ended.out
    bar = next(line for line in ended.out.splitlines() if set(line) <= set("█▓▒░▚▞▖·") and line)
    assert len(bar) == 72
    assert "\x1b" not in ended.out


def test_chinese_labels_stand_in_their_column() -> None:
    ended = run_hychat("gguf", "inspect", "starter", "--lang", "zh")
    assert "参数" in ended.out


def test_json_has_the_figures(a13b: Path) -> None:
    told = run_hychat("gguf", "inspect", str(a13b), "--json").json
    assert told["architecture"] == "hunyuan-moe"
    assert told["experts"] == {"count": 64, "used": 8, "shared": 1}
    assert told["loads"] is True
    assert sum(group["bytes"] for group in told["groups"]) == told["bytes"]
    assert told["tokenizer"]["eos"] == "<|eos|>"


def test_a_licence_of_its_own_is_told_by_its_name_and_place(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    convert(DENSE.write(tmp_path / "dense"), path, "f16", CancelToken())
    told = run_hychat("gguf", "inspect", str(path), "--json").json
    assert (told["licence"], told["licence_name"]) == ("other", "tencent-hunyuan-community")
    assert told["licence_link"] == "https://example.org/LICENSE"
    assert "tencent-hunyuan-community, https://example.org/LICENSE" in run_hychat("gguf", "inspect", str(path)).out


def test_the_template_is_printed_alone(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "dense.gguf")
    ended = run_hychat("gguf", "inspect", str(path), "--template")
    assert ended.out.strip() == read_header(str(path)).chat_template


def test_a_file_on_the_hub_is_looked_at_without_fetching_it(hub: Hub, tmp_path: Path) -> None:
    shape = SHAPES["hunyuan-0.5b"]
    content = write_whole(tmp_path / NAME, shape).read_bytes()
    hub.add(REPO, {NAME: content})
    ended = run_hychat("gguf", "inspect", f"hf:{REPO}", "--json", env={"HF_ENDPOINT": hub.endpoint})
    assert ended.json["parameters"] == inspect([read_header(str(tmp_path / NAME))]).parameters
    assert ended.json["tokenizer"]["bos"] == shape.family.bos
    ranges = [record.range.removeprefix("bytes=").split("-") for record in hub.requests if record.range]
    assert 0 < sum(int(end) + 1 - int(start) for start, end in ranges) < len(content) / 40


def test_a_model_on_the_hub_is_planned_without_fetching_it(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {NAME: write_whole(tmp_path / NAME, SHAPES["hunyuan-0.5b"]).read_bytes()})
    env = {"HF_ENDPOINT": hub.endpoint}
    ended = run_hychat("gguf", "plan", f"hf:{REPO}", "--device-memory", "4", "--memory", "8", "--json", env=env)
    assert ended.json["gpu_layers"] == 25


def test_what_is_no_gguf_on_the_hub_is_told(hub: Hub) -> None:
    hub.add(REPO, {NAME: b"no model at all" * 100})
    ended = run_hychat("gguf", "inspect", f"hf:{REPO}", env={"HF_ENDPOINT": hub.endpoint})
    assert ended.code == 4
    assert "Traceback" not in ended.error


def test_a_repository_that_is_not_there_is_told(hub: Hub) -> None:
    ended = run_hychat("gguf", "inspect", "hf:nobody/nothing", env={"HF_ENDPOINT": hub.endpoint})
    assert ended.code == 3


def test_a_missing_file_is_told() -> None:
    assert run_hychat("gguf", "inspect", "nowhere.gguf").code == 3


@pytest.mark.parametrize("write", [write_hunyuan_dense, write_hunyuan_moe])
def test_a_damaged_file_is_one_clear_error_or_a_model(
    tmp_path: Path, write: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """500 of each: bytes changed, the file cut, and numbers of its keys changed to what no model has."""
    file = write(tmp_path / "whole.gguf")
    whole, chance, path = file.read_bytes(), random.Random(7), tmp_path / "damaged.gguf"  # noqa: S311 - always the same
    header, places = read_header(str(file)), places_of_numbers(file)
    told: list[str] = []
    for number in range(500):
        data = bytearray(whole)
        for _change in range(chance.randrange(1, 6)):
            data[chance.randrange(4, header.data_offset)] = chance.randrange(256)
        if number % 2:
            data = bytearray(whole)
            for start, size in chance.sample(places, 2):
                data[start : start + size] = odd_number(chance, size)
        path.write_bytes(data[: chance.randrange(len(data))] if number % 8 == 0 else data)
        said = {trouble_with(inspect_command, str(path), "--json"), *map(partial(plan_trouble, path), DEVICES)}
        told += said
        capsys.readouterr()
    assert sum(map(bool, told)) > 100
    assert all("\n" not in line for line in told)


DEVICES = ("0", "4", "0.2,2")


def plan_trouble(path: Path, devices: str) -> str:
    return trouble_with(plan_command, str(path), "--device-memory", devices, "--memory", "8")


def trouble_with(command: ModuleType, *arguments: str) -> str:
    """What a user reads of it, run as the command line does; empty where it was told what was asked."""
    try:
        typer.main.get_command(command.app)(arguments, standalone_mode=False)
    except HychatError as error:
        return error.message
    return ""


def places_of_numbers(path: Path) -> list[tuple[int, int]]:
    """Where the numbers of the keys stand in the file, and the bytes of each: behind a key's name and the four of its type."""
    data, sizes = path.read_bytes(), {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    keys = [key for key, value in read_header(str(path)).metadata.items() if isinstance(value, int | float)]
    types = [data.index(key.encode()) + len(key) for key in keys]
    return [(start + 4, sizes[int.from_bytes(data[start : start + 4], "little")]) for start in types]


def odd_number(chance: random.Random, size: int) -> bytes:
    """Nothing, one, the largest and the smallest, not a number, infinity, and any."""
    largest = b"\xff" * (size - 1) + b"\x7f"
    infinite, no_number = (bytes(size)[: max(0, size - 2)] + end for end in (b"\x80\x7f", b"\xc0\x7f"))
    choices = (bytes(size), b"\1" + bytes(size), b"\xff" * size, largest, infinite, no_number, chance.randbytes(size))
    return chance.choice(choices)[:size]


def test_a_plan_of_a_file_that_claims_billions_of_layers_is_refused_at_once(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "dense.gguf")
    data, key = bytearray(path.read_bytes()), b"hunyuan-dense.block_count"
    start = data.index(key) + len(key) + 4
    data[start : start + 4] = (0x7F000000).to_bytes(4, "little")
    path.write_bytes(data)
    ended = run_hychat("gguf", "plan", str(path))
    assert ended.code == 4
    assert "block_count" in ended.error


def test_what_cannot_be_loaded_is_not_planned(tmp_path: Path) -> None:
    model = write_hunyuan_dense(tmp_path / "dense.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-1_000])
    told = [run_hychat("gguf", "plan", str(path)) for path in (cut, write_adapter(tmp_path / "lora.gguf", model))]
    assert [ended.code for ended in told] == [4, 4]
    assert "is not whole" in told[0].error
    assert "is not a model" in told[1].error


def test_a_plan_counts_what_lets_a_model_see(tmp_path: Path) -> None:
    path = write_hunyuan_dense(tmp_path / "seer.gguf")
    alone = run_hychat("gguf", "plan", str(path), "--memory", "8", "--json").json
    projector = tmp_path / "mmproj-seer.gguf"
    projector.touch()
    os.truncate(projector, 40 * GIB)
    beside = run_hychat("gguf", "plan", str(path), "--memory", "64", "--json").json
    assert beside["places"][0]["weights_bytes"] - alone["places"][0]["weights_bytes"] == 40 * GIB
    assert run_hychat("gguf", "plan", str(path), "--memory", "8").code == 4


def test_a_plan_counts_what_lets_a_model_on_the_hub_see(hub: Hub, tmp_path: Path) -> None:
    spec, path = find("smolvlm-500m"), tmp_path / NAME
    file, projector = spec.files[0], spec.projector
    assert projector is not None
    content = {file.file: write_whole(path, SHAPES["hunyuan-0.5b"]).read_bytes()}
    hub.add(str(file.repository), content)._commits.add(str(file.revision))
    asked = ("gguf", "plan", "--memory", "8", "--json")
    beside = run_hychat(*asked, spec.name, "--mirror", hub.endpoint).json["places"][0]
    alone = run_hychat(*asked, str(path)).json["places"][0]
    assert beside["weights_bytes"] - alone["weights_bytes"] == projector.bytes


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--memory", "nan"), "--memory: nan"),
        (("--memory", "inf"), "--memory: inf"),
        (("--memory", "1e300"), "--memory: 1e300"),
        (("--memory", "-1"), "--memory: -1"),
        (("--memory", "much"), "--memory: much"),
        (("--device-memory", "8,nan"), "--device-memory: 8,nan"),
        (("--device-memory", "8", "--rpc", "127.0.0.1:50052"), "choose one of them"),
        (("--device-memory", "0", "--gpu-layers", "99"), "there is no GPU"),
        (("--device-memory", "0", "--gpu-layers", "-1"), "there is no GPU"),
        (("--device-memory", "8", "--tensor-split", "1,2"), "there is 1 device"),
        (("--device-memory", "8", "--main-gpu", "1"), "there is 1 device"),
    ],
)
def test_a_plan_for_an_odd_machine_is_refused(flags: tuple[str, ...], problem: str) -> None:
    ended = run_hychat("gguf", "plan", "starter", *flags)
    assert ended.code == 2
    assert problem in ended.error


def test_half_a_gibibyte_is_a_memory() -> None:
    assert run_hychat("gguf", "plan", "starter", "--memory", "0.5").code == 0
