"""Settings: read in layers, checked, and written without touching the rest of the file."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hychat.cli.config import app
from hychat.config.load import entries, load, what_is_said
from hychat.config.save import set_value, unset
from hychat.config.schema import KEYS, Config
from hychat.domain.choices import Style
from hychat.domain.errors import ConfigError
from hychat.domain.generation import GenerationSettings
from hychat.paths import config_file

SAMPLE = """\
# Which model
model: starter   # the small one

# How warm
temperature: 0.5
system: |
  Be brief.
  Be kind.
# Kept
save: true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def sample(file: Path) -> Path:
    file.write_text(SAMPLE, encoding="utf-8")
    return file


def failure(file: Path, environment: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file, environment or {})
    return caught.value


def denied(*_arguments: object, **_named: object) -> int:
    """Stands for a system call; root, who may run the tests, is denied nothing otherwise."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


# Layers


def test_without_a_file_every_key_has_its_default(file: Path) -> None:
    assert load(file, {}) == Config()


def test_without_a_file_yaml_is_not_imported(file: Path) -> None:
    code = f"""if True:
        import sys, pathlib
        from hychat.config.load import load
        load(pathlib.Path({str(file)!r}), {{"HYCHAT_MODEL": "x"}})
        sys.exit("yaml" in sys.modules or "difflib" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_file_wins_over_the_default(sample: Path) -> None:
    config = load(sample, {})
    assert (config.model, config.temperature, config.system) == ("starter", 0.5, "Be brief.\nBe kind.\n")


def test_the_environment_wins_over_the_file(sample: Path) -> None:
    assert load(sample, {"HYCHAT_TEMPERATURE": "0.9"}).temperature == 0.9


def test_a_typed_flag_wins_over_all(sample: Path) -> None:
    config = load(sample, {"HYCHAT_TEMPERATURE": "0.9"})
    assert config.over({"temperature": 0.2, "style": Style.FORMAL, "save": False}) == Config(
        model="starter", system="Be brief.\nBe kind.\n", temperature=0.2, style=Style.FORMAL, save=False
    )


def test_a_flag_that_was_not_typed_changes_nothing() -> None:
    assert Config(model="starter").over({"model": None, "think": None}) == Config(model="starter")


def test_a_flag_is_checked_like_the_file() -> None:
    with pytest.raises(ConfigError, match=r"--temperature: temperature must be a number from 0.1 to 1.0, not 2.0\."):
        Config().over({"temperature": 2.0})


def test_an_empty_variable_says_nothing(sample: Path) -> None:
    assert load(sample, {"HYCHAT_MODEL": ""}).model == "starter"


def test_a_variable_of_another_program_is_left_alone(file: Path) -> None:
    assert load(file, {"HYCHAT_PORT": "tcp://10.0.0.1:80"}) == Config()


def test_it_is_known_what_said_a_value(sample: Path) -> None:
    said = what_is_said(sample, {"HYCHAT_SAVE": "off"})
    assert {name: value.origin for name, value in said.items()} == {
        "model": "file",
        "temperature": "file",
        "system": "file",
        "save": "HYCHAT_SAVE",
    }


def test_the_generation_settings_are_those_of_the_config() -> None:
    config = Config(temperature=0.3, top_k=20, max_tokens=64, think=False, model="starter")
    assert config.generation == GenerationSettings(temperature=0.3, top_k=20, max_tokens=64, think=False)


# Values


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "1"])
def test_yes_has_many_spellings(file: Path, word: str) -> None:
    file.write_text(f"think: {word}\n")
    assert load(file, {}).think is True


@pytest.mark.parametrize("word", ["", "~", "null"])
def test_a_null_says_nothing(file: Path, word: str) -> None:
    file.write_text(f"save: {word}\nmodel: {word}\n")
    assert load(file, {}) == Config()


