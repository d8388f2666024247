import tomllib
from datetime import date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookloop.config import ConfigTree, dump_toml, load_config, show
from hookloop.interval import Interval

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = (
    TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans() | st.dates() | st.datetimes()
)
TREES = st.dictionaries(
    TEXT,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)),
    max_size=5,
)


@given(TREES)
def test_a_dumped_tree_reads_back_equal(data):
    assert tomllib.loads(dump_toml(data)) == data


def test_what_toml_lacks_is_left_out_or_becomes_text():
    data = {
        "none": None,
        "path": Path("a") / "b",
        "pair": (1, 2.5),
        "every": Interval(10, "step"),
        "deep": {"none": None, "list": [{"none": None, "path": Path("c")}]},
        "when": [datetime(2024, 1, 31, 12), date(2024, 1, 31), time(12)],
    }
    assert tomllib.loads(dump_toml(data)) == {
        "path": str(Path("a") / "b"),
        "pair": [1, 2.5],
        "every": "10 steps",
        "deep": {"list": [{"path": "c"}]},
        "when": data["when"],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"task": {"f": print}}, "task.f: TOML has no builtin_function_or_method"),
        ({"task": {"list": [1, None]}}, r"task.list\[1\]: TOML has no NoneType"),
        ({"task": {1: "a"}}, "task: the key 1 is not text"),
        ({1: "a"}, "configuration: the key 1 is not text"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_names_the_key(data, message):
    with pytest.raises(TypeError, match=message):
        dump_toml(data)


def test_other_values_are_written_as_the_given_function_says():
    text = dump_toml({"loss": {"use": print, "weights": [{1}]}}, default=lambda value: f"<{type(value).__name__}>")
    assert tomllib.loads(text) == {"loss": {"use": "<builtin_function_or_method>", "weights": ["<set>"]}}


def test_every_value_is_shown_as_toml_with_its_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(
        "[run]\nname = \"a\\nb\"\nlr = 3e-3\n[plugins.progress]\n[plugins.'my run']\n"
        "list = [\n  1,\n  { 'x y' = true, z = {} },\n]\napi_key = 'hidden'\ntoken = { env = 'TOKEN' }\n"
    )
    tree = load_config([Path("run.toml")], ["run.seed=3"], {"HOOKLOOP__RUN__DEVICE": "cpu"})
    assert show(tree) == [
        ("run.name", '"a\\nb"', "run.toml:2"),
        ("run.lr", "0.003", "run.toml:3"),
        ("run.device", '"cpu"', "HOOKLOOP__RUN__DEVICE"),
        ("run.seed", "3", "--set"),
        ("plugins.progress", "{}", "run.toml:4"),
        ('plugins."my run".list', '[1, { "x y" = true, z = {} }]', "run.toml:6"),
        ('plugins."my run".api_key', '"***"', "run.toml:10"),
        ('plugins."my run".token', '{ env = "TOKEN" }', "run.toml:11"),
    ]


@given(TREES)
def test_every_shown_value_is_toml_on_one_line(data):
    for key, value, _ in show(ConfigTree(data)):
        assert "\n" not in value
        assert tomllib.loads(f"{key} = {value}")


def test_values_that_only_python_has_are_shown_as_text():
    tree = ConfigTree.from_python(
        {"loss": {"use": Interval, "weight": None, "betas": [None, Path("a")]}}, "Engine(...)"
    )
    assert show(tree) == [
        ("loss.use", "\"<class 'hookloop.interval.Interval'>\"", "Engine(...)"),
        ("loss.betas", '["None", "a"]', "Engine(...)"),
    ]
