"""`hychat models`: the real program, the real client, a hub of the tests' own."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from hychat.catalogue.cache import OURS, cached_files, hub_cache_folder, remove
from hychat.catalogue.reference import all_parts, choose, fitting_projector, leaves_its_folder, read_reference
from hychat.domain.errors import UsageError
from tests.hub import Hub, nobody_listens
from tests.hub_trouble import cut, stall
from tests.programs import Ended, Terminal, run_hychat, started
from tests.tiny_models import write_hunyuan_dense
from tests.tiny_vision import write_hunyuan_vl

REPOSITORY = "owner/tiny-GGUF"
FILES = ("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf", "tiny-IQ4_XS.gguf", "mmproj-tiny.gguf")


@pytest.fixture
def tiny(tmp_path: Path) -> bytes:
    return write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()


@pytest.fixture
def hub(tiny: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPOSITORY, {name: tiny + bytes(index) for index, name in enumerate(FILES)})
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        yield made


def models(*arguments: str, **changes: str) -> Ended:
    return run_hychat("models", *arguments, env=changes)


def names(ended: Ended) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in ended.json}


def catalogue(text: str) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "catalogue"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")


LICENSED = f"""
family: mine
licences:
  - id: strict-2026-01-01
    title: Strict Licence
    url: https://example.com/licence
    excluded_regions: [EU]
    terms:
      en: Do no harm.
      zh: 不可为恶。
models:
  - name: mine
    title: Mine
    architecture: hunyuan-dense
    licence: strict-2026-01-01
    files:
      - repository: {REPOSITORY}
        file: tiny-Q8_0.gguf
"""


def with_a_terabyte(folder: Path) -> bytes:
    """A GGUF whose one tensor is said to have 2^38 floats."""
    writer = gguf.GGUFWriter(folder / "huge.gguf", "hunyuan-dense")
    writer.add_tensor_info("token_embd.weight", [1 << 19, 1 << 19], np.dtype(np.float32), 1 << 40)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return (folder / "huge.gguf").read_bytes()


def split(whole: Path, target: Path) -> list[Path]:
    """The same model in several files, by llama.cpp's naming."""
    reader = gguf.GGUFReader(whole)
    writer = gguf.GGUFWriter(target, "hunyuan-dense", split_max_tensors=8)
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], element)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(target.parent.glob(f"{target.stem}-*-of-*.gguf"))


# What there is


def test_the_list_has_every_model_of_the_catalogue_and_says_what_is_here() -> None:
    rows = names(models("list", "--json"))
    assert rows["starter"]["installed"] is True
    assert rows["hunyuan-0.5b"]["installed"] is False
    assert rows["hunyuan-0.5b"]["fits"] in {True, False}


def test_the_table_says_why_a_model_does_not_fit() -> None:
    catalogue(LICENSED.replace("tiny-Q8_0.gguf", "tiny-Q8_0.gguf\n        bytes: 900_000_000_000_000"))
    listed = models("list")
    assert listed.code == 0
    assert "no: needs 900000.3 GB, this machine has" in listed.out


@pytest.mark.parametrize(("columns", "tells_licences"), [(80, False), (140, True)])
def test_the_table_leaves_the_licences_out_where_they_do_not_fit(columns: int, tells_licences: bool) -> None:
    with Terminal.running("models", "list", columns=columns) as terminal:
        assert terminal.end() == 0
        assert ("LICENCE" in terminal.written) is tells_licences
        assert all(len(row) <= columns for row in terminal.written.splitlines())


def test_info_tells_the_terms_of_a_licence() -> None:
    catalogue(LICENSED)
    told = models("info", "mine")
    assert told.code == 0
    assert "Do no harm." in told.out
    assert "EU" in told.out


def test_info_in_json_has_the_same_keys_in_every_language() -> None:
    english, chinese = (
        models("info", "starter", "--json").json,
        models("--lang", "zh", "info", "starter", "--json").json,
    )
    assert english.keys() == chinese.keys()
    assert english["sha256"]


def test_the_list_marks_the_models_that_see_pictures() -> None:
    rows = names(models("list", "--json"))
    assert {name for name, row in rows.items() if row["sees"]} == {"hunyuan-ocr", "qwen3-vl-2b", "smolvlm-500m"}
    marked = [line.split()[0] for line in models("list").out.splitlines() if "sees pictures" in line]
    assert sorted(marked) == ["hunyuan-ocr", "qwen3-vl-2b", "smolvlm-500m"]


