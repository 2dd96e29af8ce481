import os
from dataclasses import replace
from pathlib import Path

import pytest

from hychat.catalogue.fits import fit, fit_of_size
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


def test_memory_of_gpus_is_asked_for_where_the_build_can_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '8192\\n16384\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setattr(gpus, "_build_has_cuda", lambda: True)
    assert gpus.gpu_memory_bytes() == (8192 + 16384) << 20
    monkeypatch.setattr(gpus, "_build_has_cuda", lambda: False)
    assert gpus.gpu_memory_bytes() == 0


@pytest.mark.parametrize("answer", ["echo no devices found; exit 6", "echo nonsense", "exit 0"])
def test_a_driver_that_does_not_work_has_no_memory(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n{answer}\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setattr(gpus, "_build_has_cuda", lambda: True)
    assert gpus.gpu_memory_bytes() == 0
