"""Each plugin's pyproject.toml is complete and follows the rule of one word."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hookloop

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
ENGINE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)


def document_of(plugin):
    return tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))


def project_of(plugin):
    return document_of(plugin)["project"]


@each_plugin
def test_the_distribution_the_directory_and_the_module_have_one_name(plugin):
    module = plugin.name.replace("-", "_")
    assert project_of(plugin)["name"] == plugin.name
    assert document_of(plugin)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"src/{module}"]
    assert [path.name for path in (plugin / "src").iterdir()] == [module]


@each_plugin
def test_every_entry_point_is_a_word_and_lies_in_the_plugins_own_module(plugin):
    entry_points = project_of(plugin)["entry-points"]["hookloop"]
    word = plugin.name.removeprefix("hookloop-")
    # A single plugin is called like its package; a package of several is called after what they have in common.
    assert len(entry_points) > 1 or list(entry_points) == [word]
    for name, value in entry_points.items():
        assert name == canonicalize_name(name)
        assert value.partition(":")[0].partition(".")[0] == plugin.name.replace("-", "_")


@each_plugin
def test_the_metadata_is_complete(plugin):
    project = project_of(plugin)
    for key in ("version", "description", "readme", "license", "license-files", "requires-python", "keywords"):
        assert project[key], key
    assert "hookloop-plugin" in project["keywords"]
    assert project["license"] == ENGINE["license"]
    assert project["requires-python"] == ENGINE["requires-python"]
    assert (plugin / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert {*ENGINE["classifiers"]} == {*project["classifiers"]}


@each_plugin
def test_the_engine_that_it_needs_has_a_lower_and_an_upper_bound(plugin):
    (needed,) = (each for each in map(Requirement, project_of(plugin)["dependencies"]) if each.name == "hookloop")
    assert {each.operator for each in needed.specifier} == {">=", "<"}
    assert hookloop.__version__ in needed.specifier


@each_plugin
def test_every_dependency_has_a_lower_bound(plugin):
    for requirement in map(Requirement, project_of(plugin)["dependencies"]):
        assert ">=" in {each.operator for each in requirement.specifier}, requirement


@each_plugin
def test_what_is_installed_is_what_the_metadata_says(plugin):
    installed = distribution(plugin.name)
    assert installed.version == project_of(plugin)["version"]
    names = {each.name for each in installed.entry_points if each.group == "hookloop"}
    assert names == {*project_of(plugin)["entry-points"]["hookloop"]}


def test_no_plugin_name_is_taken_twice():
    names = [name for plugin in PLUGINS for name in project_of(plugin)["entry-points"]["hookloop"]]
    assert len(names) == len({*names})