def test_info_tells_the_projector_of_a_model_that_sees() -> None:
    told = models("info", "qwen3-vl-2b", "--json").json
    assert (told["sees"], told["projector_installed"]) == (True, False)
    assert told["projector"].startswith("mmproj")
    assert told["projector_bytes"] > 100_000_000
    assert f"{told['projector']} (445 MB, not here)" in models("info", "qwen3-vl-2b").out


def test_info_tells_of_a_file_whether_a_projector_lies_beside_it(tmp_path: Path) -> None:
    model, projector = write_hunyuan_vl(tmp_path)
    told = models("info", str(model), "--json").json
    assert (told["sees"], told["projector"], told["projector_installed"]) == (True, projector.name, True)
    assert told["projector_bytes"] == projector.stat().st_size
    projector.unlink()
    assert models("info", str(model), "--json").json["sees"] is False


def test_a_large_model_of_unknown_size_is_judged_by_its_parameters() -> None:
    from hychat.catalogue.find import find
    from hychat.catalogue.fits import fit
    from hychat.engine.memory import Memory

    judged = fit(find("hunyuan-a13b"), Memory(16 << 30, 16 << 30))
    assert judged is not None
    assert not judged.is_fitting


def test_a_broken_catalogue_of_the_user_is_named_with_its_place_and_found_by_the_doctor() -> None:
    catalogue("[[")
    listed = models("list")
    assert listed.code == 1
    assert "mine.yaml" in listed.error
    assert "unicode string" not in listed.error
    assert "mine.yaml" in run_hychat("doctor").out


def test_a_misspelt_name_is_told_the_nearest() -> None:
    ended = models("info", "hunyuan-05b")
    assert ended.code == 3
    assert "hunyuan-0.5b" in ended.error


# Fetching


def test_a_repository_is_pulled_in_its_int4_and_the_choice_is_said(hub: Hub) -> None:
    pulled = models("pull", f"hf:{REPOSITORY}")
    assert pulled.code == 0, pulled.error
    assert "tiny-Q4_K_M.gguf" in pulled.error
    assert Path(pulled.out.strip()).is_file()
    assert hub.requests


def test_a_quantization_can_be_named(hub: Hub) -> None:
    assert models("pull", f"hf:{REPOSITORY}:q8_0").out.strip().endswith("tiny-Q8_0.gguf")
    assert hub.requests


def test_what_was_pulled_is_listed_found_and_removed(hub: Hub) -> None:
    name = f"hf:{REPOSITORY}:tiny-Q8_0.gguf"
    models("pull", name)
    assert names(models("list", "--json"))[name]["installed"] is True
    path = models("path", name).out.strip()
    assert path.startswith(str(hub_cache_folder()))
    assert models("rm", "--yes", name).code == 0
    assert not Path(path).exists()
    assert models("path", name).code == 3
    assert hub.requests


def test_a_licence_must_be_agreed_to_before_anything_is_fetched(hub: Hub) -> None:
    catalogue(LICENSED)
    refused = models("pull", "mine")
    assert refused.code == 3
    assert "--accept-licence" in refused.error
    assert not hub.requests


def test_a_yes_is_remembered(hub: Hub) -> None:
    catalogue(LICENSED)
    assert models("pull", "mine", "--accept-licence").code == 0
    models("rm", "--yes", "mine")
    assert models("pull", "mine").code == 0
    assert hub.requests


def test_a_pulled_model_answers_by_its_name(hub: Hub) -> None:
    catalogue(LICENSED)
    models("pull", "mine", "--accept-licence")
    answered = run_hychat("-m", "mine", "--max-tokens", "4", "-n", "hello")
    assert answered.code == 0, answered.error
    assert hub.requests


def test_a_file_that_llama_cpp_would_not_load_is_not_kept(hub: Hub) -> None:
    hub.add(REPOSITORY, {"tiny-Q4_0.gguf": b"GGUF" + bytes(100)})
    refused = models("pull", f"hf:{REPOSITORY}")
    assert refused.code == 4
    assert models("path", f"hf:{REPOSITORY}:tiny-Q4_0.gguf").code == 3


