import pytest

from hookloop import PluginConfig, hookimpl
from hookloop.config import ConfigTree
from hookloop.draft import in_order_of_place, read_draft
from hookloop.errors import ConfigError, PluginConfigError, PluginLoadError, Problem
from hookloop.plan import make_plan
from hookloop.selection import read_python


class Sized:
    class Config(PluginConfig):
        size: int = 1
        """How large."""

    def __init__(self, config):
        raise AssertionError("a draft builds nothing")

    @hookimpl
    def report(self, run):
        pass


class Plain:
    @hookimpl
    def report(self, run):
        pass


def draft(data, *plugins):
    given, problems = read_python(plugins)
    assert not problems
    return read_draft(ConfigTree.from_python(data), given=given, environ={})


def test_a_draft_of_nothing_is_right_and_has_the_defaults():
    made = draft({})
    assert made.error() is None
    assert made.options.name == "run"
    assert dict(made.parts) == {"metrics": {}}


def test_a_draft_goes_on_after_a_mistake_and_builds_no_plugin():
    made = draft({"run": {"sed": 1}, "loss": {}, "tsk": {}}, ("sized", Sized))
    assert sorted(problem.key for problem in made.problems) == ["loss", "run.sed", "tsk"]
    assert "sized" in [each.decision.instance for each in made.checked]


def test_one_plugin_that_cannot_be_imported_is_its_own_error(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    data = {"plugins": {"broken": {"use": f"{tmp_path}/broken.py"}}}
    error = draft(data).error()
    assert isinstance(error, PluginLoadError)
    assert isinstance(error.__cause__, ModuleNotFoundError)
    with pytest.raises(PluginLoadError):
        make_plan(ConfigTree.from_python({**data, "task": {"use": "x:y"}}), environ={})


def test_several_mistakes_are_one_error_that_has_the_plugins_as_its_cause(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    data = {"plugins": {name: {"use": f"{tmp_path}/broken.py"} for name in ("one", "two")}}
    error = draft(data).error(Problem("", "task", "missing."))
    assert isinstance(error, ConfigError)
    assert [problem.message[:12] for problem in error.problems] == ["missing.", "plugin 'one'", "plugin 'two'"]
    assert isinstance(error.__cause__, ExceptionGroup)


def test_options_of_a_plugin_without_any_are_a_failure_of_its_own():
    made = draft({"plugins": {"plain": {"use": f"{__name__}:Plain", "size": 1}}})
    assert [type(error) for _, error in made.failures] in ([PluginConfigError], [PluginLoadError])


def test_a_missing_task_is_told_with_the_rest():
    with pytest.raises(ConfigError) as caught:
        make_plan(ConfigTree.from_python({"run": {"sed": 1}}), environ={})
    assert [problem.key for problem in caught.value.problems] == ["run.sed", "task"]


def test_a_quoted_name_with_a_dot_is_one_part_of_a_key():
    made = draft({"plugins": {"a.b": {"use": "no_such.py", "enabled": "yes"}}})
    assert {problem.where for problem in made.problems} == {"Python"}


def test_problems_are_in_the_order_of_the_file():
    places = ["b.toml:2", "a.toml:10", "--set", "a.toml:9"]
    ordered = in_order_of_place([Problem(place, "", "x") for place in places])
    assert [problem.where for problem in ordered] == ["a.toml:9", "a.toml:10", "b.toml:2", "--set"]
