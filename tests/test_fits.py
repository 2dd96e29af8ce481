import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hychat.catalogue.cache import hub_cache_folder
from hychat.catalogue.fits import Fit, files_bytes, fit, fit_of_size
from hychat.catalogue.listing import ListedModel, list_models
from hychat.domain.model import ModelFile, ModelSpec
from hychat.engine import gpus
from hychat.engine.memory import Memory

_GB = 10**9
_SPEC = ModelSpec("m", "M", "f", "a", files=(ModelFile("m.gguf", bytes=10 * _GB),))


def _memory(total: int) -> Memory:
    return Memory(total=total, available=total)


def test_a_model_that_memory_cannot_hold_does_not_fit() -> None:
    found = fit(_SPEC, _memory(8 * _GB))
    assert found is not None
    assert not found.is_fitting


def test_memory_of_gpus_counts() -> None:
    found = fit(_SPEC, _memory(8 * _GB), gpu_bytes=8 * _GB)
    assert found is not None
    assert found.is_fitting
    assert found.memory_bytes == 16 * _GB


def test_what_sees_counts_too() -> None:
    plain, seeing = (
        fit(spec, _memory(64 * _GB))
        for spec in (_SPEC, replace(_SPEC, projector=ModelFile("mmproj.gguf", bytes=2 * _GB)))
    )
    assert plain is not None
    assert seeing is not None
    assert seeing.needed_bytes - plain.needed_bytes == 2 * _GB


def test_a_model_of_which_only_the_size_is_known_can_be_judged() -> None:
    assert fit_of_size(_GB, _memory(8 * _GB)).is_fitting


def test_what_is_fetched_is_the_model_and_what_sees() -> None:
    assert files_bytes(replace(_SPEC, projector=ModelFile("mmproj.gguf", bytes=_GB))) == 11 * _GB
    assert files_bytes(replace(_SPEC, projector=ModelFile("mmproj.gguf"))) is None


def test_a_split_model_is_not_judged_by_its_first_part() -> None:
    parted = replace(_SPEC, files=(ModelFile("m-00001-of-00002.gguf", repository="o/m", bytes=_GB),))
    assert fit(parted, _memory(8 * _GB)) is None
    judged = fit(replace(parted, parameters_total=20 * _GB), _memory(8 * _GB))
    assert judged is not None
    assert not judged.is_fitting


def test_files_that_are_here_are_surer_than_the_catalogue() -> None:
    judged = fit(_SPEC, _memory(8 * _GB), installed_bytes=_GB)
    assert judged is not None
    assert judged.is_fitting


def test_why_tells_what_is_needed_and_what_there_is() -> None:
    assert Fit(22 * _GB, 16 * _GB).in_words() == "needs 22.0 GB, this machine has 16.0 GB"


def test_why_tells_what_gpus_have() -> None:
    assert Fit(32 * _GB, 24 * _GB, 8 * _GB).in_words().endswith("this machine has 16.0 GB and 8.0 GB on GPUs")


def test_why_a_model_that_would_leave_nothing_does_not_fit_is_told() -> None:
    judged = Fit(15 * _GB, 16 * _GB)
    assert not judged.is_fitting
    assert "other programs" in judged.in_words()


# What the list says


def _put(repository: str, **sizes: int) -> None:
    snapshot = hub_cache_folder() / f"models--{repository.replace('/', '--')}" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for name, size in sizes.items():
        with (snapshot / f"{name}.gguf").open("wb") as file:
            file.truncate(size)


def _catalogue(files: str) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "catalogue"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        f"family: mine\nmodels:\n  - {{name: mine, title: Mine, architecture: llama, {files}}}\n", encoding="utf-8"
    )


def _listed(name: str) -> ListedModel:
    return next(model for model in list_models() if model.name == name)


def test_a_file_that_another_tool_fetched_is_judged_by_its_size() -> None:
    _put("owner/other", small=1 << 20, large=1 << 42)
    small, large = (_listed(f"hf:owner/other:{name}.gguf").fit for name in ("small", "large"))
    assert small is not None
    assert small.is_fitting
    assert large is not None
    assert not large.is_fitting


def test_the_size_of_a_split_model_is_that_of_all_its_parts() -> None:
    _put("owner/parts", **{"m-00001-of-00002": 3 << 20, "m-00002-of-00002": 5 << 20})
    assert _listed("hf:owner/parts:m-00001-of-00002.gguf").bytes == 8 << 20


def test_a_model_of_the_catalogue_that_is_here_has_the_size_of_all_its_files() -> None:
    _catalogue(
        "files: [{repository: owner/m, file: m-00001-of-00002.gguf}], projector: {repository: owner/m, file: see.gguf}"
    )
    _put("owner/m", **{"m-00001-of-00002": 3 << 20, "m-00002-of-00002": 5 << 20, "see": 1 << 20})
    listed = _listed("mine")
    assert listed.bytes == 9 << 20
    assert listed.fit is not None


def test_a_model_that_is_not_here_is_listed_with_all_that_is_to_be_fetched() -> None:
    _catalogue(
        "files: [{repository: owner/m, file: m.gguf, bytes: 70}],"
        " projector: {repository: owner/m, file: see.gguf, bytes: 7}"
    )
    assert _listed("mine").bytes == 77


# GPUs


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a build of llama.cpp for CUDA, on a machine with nothing else."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for name in ("base", "cpu-haswell", "cuda"):
        (folder / f"libggml-{name}.so").touch()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(folder))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


def _smi(folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("build")
def test_the_memory_of_all_gpus_is_counted(tmp_path: Path) -> None:
    _smi(tmp_path, "echo 8192; echo 16384")
    assert gpus.gpu_memory_bytes() == (8192 + 16384) << 20


def test_where_the_build_has_no_cuda_nobody_is_asked(build: Path, tmp_path: Path) -> None:
    _smi(tmp_path, f"touch {tmp_path}/asked; echo 8192")
    (build / "libggml-cuda.so").unlink()
    assert gpus.gpu_memory_bytes() == 0
    assert not (tmp_path / "asked").exists()


@pytest.mark.usefixtures("build")
def test_gpus_that_are_hidden_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _smi(tmp_path, "echo 8192")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.gpu_memory_bytes() == 0


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("answer", ["echo 8192; exit 6", "echo no devices found", "echo '[N/A]'", "exit 0"])
def test_a_driver_that_does_not_work_has_no_memory(answer: str, tmp_path: Path) -> None:
    _smi(tmp_path, answer)
    assert gpus.gpu_memory_bytes() == 0


@pytest.mark.usefixtures("build")
def test_a_driver_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _smi(tmp_path, "exec sleep 60")
    monkeypatch.setattr(gpus, "_PATIENCE_SECONDS", 0.1)
    began = time.monotonic()
    assert gpus.gpu_memory_bytes() == 0
    assert time.monotonic() - began < 30


def test_the_backends_of_a_build_are_told_by_its_files(build: Path) -> None:
    assert build.is_dir()
    assert gpus.backend_libraries() == ["cpu-haswell", "cuda"]
