"""Recipes: the files that ship, what is wrong in others, and the steps they take."""

from pathlib import Path

import pytest

from hychat.catalogue.find import find
from hychat.conversion.recipe import known_recipes, read_recipe, read_recipe_file, user_recipes_folder
from hychat.domain.errors import ConversionError, UsageError
from hychat.paths import bundled
from tests.programs import run_hychat
from tests.tiny_models import write_hunyuan_dense

GOOD = "name: mine\ntitle: Mine\nsource: {model: tiny}\nquantize: Q4_0\n"
DENSE = ("hunyuan-0.5b", "hunyuan-1.8b", "hunyuan-4b", "hunyuan-7b", "hy-mt2-1.8b", "hy-mt2-7b")
MIXTURES = ("hunyuan-a13b", "hy-mt2-30b-a3b")
SMALL = ("Q4_K_S", "IQ4_XS")
TINY = """\
family: own
models:
  - name: tiny
    title: Tiny
    architecture: hunyuan-dense
    files: [{repository: o/tiny, file: tiny.gguf}]
"""


def test_every_shipped_recipe_is_named_like_its_file_and_has_its_text() -> None:
    for path in bundled("gguf/recipes").glob("*.yaml"):
        recipe = read_recipe_file(path)
        assert recipe.name == path.stem
        assert recipe.imatrix is None or (recipe.folder / recipe.imatrix.text).is_file()


@pytest.mark.parametrize("name", DENSE)
def test_every_dense_hunyuan_model_of_the_catalogue_has_a_recipe_of_its_size(name: str) -> None:
    recipe = known_recipes().named(f"{name}-q4_k_m")
    known = next((file.bytes for file in find(name).files if file.quantization == recipe.quantize), None)
    assert recipe.source.repository
    assert recipe.bytes
    assert known is None or abs(recipe.bytes / known - 1) < 0.01


@pytest.mark.parametrize("name", [*DENSE, *MIXTURES])
def test_every_hunyuan_model_has_a_recipe_of_at_most_three_tenths_of_sixteen_bits(name: str) -> None:
    small = [recipe for recipe in known_recipes().sound if recipe.name.startswith(name) and recipe.quantize in SMALL]
    assert small
    assert all(recipe.imatrix and recipe.bytes for recipe in small)


def test_files_are_named_after_the_source() -> None:
    recipe = known_recipes().named("hunyuan-7b-q4_k_m")
    folder = Path("made")
    assert recipe.full_file(folder) == folder / "Hunyuan-7B-Instruct-BF16.gguf"
    assert recipe.imatrix_file(folder) == folder / "Hunyuan-7B-Instruct.imatrix.gguf"
    assert recipe.result_file(folder) == folder / "Hunyuan-7B-Instruct-Q4_K_M.gguf"


def test_a_revision_goes_along() -> None:
    recipe = read_recipe("name: a\ntitle: A\nsource: {repository: o/n, revision: v1}\nquantize: Q8_0\n", Path("a.yaml"))
    assert recipe.source.typed == "o/n@v1"


def test_the_users_own_recipe_comes_first() -> None:
    folder = user_recipes_folder()
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(GOOD.replace("mine", "hunyuan-7b-q4_k_m"), encoding="utf-8")
    assert known_recipes().named("HUNYUAN-7b-q4_k_m").title == "Mine"
    assert [recipe.name for recipe in known_recipes().sound].count("hunyuan-7b-q4_k_m") == 1


def test_a_broken_recipe_stands_in_no_others_way_and_is_told() -> None:
    folder = user_recipes_folder()
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("name: [", encoding="utf-8")
    (folder / "b.yaml").write_text(GOOD, encoding="utf-8")
    listed = run_hychat("gguf", "build")
    assert (listed.code, "mine" in listed.out, "starter-iq4_xs" in listed.out) == (0, True, True)
    assert "a.yaml: not valid YAML" in listed.error
    built = run_hychat("gguf", "build", "mine")
    assert "a.yaml: not valid YAML" in built.error
    assert "no recipe" not in built.error


def test_types_are_taken_in_capitals_or_not_as_on_the_command_line() -> None:
    recipe = read_recipe(GOOD.replace("Q4_0", "q4_k_m\nouttype: BF16"), Path("r.yaml"))
    assert (recipe.quantize, recipe.outtype) == ("Q4_K_M", "bf16")