def test_text_stays_as_it_is_written(file: Path) -> None:
    file.write_text("model: 0.50\nsystem: no\n")
    assert (load(file, {}).model, load(file, {}).system) == ("0.50", "no")


def test_a_style_becomes_a_style(file: Path) -> None:
    assert load(file, {"HYCHAT_STYLE": "Casual"}).style is Style.CASUAL


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", "1.1", "a number from 0.1 to 1.0"),
        ("temperature", "nan", "a number from 0.1 to 1.0"),
        ("temperature", "warm", "a number from 0.1 to 1.0"),
        ("max_tokens", "0", "a whole number from 1 to 10000000"),
        ("max_tokens", "2.5", "a whole number from 1 to 10000000"),
        ("seed", "-1", "a whole number from 0 to 4294967294"),
        ("think", "maybe", "true or false"),
        ("style", "rude", "one of formal, casual, friendly"),
        ("color", "red", "one of auto, always, never"),
    ],
)
def test_a_bad_value_says_what_is_expected(file: Path, name: str, value: str, expected: str) -> None:
    variable = KEYS[name].variable
    error = failure(file, {variable: value})
    assert str(error) == f"{variable}: {name} must be {expected}, not {value}."
    assert error.exit_code == 2


def test_every_default_would_be_accepted_from_a_file() -> None:
    for key in KEYS.values():
        if key.default is not None:
            assert key.read(str(key.default), "default") == key.default


def test_every_key_has_its_own_variable() -> None:
    variables = {key.variable for key in KEYS.values()}
    assert len(variables) == len(KEYS)
    assert {"HYCHAT_MODEL", "HYCHAT_MAX_TOKENS"} <= variables


# Errors of the file


def test_an_unknown_key_names_line_and_nearest_key(file: Path) -> None:
    file.write_text("model: starter\ntemprature: 0.5\n")
    error = failure(file)
    assert str(error) == f"{file}:2: there is no key temprature."
    assert error.hint.startswith("The nearest key is temperature.")


def test_a_key_like_no_other_gets_the_list(file: Path) -> None:
    file.write_text("zzz: 1\n")
    assert failure(file).hint.startswith("All keys: model, language,")


def test_a_bad_value_names_line_and_value(file: Path) -> None:
    file.write_text("\ntemperature: hot\n")
    assert str(failure(file)) == f"{file}:2: temperature must be a number from 0.1 to 1.0, not hot."


def test_a_list_is_not_a_value(file: Path) -> None:
    file.write_text("model: [a, b]\n")
    assert str(failure(file)) == f"{file}:1: model must be text, not [a, b]."


def test_broken_yaml_names_line_and_column(file: Path) -> None:
    file.write_text("model: starter\nsystem: a: b\n")
    assert str(failure(file)) == f"{file}:2:10: not valid YAML: mapping values are not allowed in this context."


def test_a_key_said_twice_is_refused(file: Path) -> None:
    file.write_text("model: a\nseed: 1\nmodel: b\n")
    assert str(failure(file)) == f"{file}:3: model stands in line 1 already."


@pytest.mark.parametrize("text", ["just words\n", "- a\n- b\n"])
def test_a_file_that_is_no_mapping_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    assert "must hold lines of the form `key: value`" in str(failure(file))


@pytest.mark.parametrize("text", ["model: a\n---\nmodel: b\n", "model: \x07\n", "? [a]\n: b\n", "{a: 1}\n", '"\n'])
def test_odd_yaml_is_an_error_of_one_line(file: Path, text: str) -> None:
    file.write_text(text)
    message = str(failure(file))
    assert message.startswith(str(file))
    assert "\n" not in message


def test_a_file_in_another_encoding_is_refused(file: Path) -> None:
    file.write_bytes("system: 你好\n".encode("gb18030"))
    assert "is not UTF-8 text (byte 8)" in str(failure(file))


def test_a_folder_in_the_files_place_is_refused(file: Path) -> None:
    file.mkdir()
    assert str(failure(file)) == f"{file} cannot be read: Is a directory."