def test_a_cut_connection_is_outlived(hub: Hub, tiny: bytes) -> None:
    hub.on("tiny-Q8_0.gguf", cut(len(tiny) // 2))
    assert models("pull", f"hf:{REPOSITORY}:Q8_0").code == 0


def test_a_repository_without_a_gguf_says_so(hub: Hub) -> None:
    hub.add(REPOSITORY, {"model.safetensors": b"x"})
    refused = models("pull", f"hf:{REPOSITORY}")
    assert refused.code == 3
    assert "GGUF" in refused.error


def test_a_repository_with_only_a_projector_says_so(hub: Hub, tiny: bytes) -> None:
    hub.add("owner/sees", {"mmproj-tiny.gguf": tiny})
    ended = models("pull", "hf:owner/sees")
    assert ended.code == 3
    assert "only a projector" in ended.error


SEEING = "owner/tiny-hunyuan-vl-GGUF"


@pytest.fixture
def seeing(hub: Hub, tmp_path: Path) -> dict[str, bytes]:
    """A repository with a model that sees."""
    model, projector = write_hunyuan_vl(tmp_path)
    files = {
        "tiny-hunyuan-vl-Q4_0.gguf": model.read_bytes(),
        "mmproj-tiny-hunyuan-vl-Q8_0.gguf": projector.read_bytes(),
        "mmproj-tiny-hunyuan-vl-F16.gguf": projector.read_bytes() + b"\0",
    }
    hub.add(SEEING, files)
    return files


def in_the_cache(repository: str) -> set[str]:
    return {file.file for file in cached_files(hub_cache_folder()) if file.repository == repository}


def test_a_model_of_the_hub_that_sees_comes_with_its_smaller_projector(seeing: dict[str, bytes]) -> None:
    pulled = models("pull", f"hf:{SEEING}", "--json")
    assert pulled.code == 0, pulled.error
    assert [file["file"] for file in pulled.json["files"]] == [*seeing][:2]
    assert in_the_cache(SEEING) == {*[*seeing][:2]}
    chinese = str(Path(__file__).parent / "data" / "chinese.png")
    answered = run_hychat("-m", f"hf:{SEEING}", "-n", "--max-tokens", "3", "-a", chinese, "What is this?")
    assert answered.code == 0, answered.error
    assert "cannot see" not in answered.error
    assert names(models("list", "--json"))[f"hf:{SEEING}:tiny-hunyuan-vl-Q4_0.gguf"]["sees"] is True


def test_a_model_that_came_without_its_projector_gets_it_when_it_is_fetched_again(
    hub: Hub, seeing: dict[str, bytes]
) -> None:
    model, projector, _other = seeing
    hub.add(SEEING, {model: seeing[model]})
    assert models("pull", f"hf:{SEEING}:Q4_0").code == 0
    hub.add(SEEING, seeing)
    assert models("pull", f"hf:{SEEING}:Q4_0").code == 0
    assert projector in in_the_cache(SEEING)


def test_a_projector_without_the_models_name_is_told_of_and_left(hub: Hub, seeing: dict[str, bytes]) -> None:
    model, projector, _other = seeing
    hub.add(SEEING, {model: seeing[model], "mmproj-another-7b-F16.gguf": seeing[projector]})
    pulled = models("pull", f"hf:{SEEING}")
    assert pulled.code == 0
    assert "cannot see" in pulled.error
    assert "mmproj-another-7b-F16.gguf" in pulled.error
    assert in_the_cache(SEEING) == {model}


def test_a_projector_goes_with_the_last_model_that_has_it(hub: Hub, seeing: dict[str, bytes]) -> None:
    model, projector, _other = seeing
    larger = "tiny-hunyuan-vl-Q8_0.gguf"
    hub.add(SEEING, {**seeing, larger: seeing[model] + b"\0"})
    for quantization in ("Q4_0", "Q8_0"):
        assert models("pull", f"hf:{SEEING}:{quantization}").code == 0
    assert models("rm", "--yes", f"hf:{SEEING}:Q8_0").code == 0
    assert in_the_cache(SEEING) == {model, projector}
    assert models("rm", "--yes", f"hf:{SEEING}:Q4_0").code == 0
    assert in_the_cache(SEEING) == set()


def test_a_model_that_sees_and_lacks_its_projector_is_listed_so_and_names_the_command(seeing: dict[str, bytes]) -> None:
    model, projector, _other = seeing
    catalogue(
        "family: mine\nmodels:\n  - name: seer\n    title: Seer\n    architecture: hunyuan_vl\n"
        f"    capabilities: [text, image]\n    files: [{{repository: {SEEING}, file: {model}}}]\n"
        f"    projector: {{repository: {SEEING}, file: {projector}}}\n"
    )
    models("pull", "seer")
    assert names(models("list", "--json"))["seer"]["projector_installed"] is True
    remove(hub_cache_folder(), SEEING, projector)
    row = names(models("list", "--json"))["seer"]
    assert (row["installed"], row["sees"], row["projector_installed"]) == (True, True, False)
    [line] = [line for line in models("list").out.splitlines() if line.startswith("seer")]
    assert "in part" in line
    assert "its projector is missing" in line
    chinese = str(Path(__file__).parent / "data" / "chinese.png")
    asked = run_hychat("-m", "seer", "-n", "--max-tokens", "3", "-a", chinese, "What is this?")
    assert "its projector is not on this machine" in asked.error
    assert "hychat models pull seer" in asked.error


@pytest.mark.parametrize(
    ("model", "others", "projector"),
    [
        ("Seer-2B-Q4_K_M.gguf", ["mmproj-Seer-2B-Q8_0.gguf", "mmproj-Seer-2B-f16.gguf"], "mmproj-Seer-2B-Q8_0.gguf"),
        ("Seer-2B-Q4_K_M.gguf", ["mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf"),
        ("Seer-2B-Q4_K_M.gguf", ["Seer-2B-UD-Q2_K_XL.gguf", "mmproj-model-f16.gguf"], "mmproj-model-f16.gguf"),
        ("Q4/Seer-2B-Q4_0-00001-of-00002.gguf", ["Q4/Seer-2B-Q4_0-00002-of-00002.gguf", "mmproj.gguf"], "mmproj.gguf"),
        ("Seer-2B-Q4_K_M.gguf", ["Other-7B-Q4_0.gguf", "mmproj-F16.gguf"], None),
        ("Seer-2B-Q4_K_M.gguf", ["mmproj-Seer-7B-F16.gguf"], None),
        ("Seer-2B-Q4_K_M.gguf", ["mmproj-Seer-2B-F16.txt"], None),
    ],
)
def test_a_projector_is_found_by_the_names_beside_it(model: str, others: list[str], projector: str | None) -> None:
    assert fitting_projector(model, [model, *others]) == projector


def test_a_file_that_would_leave_its_folder_is_not_seen(hub: Hub, tiny: bytes) -> None:
    hub.add(REPOSITORY, {"../../evil-Q4_0.gguf": tiny})
    assert models("pull", f"hf:{REPOSITORY}").code == 3
    assert models("pull", f"hf:{REPOSITORY}:../../evil-Q4_0.gguf").code == 2
    assert not list(hub_cache_folder().parent.rglob("evil*"))


def test_a_header_that_claims_a_terabyte_is_refused_and_the_file_deleted(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPOSITORY, {"huge-Q4_0.gguf": with_a_terabyte(tmp_path)})
    refused = models("pull", f"hf:{REPOSITORY}")
    assert refused.code == 4
    assert "huge-Q4_0.gguf is not whole" in refused.error
    assert not list(hub_cache_folder().rglob("huge*"))


def test_a_split_model_that_lacks_a_part_is_not_fetched_at_all(hub: Hub, tiny: bytes) -> None:
    hub.add(REPOSITORY, {f"m-Q4_0-0000{number}-of-00003.gguf": tiny for number in (1, 3)})
    refused = models("pull", f"hf:{REPOSITORY}")
    assert refused.code == 3
    assert "m-Q4_0-00002-of-00003.gguf" in refused.error


@pytest.mark.parametrize("address", ["foo", "ftp://x", "http://", "http://[::1", "http://a b"])
def test_a_mirror_that_is_no_address_is_a_usage_error(address: str) -> None:
    refused = models("pull", "--mirror", address, "hunyuan-0.5b", "--accept-licence")
    assert refused.code == 2, refused.error


def test_a_file_with_a_name_in_capitals_is_found(hub: Hub, tiny: bytes) -> None:
    hub.add(REPOSITORY, {"TINY-Q4_0.GGUF": tiny})
    assert models("pull", f"hf:{REPOSITORY}").code == 0


def test_nothing_is_deleted_unasked(hub: Hub) -> None:
    name = f"hf:{REPOSITORY}:tiny-Q8_0.gguf"
    path = models("pull", name).out.strip()
    assert models("rm", name).code == 2
    assert Path(path).exists()
    assert hub.requests


def test_a_split_model_is_fetched_whole_and_answers(hub: Hub, tmp_path: Path) -> None:
    parts = split(write_hunyuan_dense(tmp_path / "whole.gguf", "A"), tmp_path / "split-Q4_0.gguf")
    assert len(parts) > 1
    hub.add(REPOSITORY, {part.name: part.read_bytes() for part in parts})
    pulled = models("pull", f"hf:{REPOSITORY}")
    assert pulled.code == 0, pulled.error
    assert "-00001-of-" in pulled.out
    answered = run_hychat("-m", f"hf:{REPOSITORY}", "--max-tokens", "4", "-n", "hello")
    assert answered.code == 0, answered.error


def test_ctrl_c_leaves_a_part_to_go_on_from(hub: Hub, tiny: bytes) -> None:
    pause = stall(threading.Event(), after_bytes=len(tiny) // 2)
    hub.on("tiny-Q8_0.gguf", pause)
    with started("models", "pull", f"hf:{REPOSITORY}:Q8_0") as process:
        assert pause.reached.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert models("pull", f"hf:{REPOSITORY}:Q8_0").code == 0


def test_what_is_here_is_told_offline_too(hub: Hub) -> None:
    path = models("pull", f"hf:{REPOSITORY}").out
    assert models("pull", "--offline", f"hf:{REPOSITORY}").out == path
    assert hub.requests


def test_offline_says_so(hub: Hub) -> None:
    refused = models("pull", "--offline", f"hf:{REPOSITORY}")
    assert refused.code == 3
    assert "offline" in refused.error
    assert not hub.requests


def test_a_mirror_can_be_named(hub: Hub) -> None:
    endpoint = hub.endpoint
    with nobody_listens() as nowhere:
        assert models("pull", "--mirror", endpoint, f"hf:{REPOSITORY}", HF_ENDPOINT=nowhere).code == 0


def test_a_path_is_checked_and_nothing_is_fetched(tmp_path: Path, tiny: bytes) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny)
    assert models("pull", str(tmp_path / "tiny.gguf")).code == 0
    (tmp_path / "tiny.gguf").write_bytes(tiny[:100])
    assert models("pull", str(tmp_path / "tiny.gguf")).code == 4


def test_a_path_where_no_file_is_says_so() -> None:
    refused = models("pull", "./nowhere.gguf")
    assert refused.code == 3
    assert "There is no file" in refused.error


def test_the_starter_is_here_already() -> None:
    pulled = models("pull", "starter")
    assert pulled.code == 0
    assert models("rm", "--yes", "starter").code == 2


# Cleaning up


def test_prune_lists_what_it_would_delete_and_asks(hub: Hub) -> None:
    partial = hub_cache_folder() / "models--owner--tiny-GGUF" / "blobs" / "abc.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(2_000_000))
    (partial.parent.parent / OURS).touch()
    asked = models("prune")
    assert asked.code == 2
    assert "2 MB" in asked.error
    assert partial.exists()
    assert models("prune", "--yes").code == 0
    assert not partial.exists()
    assert not hub.requests


def test_prune_leaves_what_is_needed(hub: Hub) -> None:
    path = Path(models("pull", f"hf:{REPOSITORY}").out.strip())
    assert "nothing" in models("prune", "--yes").error
    assert path.is_file()
    assert hub.requests


# Names of the hub


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [("", "tiny-Q4_K_M.gguf"), ("Q8_0", "tiny-Q8_0.gguf"), ("iq4_xs", "tiny-IQ4_XS.gguf"), ("Q2_K", None)],
)
def test_a_file_is_chosen_by_its_quantization(choice: str, chosen: str | None) -> None:
    assert choose(FILES, choice) == chosen


def test_a_split_model_is_chosen_by_its_first_part_and_has_all() -> None:
    parts = [f"m-Q4_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert choose(list(reversed(parts)), "") == parts[0]
    assert all_parts(parts[0]) == parts


@pytest.mark.parametrize("name", ["../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "..\\x.gguf", "~/x.gguf"])
def test_a_name_that_leaves_its_folder_is_known(name: str) -> None:
    assert leaves_its_folder(name)


@pytest.mark.parametrize("name", ["hf:", "hf:owner", "hf:../../etc", "hf:a/b/c", "hf:/x"])
def test_a_reference_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        read_reference(name)