def test_an_unknown_recipe_brings_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no recipe hunyuan-7b") as refused:
        known_recipes().named("hunyuan-7b-q4")
    assert "hunyuan-7b-q4_k_s" in refused.value.hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("name: mine", "name: Mine!"), "r.yaml: name: small letters"),
        (("title: Mine", "title: 7"), "r.yaml: title: text expected"),
        (("title: Mine\n", ""), "r.yaml: the key title is missing"),
        (("quantize: Q4_0", "quantize: Q4"), "r.yaml: quantize: one of"),
        (("quantize: Q4_0", "quantise: Q4_0"), "r.yaml: there is no key quantise"),
        (("{model: tiny}", "tiny"), "r.yaml: source: lines of the form"),
        (("{model: tiny}", "{model: tiny, repository: o/n}"), "r.yaml: source: either repository or model"),
        (("{model: tiny}", "{revision: v1}"), "r.yaml: source: either repository or model"),
        (("{model: tiny}", "{repository: ../../etc}"), "r.yaml: source: repository: owner/name expected"),
        (("{model: tiny}", "{repository: o/n, revision: a..b}"), "r.yaml: source: revision: a commit"),
        (("Q4_0", "Q4_0\nimatrix: {text: ../secret}"), "r.yaml: imatrix: text: the name of a file beside"),
        (("Q4_0", "Q4_0\nimatrix: {text: t, chunks: 0}"), "r.yaml: imatrix: chunks: a whole number from 1"),
        (("Q4_0", "Q4_0\nkeep_shared: maybe"), "r.yaml: keep_shared: true or false"),
        (("Q4_0", "Q4_0\nouttype: q4"), "r.yaml: outtype: one of f16"),
        (("Q4_0", "[Q4_0"), "r.yaml: not valid YAML"),
        ((GOOD, "- a list"), "r.yaml: lines of the form"),
        ((GOOD, ""), "r.yaml: lines of the form"),
    ],
)
def test_what_breaks_the_form_is_told_with_its_place(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(ConversionError) as refused:
        read_recipe(GOOD.replace(*change), Path("r.yaml"))
    assert refused.value.message.startswith(complaint)


def test_a_missing_or_unreadable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_recipe_file(tmp_path / "nothing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(ConversionError, match="not UTF-8"):
        read_recipe_file(tmp_path / "bytes.yaml")


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    """A folder with a recipe, a text, and a model of the user's own catalogue in the hub's cache."""
    cache = tmp_path / "home/cache/huggingface/hub/models--o--tiny/snapshots/c0ffee"
    cache.mkdir(parents=True)
    write_hunyuan_dense(cache / "tiny.gguf")
    catalogue = tmp_path / "home/config/hychat/catalogue"
    catalogue.mkdir(parents=True)
    (catalogue / "own.yaml").write_text(TINY, encoding="utf-8")
    folder = tmp_path / "kitchen"
    folder.mkdir()
    (folder / "text.txt").write_text("The model reads 你好 and 2 + 2 = 4; hello, world!\n" * 60, encoding="utf-8")
    (folder / "r.yaml").write_text(GOOD + "imatrix: {text: text.txt, chunks: 1}\n", encoding="utf-8")
    return folder


def test_a_recipe_is_built_and_not_built_twice(kitchen: Path) -> None:
    first = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen), "--threads", "1", "--json")
    assert first.code == 0, first.error
    assert [Path(path).name for path in first.json["made"]] == ["tiny.imatrix.gguf", "tiny-Q4_0.gguf"]
    second = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen), "--json")
    assert (second.json["made"], second.json["bytes"]) == ([], first.json["bytes"])


def test_a_build_goes_on_where_it_was(kitchen: Path) -> None:
    run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen), "--threads", "1")
    (kitchen / "tiny-Q4_0.gguf").unlink()
    ended = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen), "--threads", "1", "--json")
    assert [Path(path).name for path in ended.json["made"]] == ["tiny-Q4_0.gguf"]


@pytest.mark.parametrize("name", ["tiny-Q4_0.gguf", "tiny.imatrix.gguf"])
def test_a_file_that_only_has_the_name_is_not_taken_for_done(name: str, kitchen: Path) -> None:
    (kitchen / name).write_bytes(bytes(1000))
    ended = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen), "--threads", "1")
    assert (ended.code, ended.out) == (1, "")
    assert f"{name} is there already, and no work of this recipe" in ended.error
    assert (kitchen / name).read_bytes() == bytes(1000)


def test_an_unexpected_size_is_told(kitchen: Path) -> None:
    recipe = kitchen / "r.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "bytes: 1000\n", encoding="utf-8")
    ended = run_hychat("gguf", "build", str(recipe), "-o", str(kitchen), "--threads", "1")
    assert (ended.code, "the recipe expects 1000" in ended.error) == (0, True)


def test_what_is_missing_is_told_before_anything_is_made(kitchen: Path) -> None:
    (kitchen / "text.txt").unlink()
    ended = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen))
    assert (ended.code, "text.txt" in ended.error) == (2, True)
    ended = run_hychat("gguf", "build", str(kitchen / "r.yaml"), "-o", str(kitchen / "nowhere"))
    assert (ended.code, "no folder" in ended.error) == (2, True)


def test_without_a_name_the_recipes_are_listed() -> None:
    ended = run_hychat("gguf", "build")
    assert "hunyuan-a13b-q4_k_s  " in ended.out
    assert {row["name"] for row in run_hychat("gguf", "build", "--json").json} >= {"starter-iq4_xs"}
