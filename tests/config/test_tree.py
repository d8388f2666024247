from pathlib import Path

from hookloop.config import ConfigTree, Origin, load_config, with_defaults


def test_an_origin_reads_as_file_and_line_or_as_its_source():
    assert str(Origin("run.toml", 14)) == "run.toml:14"
    assert str(Origin("--set")) == "--set"


def test_values_given_in_python_have_their_call_as_origin():
    given = {"run": {"seed": 1}}
    tree = ConfigTree.from_python(given, "Engine(...)")
    given["run"]["seed"] = 2
    assert tree.data == {"run": {"seed": 1}}
    assert str(tree.origin(("run", "seed"))) == "Engine(...)"
    assert tree.base(("run", "seed")) == Path.cwd()


def test_a_value_is_found_by_its_path():
    tree = ConfigTree.from_python({"run": {"list": [{"a": 1}]}})
    assert tree.value(("run", "list", "0", "a")) == 1
    assert tree.value(("run", "list", "1")) is None
    assert tree.value(("run", "list", "x")) is None
    assert tree.value(("run", "missing", "a")) is None


def test_defaults_fill_in_what_the_tree_leaves_open(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[run]\nseed = 7\n")
    tree = with_defaults(load_config([file], environ={}), {"run": {"seed": 0, "name": "x"}, "loss": {}})
    assert tree.data == {"run": {"seed": 7, "name": "x"}, "loss": {}}
    assert str(tree.origin(("run", "seed"))) == f"{file}:2"
    assert str(tree.origin(("run", "name"))) == "default"
    assert tree.base(("run", "seed")) == tmp_path


def test_a_value_replaces_a_default_of_another_kind():
    tree = ConfigTree.from_python({"a": {"x": 1}, "b": 2})
    assert with_defaults(tree, {"a": None, "b": {"y": 1}}).data == {"a": {"x": 1}, "b": 2}
