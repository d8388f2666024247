import os
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop.config import Origin, load_config
from hookloop.errors import ConfigError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder, so that origins read as a user sees them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def load(*files, overrides=(), environ=None):
    return load_config([Path(file) for file in files], overrides, environ or {})


def complaints(*files, overrides=(), environ=None):
    with pytest.raises(ConfigError) as caught:
        load(*files, overrides=overrides, environ=environ)
    return [str(problem) for problem in caught.value.problems]


def test_values_are_read_with_the_line_they_stand_on(here):
    write("run.toml", "[run]\nseed = 7\n\n[plugins.monitor]\n")
    tree = load("run.toml")
    assert tree.data == {"run": {"seed": 7}, "plugins": {"monitor": {}}}
    assert str(tree.origin(("run", "seed"))) == "run.toml:2"
    assert str(tree.origin(("plugins", "monitor"))) == "run.toml:4"


def test_a_key_that_stands_nowhere_has_the_origin_of_its_nearest_parent(here):
    write("run.toml", "\n[run]\n")
    assert load("run.toml").origin(("run", "a", "b")) == Origin("run.toml", 2)
    assert str(load("run.toml").origin(("task",))) == "default"


def test_no_file_at_all_is_an_empty_tree():
    assert load().data == {}


def test_windows_line_ends_and_a_byte_order_mark_are_read(here):
    Path("run.toml").write_bytes(b"\xef\xbb\xbf[run]\r\n\r\nseed = 1\r\n")
    tree = load("run.toml")
    assert tree.data == {"run": {"seed": 1}}
    assert tree.origin(("run", "seed")).line == 3


def test_later_files_win_key_by_key(here):
    write("a.toml", "[run]\nseed = 1\nname = 'a'\nlist = [1, 2]\n")
    write("b.toml", "\n\n[run]\nseed = 2\nlist = [3]\n")
    tree = load("a.toml", "b.toml")
    assert tree.data == {"run": {"seed": 2, "name": "a", "list": [3]}}
    assert str(tree.origin(("run", "seed"))) == "b.toml:4"
    assert str(tree.origin(("run", "name"))) == "a.toml:3"
    assert str(tree.origin(("run", "list", "1"))) == "b.toml:5"
    assert str(tree.origin(("run",))) == "b.toml:3"


def test_a_file_lies_over_the_file_that_it_extends(here):
    write("conf/base.toml", "[run]\nseed = 1\nname = 'base'\n")
    write("conf/run.toml", "extends = 'base.toml'\n[run]\nseed = 2\n")
    tree = load("conf/run.toml")
    assert tree.data == {"run": {"seed": 2, "name": "base"}}
    assert str(tree.origin(("run", "name"))) == str(Path("conf/base.toml")) + ":3"


def test_a_list_of_extended_files_is_laid_in_its_order(here):
    write("a.toml", "[run]\nseed = 1\nname = 'a'\n")
    write("shared/b.toml", "extends = '../c.toml'\n[run]\nname = 'b'\n")
    write("c.toml", "[run]\nname = 'c'\ndevice = 'cpu'\n")
    write("run.toml", "extends = ['a.toml', 'shared/b.toml']\n")
    assert load("run.toml").data == {"run": {"seed": 1, "name": "b", "device": "cpu"}}


def test_two_files_may_extend_the_same_one(here):
    write("base.toml", "[run]\nseed = 1\n")
    write("a.toml", "extends = 'base.toml'\n")
    write("run.toml", "extends = ['base.toml', 'a.toml']\n")
    assert load("run.toml").data == {"run": {"seed": 1}}


def test_files_that_extend_each_other_are_an_error_that_names_the_circle(here):
    write("a.toml", "extends = 'b.toml'\n")
    write("b.toml", "\nextends = './a.toml'\n")
    (problem,) = complaints("a.toml")
    assert problem.startswith("b.toml:2: extends: a.toml: extends itself in a circle: a.toml -> b.toml -> a.toml.")


@pytest.mark.parametrize("value", ["3", "[1]", "{ file = 'a.toml' }"])
def test_extends_that_names_no_file_is_an_error(here, value):
    write("run.toml", f"\nextends = {value}\n")
    (problem,) = complaints("run.toml")
    assert problem.startswith('run.toml:2: extends: names the file below this one: extends = "base.toml"')


def test_an_extended_file_that_is_missing_is_named_with_the_line_that_asks_for_it(here):
    write("base.toml", "")
    write("run.toml", "extends = [\n  'base.toml',\n  'bsae.toml',\n]\n")
    assert complaints("run.toml") == ["run.toml:3: extends: bsae.toml: no such file. Did you mean 'base.toml'?"]


def test_a_missing_file_is_an_error_with_a_suggestion(here):
    write("digits.toml", "")
    assert complaints("digist.toml") == ["digist.toml: no such file. Did you mean 'digits.toml'?"]
    assert complaints("nowhere/run.toml") == [f"{Path('nowhere/run.toml')}: no such file."]


def test_a_folder_is_an_error_that_says_so(here):
    Path("runs").mkdir()
    assert complaints("runs") == ["runs: is a directory. Name a TOML file in it."]


