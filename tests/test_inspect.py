"""What a GGUF is made of: on this machine, on the hub, and damaged."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hychat.conversion.convert import convert
from hychat.conversion.inspect import inspect
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.engine.gguf import all_parts, read_header
from hychat.engine.plan import plan
from tests.hub import Hub
from tests.programs import run_hychat
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
def test_a_damaged_file_is_one_clear_error_or_a_model(tmp_path: Path, write: object) -> None:
    """500 of each: bytes changed, and the file cut."""
    assert callable(write)
    whole = write(tmp_path / "whole.gguf").read_bytes()
    header_bytes = read_header(str(tmp_path / "whole.gguf")).data_offset
    chance, path = random.Random(7), tmp_path / "damaged.gguf"  # noqa: S311 - the same damage each time
    told = []
    for _round in range(500):
        data = bytearray(whole)
        for _change in range(chance.randrange(1, 6)):
            data[chance.randrange(header_bytes)] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)
        with suppress(HychatError):
            told.append("")
            found = inspect(all_parts(read_header(str(path))))
            plan(found.header, available_memory_bytes=8 * GIB)
            continue
        told[-1] = trouble_with(path)
    assert sum(map(bool, told)) > 50
    assert all("\n" not in line for line in told)


def trouble_with(path: Path) -> str:
    """What a user reads."""
    with pytest.raises(HychatError) as caught:
        plan(inspect(all_parts(read_header(str(path)))).header, available_memory_bytes=8 * GIB)
    return caught.value.message
