from datetime import date

import pytest

from hookloop.config import load_config
from hookloop.errors import ConfigError


def overridden(*texts, environ=None):
    return load_config([], texts, environ or {}).data


def complaint(*texts, environ=None):
    with pytest.raises(ConfigError) as caught:
        overridden(*texts, environ=environ)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("run.max_epochs=3", {"run": {"max_epochs": 3}}),
        ("run.lr = 3e-3", {"run": {"lr": 3e-3}}),
        ('plugins.checkpoint.every="50 steps"', {"plugins": {"checkpoint": {"every": "50 steps"}}}),
        ("plugins.checkpoint.every=50 steps", {"plugins": {"checkpoint": {"every": "50 steps"}}}),
        ("plugins.'my run'.\"a=b\"=1", {"plugins": {"my run": {"a=b": 1}}}),
        ("run.name=a=b", {"run": {"name": "a=b"}}),
        ("run.name=", {"run": {"name": ""}}),
        ("run.flag=true", {"run": {"flag": True}}),
        ("run.list=[1, 2]", {"run": {"list": [1, 2]}}),
        ("run.list=[1, two]", {"run": {"list": "[1, two]"}}),
        ("run.day=2024-01-31", {"run": {"day": date(2024, 1, 31)}}),
        ("run.name=1\nother = 2", {"run": {"name": "1\nother = 2"}}),
        ("plugins.x={ every = '1 epoch' }", {"plugins": {"x": {"every": "1 epoch"}}}),
    ],
)
def test_an_override_is_a_dotted_key_and_a_toml_value_or_text(text, data):
    assert overridden(text) == data


def test_a_value_nested_too_deeply_for_toml_is_text():
    assert overridden("run.x=" + "[" * 100_000)["run"]["x"].startswith("[[")


def test_later_overrides_win_and_tables_merge():
    assert overridden("a.x=1", "a.y=2", "a.x=3", "a={ z = 4 }") == {"a": {"x": 3, "y": 2, "z": 4}}


def test_an_override_without_an_equals_sign_is_an_error():
    assert complaint("run.max_epochs") == (
        "--set: run.max_epochs: has no '='. Write KEY=VALUE, as in --set run.max_epochs=3."
    )


@pytest.mark.parametrize("text", ["=3", "a b=3", "run.=3", "größe=1", 'run."open=1'])
def test_an_override_whose_key_is_none_is_an_error(text):
    assert "what stands before '=' is not a key" in complaint(text)


def test_an_override_whose_key_has_a_wrong_escape_is_an_error():
    assert "the key cannot be read" in complaint('"\\q"=1')


def test_an_override_that_puts_a_key_into_a_value_is_an_error():
    assert complaint("run=3", "run.seed=1").startswith("--set: run: a table here, but a value in --set.")


def test_extends_is_an_error_outside_a_file():
    assert complaint("extends=base.toml").startswith("--set: extends: works in a file only")
    assert complaint(environ={"HOOKLOOP__EXTENDS": "a"}).startswith("HOOKLOOP__EXTENDS: extends: works in a file only")


def test_a_variable_sets_a_lower_cased_key():
    environ = {"HOOKLOOP__RUN__MAX_EPOCHS": "3", "HOOKLOOP__RUN__NAME": "a b", "HOOKLOOP__PLUGINS__X__ON": "true"}
    assert overridden(environ=environ) == {
        "run": {"max_epochs": 3, "name": "a b"},
        "plugins": {"x": {"on": True}},
    }


def test_a_variable_finds_keys_in_any_case_and_with_dashes(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[plugins.Early-Stopping]\nminDelta = 1\n[plugins.a-b]\n[plugins.a_b]\n")
    environ = {"HOOKLOOP__PLUGINS__EARLY_STOPPING__MINDELTA": "2", "HOOKLOOP__PLUGINS__A_B__X": "1"}
    assert load_config([file], environ=environ).data == {
        "plugins": {"Early-Stopping": {"minDelta": 2}, "a-b": {}, "a_b": {"x": 1}}
    }


def test_other_variables_of_hookloop_are_not_configuration():
    assert overridden(environ={"HOOKLOOP_PLUGINS": "a", "HOOKLOOP_DISABLE_PLUGINS": "b", "HOME": "c"}) == {}


@pytest.mark.parametrize("name", ["HOOKLOOP__", "HOOKLOOP__RUN__", "HOOKLOOP__RUN____SEED"])
def test_a_variable_with_an_empty_key_is_an_error(name):
    assert complaint(environ={name: "1"}).startswith(f"{name}: has an empty key between its double underscores.")


def test_a_variable_that_puts_a_key_into_a_value_is_an_error():
    found = complaint(environ={"HOOKLOOP__RUN": "3", "HOOKLOOP__RUN__SEED": "1"})
    assert found.startswith("HOOKLOOP__RUN__SEED: run: a table here, but a value in HOOKLOOP__RUN.")