def test_an_unreadable_file_is_refused(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", denied)
    assert str(failure(sample)) == f"{sample} cannot be read: Permission denied."


def test_a_byte_order_mark_is_skipped(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfmodel: starter\n")
    assert load(file, {}).model == "starter"


# Saving


def test_setting_a_value_changes_its_characters_only(sample: Path) -> None:
    set_value(sample, "temperature", "0.7")
    assert sample.read_text() == SAMPLE.replace("0.5", "0.7")


def test_setting_keeps_the_comment_behind_a_value(sample: Path) -> None:
    set_value(sample, "model", "other")
    assert sample.read_text() == SAMPLE.replace("model: starter ", "model: other ")


def test_setting_replaces_a_block_of_lines(sample: Path) -> None:
    set_value(sample, "system", "Sing.")
    assert sample.read_text() == SAMPLE.replace("|\n  Be brief.\n  Be kind.\n", "Sing.\n")


def test_setting_fills_an_empty_value(file: Path) -> None:
    file.write_text("model:\nseed: # any\n")
    set_value(file, "model", "starter")
    set_value(file, "seed", "7")
    assert file.read_text() == "model: starter\nseed: 7 # any\n"


def test_a_new_key_is_added_at_the_end(sample: Path) -> None:
    set_value(sample, "style", "formal")
    assert sample.read_text() == SAMPLE + "style: formal\n"


def test_comments_alone_are_kept(file: Path) -> None:
    file.write_text("# nothing set yet")
    set_value(file, "seed", "7")
    assert file.read_text() == "# nothing set yet\nseed: 7\n"


def test_foreign_line_ends_stay(file: Path) -> None:
    file.write_bytes(b"model: a\r\nseed: 1\r\n")
    set_value(file, "model", "b")
    assert file.read_bytes() == b"model: b\r\nseed: 1\r\n"


def test_the_file_and_its_folder_are_made_for_their_owner(tmp_path: Path) -> None:
    file = tmp_path / "new/config.yaml"
    set_value(file, "model", "starter")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert load(file, {}).model == "starter"


def test_a_link_stays_a_link(sample: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(sample)
    set_value(link, "seed", "3")
    assert link.is_symlink()
    assert load(sample, {}).seed == 3


def test_a_bad_value_is_not_saved(sample: Path) -> None:
    with pytest.raises(ConfigError, match=r"from 0\.1 to 1\.0"):
        set_value(sample, "temperature", "5")
    assert sample.read_text() == SAMPLE


def test_an_unknown_key_is_not_saved(sample: Path) -> None:
    with pytest.raises(ConfigError, match="there is no key modle") as caught:
        set_value(sample, "modle", "x")
    assert "The nearest key is model." in caught.value.hint
    assert sample.read_text() == SAMPLE


def test_a_bad_value_in_the_file_can_be_mended(file: Path) -> None:
    file.write_text("temperature: 5\nmodel: a\n")
    set_value(file, "temperature", "0.5")
    assert load(file, {}) == Config(temperature=0.5, model="a")


def test_unset_removes_the_key_and_leaves_the_comments_around_it(sample: Path) -> None:
    unset(sample, "model")
    assert sample.read_text() == SAMPLE.replace("model: starter   # the small one\n", "")


def test_unset_removes_a_block_of_lines(sample: Path) -> None:
    unset(sample, "system")
    assert sample.read_text() == SAMPLE.replace("system: |\n  Be brief.\n  Be kind.\n", "")


def test_unset_removes_a_misspelt_key(file: Path) -> None:
    file.write_text("modle: a\nseed: 1\n")
    unset(file, "modle")
    assert file.read_text() == "seed: 1\n"


def test_unset_of_a_key_that_is_not_set_does_nothing(sample: Path) -> None:
    unset(sample, "seed")
    assert sample.read_text() == SAMPLE


def test_unset_of_an_unknown_key_is_an_error(sample: Path) -> None:
    with pytest.raises(ConfigError, match="there is no key zzz"):
        unset(sample, "zzz")


@pytest.mark.parametrize("text", ["{model: a}\n", "model: a\n...\n", "seed: &x 1\ntop_k: *x\n"])
def test_what_an_edit_would_break_is_left_alone(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match="cannot be edited automatically"):
        set_value(file, "top_k", "4")
    assert file.read_text() == text


def test_a_full_disk_loses_nothing(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ConfigError, match=r"cannot be written: No space left on device\."):
        set_value(sample, "seed", "3")
    assert sample.read_text() == SAMPLE
    assert [*sample.parent.iterdir()] == [sample]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        set_value(tmp_path / "taken/config.yaml", "seed", "3")


def test_a_folder_that_cannot_be_has_no_config_file(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert load(tmp_path / "taken/config.yaml", {}) == Config()


def test_an_unwritable_folder_loses_nothing(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(ConfigError, match="cannot be written: Permission denied"):
        set_value(sample, "seed", "3")
    assert sample.read_text() == SAMPLE


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_that_can_be_saved_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(SAMPLE)
    try:
        set_value(file, "system", text)
    except ConfigError:
        assert file.read_text() == SAMPLE
    else:
        assert load(file, {}).system == text
        assert load(file, {}).model == "starter"


COMMENTS = st.lists(st.sampled_from(["", "# a comment", " # indented", "# 注释: x"]), max_size=3)
LINES = {"model": "model:   starter", "seed": "seed: 7  # why", "system": "system: >\n  one\n  two", "top_k": "top_k:"}


@given(data=st.data(), order=st.permutations(sorted(LINES)), ends=st.sampled_from(["\n", ""]))
def test_no_edit_loses_a_comment_or_moves_a_key(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, order: list[str], ends: str
) -> None:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    lines = [line for name in order for line in (*data.draw(COMMENTS), LINES[name])]
    file.write_text("\n".join(lines) + ends, encoding="utf-8")
    changed = data.draw(st.sampled_from(order))
    set_value(file, changed, "5")
    after = file.read_text(encoding="utf-8")
    assert [entry.name for entry in entries(after, file)] == order
    assert after.count("#") == "\n".join(lines).count("#")
    assert str(getattr(load(file, {}), changed)) == "5"


# The command

run = CliRunner().invoke


def test_path_prints_the_files_path() -> None:
    assert run(app, ["path"]).output == f"{config_file()}\n"


def test_show_prints_key_origin_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    set_value(config_file(), "model", "starter")
    monkeypatch.setenv("HYCHAT_SAVE", "no")
    lines = [line.split() for line in run(app, ["show"]).output.splitlines()]
    assert ["model", "file", "starter"] in lines
    assert ["save", "HYCHAT_SAVE", "false"] in lines
    assert ["seed", "default"] in lines
    assert [line[0] for line in lines] == [*KEYS]


def test_show_keeps_a_value_on_its_line() -> None:
    set_value(config_file(), "system", "one\ntwo")
    assert r"'one\ntwo'" in run(app, ["show"]).output


def test_show_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYCHAT_STYLE", "friendly")
    shown = json.loads(run(app, ["show", "--json"]).output)
    assert shown["style"] == {"value": "friendly", "from": "HYCHAT_STYLE"}
    assert shown["model"] == {"value": None, "from": "default"}


def test_set_and_unset_change_the_file() -> None:
    assert run(app, ["set", "seed", "7"]).exit_code == 0
    assert load(config_file(), {}).seed == 7
    assert run(app, ["unset", "seed"]).exit_code == 0
    assert load(config_file(), {}) == Config()


def test_set_hands_a_bad_value_to_the_border() -> None:
    assert isinstance(run(app, ["set", "seed", "x"]).exception, ConfigError)


def test_a_bottomless_file_is_refused_and_takes_nothing_down(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model: " + "[" * 40_000)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(file, {})
