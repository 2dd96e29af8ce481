"""Every file of a model is looked over before it has a name: all parts of a split one, and the projector."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from hychat.catalogue.cache import cached_files, cached_path, leftovers
from hychat.catalogue.download import pull
from hychat.catalogue.pulling import Wanted, pull_model
from hychat.domain.errors import ModelDamaged, ModelUnusable
from hychat.domain.model import ModelFile, ModelSpec
from tests.hub import Hub
from tests.test_cli_models import split
from tests.tiny_models import write_hunyuan_dense

REPOSITORY = "owner/tiny-GGUF"
PROJECTOR = "mmproj-tiny.gguf"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    """A model in several files."""
    whole = write_hunyuan_dense(tmp_path / "whole.gguf", "A")
    return {path.name: path.read_bytes() for path in split(whole, tmp_path / "tiny-Q4_0.gguf")}


@pytest.fixture
def projector(tmp_path: Path) -> bytes:
    """What llama.cpp takes images with, but for its size."""
    writer = gguf.GGUFWriter(tmp_path / PROJECTOR, "clip")
    writer.add_type("mmproj")
    writer.add_tensor("v.patch_embd.weight", np.zeros((64, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return (tmp_path / PROJECTOR).read_bytes()


def of_the_hub(name: str) -> ModelFile:
    return ModelFile(file=name, repository=REPOSITORY)


def fetch(hub: Hub, cache: Path, files: dict[str, bytes]) -> None:
    hub.add(REPOSITORY, files)
    list(pull_model(Wanted("tiny", tuple(map(of_the_hub, sorted(files)))), cache, hub.endpoint))


def fetch_with_projector(hub: Hub, cache: Path, model: bytes, projector: bytes) -> None:
    hub.add(REPOSITORY, {"tiny.gguf": model, PROJECTOR: projector})
    spec = ModelSpec("tiny", "Tiny", family="", architecture="", projector=of_the_hub(PROJECTOR))
    wanted = Wanted("tiny", (of_the_hub("tiny.gguf"), of_the_hub(PROJECTOR)), spec)
    list(pull_model(wanted, cache, hub.endpoint))


def names(cache: Path) -> list[str]:
    return sorted(file.file for file in cached_files(cache))


def test_a_split_model_that_is_sound_is_there_in_all_parts(hub: Hub, cache: Path, parts: dict[str, bytes]) -> None:
    assert len(parts) >= 3
    fetch(hub, cache, parts)
    assert names(cache) == sorted(parts)


def cut_off(_first: bytes, part: bytes) -> bytes:
    return part[:-1]


def no_gguf(_first: bytes, part: bytes) -> bytes:
    return b"HTML" + part[4:]


def the_first_again(first: bytes, _part: bytes) -> bytes:
    return first


@pytest.mark.parametrize("spoil", [cut_off, no_gguf, the_first_again])
@pytest.mark.parametrize("number", [1, -1])
def test_a_further_part_that_is_not_sound_takes_the_model_with_it(
    hub: Hub, cache: Path, parts: dict[str, bytes], number: int, spoil: Callable[[bytes, bytes], bytes]
) -> None:
    ordered = sorted(parts)
    wrong = ordered[number]
    parts[wrong] = spoil(parts[ordered[0]], parts[wrong])
    with pytest.raises(ModelDamaged, match=f"^{wrong} .* deleted again") as refused:
        fetch(hub, cache, parts)
    assert "Take another" in refused.value.hint
    assert not names(cache)
    assert not [*leftovers(cache)]


def test_a_newer_file_that_is_refused_leaves_the_older_one(hub: Hub, cache: Path, tmp_path: Path) -> None:
    older = write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()
    fetch(hub, cache, {"tiny.gguf": older})
    with pytest.raises(ModelDamaged):
        fetch(hub, cache, {"tiny.gguf": older[:-100]})
    path = cached_path(cache, of_the_hub("tiny.gguf"))
    assert path
    assert path.read_bytes() == older


def test_a_part_of_another_split_is_found_out(hub: Hub, cache: Path, parts: dict[str, bytes]) -> None:
    first, *others = sorted(parts)
    with pytest.raises(ModelDamaged, match="part 1 of 1"):
        fetch(hub, cache, {"tiny.gguf": parts[first]})
    count = len(others) + 2
    renamed = {name.replace(f"-of-{count - 1:05}", f"-of-{count:05}"): data for name, data in parts.items()}
    with pytest.raises(ModelDamaged, match=f"part 1 of {count}"):
        fetch(hub, cache, renamed)


def test_a_model_that_sees_comes_with_its_projector(hub: Hub, cache: Path, projector: bytes, tmp_path: Path) -> None:
    model = write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()
    fetch_with_projector(hub, cache, model, projector)
    assert names(cache) == [PROJECTOR, "tiny.gguf"]


@pytest.mark.parametrize("missing", [1, 10_000])
def test_a_projector_that_is_not_whole_is_deleted_and_the_model_stays(
    hub: Hub, cache: Path, projector: bytes, missing: int, tmp_path: Path
) -> None:
    model = write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()
    with pytest.raises(ModelDamaged, match=f"^{PROJECTOR} is not whole"):
        fetch_with_projector(hub, cache, model, projector[:-missing])
    assert names(cache) == ["tiny.gguf"]


def test_a_file_is_looked_at_before_it_has_a_name(hub: Hub, cache: Path) -> None:
    hub.add(REPOSITORY, {"tiny.gguf": b"no model"})
    seen: list[tuple[bytes, list[str]]] = []

    def look(path: Path) -> None:
        seen.append((path.read_bytes(), names(cache)))

    list(pull(of_the_hub("tiny.gguf"), cache, endpoint=hub.endpoint, check=look))
    assert seen == [(b"no model", [])]
    assert names(cache) == ["tiny.gguf"]


def test_what_another_tool_has_put_here_stays_when_it_cannot_be_used(hub: Hub, cache: Path) -> None:
    hub.add(REPOSITORY, {"tiny.gguf": b"no model"})
    list(pull(of_the_hub("tiny.gguf"), cache, endpoint=hub.endpoint))
    with pytest.raises(ModelUnusable) as refused:
        list(pull_model(Wanted("tiny", (of_the_hub("tiny.gguf"),)), cache, hub.endpoint))
    assert "deleted" not in refused.value.message
    assert cached_path(cache, of_the_hub("tiny.gguf"))