@pytest.mark.parametrize("name", ["x" * 300 + ".toml", "nul\0.toml"])
def test_a_file_that_cannot_be_read_is_an_error_with_the_reason(here, name):
    (problem,) = complaints(name)
    assert ": cannot be read: " in problem


def test_a_file_that_is_not_utf8_is_an_error_with_the_line(here):
    Path("run.toml").write_bytes(b"[run]\nname = 'caf\xe9'\n")
    (problem,) = complaints("run.toml")
    assert problem == "run.toml:2: byte 0xe9 is not UTF-8. Save the file with the encoding UTF-8."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[run]\nname = digits\n", "run.toml:2: not valid TOML: Invalid value at column 8. Text needs quotes"),
        ("[run]\n[run]\n", "run.toml:2: not valid TOML: Cannot declare ('run',) twice at column 5. A table or key may"),
        ("[run]\nlist = [1,\n2\n\n", "run.toml:3: not valid TOML: Unclosed array at the end of the file."),
        ("[run]\nseed 7\n", "run.toml:2: not valid TOML: Expected '=' after a key in a key/value pair at column 6."),
    ],
)
def test_a_syntax_error_is_told_with_its_line(here, text, problem):
    write("run.toml", text)
    (complaint,) = complaints("run.toml")
    assert complaint.startswith(problem)


def test_a_file_nested_too_deeply_is_an_error(here):
    write("run.toml", "x = " + "[" * 100_000)
    (problem,) = complaints("run.toml")
    assert problem.startswith("run.toml: lists or tables are nested too deeply") or "not valid TOML" in problem


@pytest.mark.parametrize(
    ("earlier", "later", "here_is", "there_is"),
    [("\n\nrun = 3\n", "[run]\n", "a table", "a value"), ("\n\n[run]\n", "run = 3\n", "a value", "a table")],
)
def test_a_table_where_another_file_has_a_value_is_an_error_that_names_both(here, earlier, later, here_is, there_is):
    write("a.toml", earlier)
    write("b.toml", later)
    (problem,) = complaints("a.toml", "b.toml")
    assert problem.startswith(f"b.toml:1: run: {here_is} here, but {there_is} in a.toml:3.")


def test_a_secret_may_replace_a_value_and_be_replaced_by_one(here):
    write("a.toml", "[plugins.x]\ntoken = 'plain'\nuser = { env = 'USER' }\n")
    write("b.toml", "[plugins.x]\ntoken = { env = 'TOKEN' }\nuser = 'me'\n")
    assert load("a.toml", "b.toml").data == {"plugins": {"x": {"token": {"env": "TOKEN"}, "user": "me"}}}


def test_a_table_whose_only_option_is_called_env_is_merged_like_any_other(here):
    write("a.toml", "[plugins.gym]\nenv = 'CartPole'\n")
    write("b.toml", "[plugins.gym]\nsteps = 3\n")
    assert load("a.toml", "b.toml").data == {"plugins": {"gym": {"env": "CartPole", "steps": 3}}}


def test_all_problems_are_told_at_once(here):
    write("a.toml", "[run\n")
    write("b.toml", "run = 1\n")
    write("c.toml", "extends = 'missing.toml'\n[run]\n")
    found = complaints("a.toml", "b.toml", "c.toml", overrides=["x", "=1"], environ={"HOOKLOOP__": "1"})
    assert [problem.split(": ")[0] for problem in found] == [
        "a.toml:1",
        "c.toml:1",
        "c.toml:2",
        "HOOKLOOP__",
        "--set",
        "--set",
    ]


def test_variables_win_over_files_and_overrides_over_variables(here):
    write("run.toml", "[run]\nseed = 1\nname = 'file'\ndevice = 'cpu'\n")
    environ = {"HOOKLOOP__RUN__SEED": "2", "HOOKLOOP__RUN__NAME": "variable"}
    tree = load("run.toml", overrides=["run.seed=3"], environ=environ)
    assert tree.data == {"run": {"seed": 3, "name": "variable", "device": "cpu"}}
    assert str(tree.origin(("run", "seed"))) == "--set"
    assert str(tree.origin(("run", "name"))) == "HOOKLOOP__RUN__NAME"
    assert str(tree.origin(("run",))) == "run.toml:1"


def test_the_environment_of_the_process_is_read_by_default(monkeypatch):
    monkeypatch.setenv("HOOKLOOP__RUN__SEED", "5")
    assert load_config([]).data["run"]["seed"] == 5
    assert "HOOKLOOP__RUN__SEED" in os.environ


def test_the_base_of_a_value_is_the_folder_of_the_file_it_came_from(here, monkeypatch):
    write("shared/base.toml", "[task]\nuse = 'task.py:build'\n[loss]\nuse = 'loss.py:f'\n")
    write("runs/run.toml", "extends = '../shared/base.toml'\n[loss]\nuse = 'own.py:f'\n")
    tree = load("runs/run.toml", overrides=["optimizer.use=mine.py:f"])
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert tree.base(("task", "use")).resolve() == here / "shared"
    assert tree.base(("loss", "use")) == here / "runs"
    assert tree.base(("optimizer", "use")) == here / "elsewhere"
    assert tree.base(("metrics",)) == here / "elsewhere"


def test_reading_a_configuration_imports_neither_torch_nor_pydantic():
    code = "import sys, hookloop.config; print({'torch', 'pydantic', 'pydantic_core'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
