from pathlib import Path

import pytest

from hookloop.policy import Policy, with_switches
from hookloop.requests import Request, read_python, read_requests

LINES = {"plugins.best": "run.toml:3", "plugins.best.enabled": "run.toml:5", "plugins.disable": "run.toml:1"}


def where(key):
    return LINES.get(key, "run.toml:9")


def only_problem(plugins):
    _, _, problems = read_requests(plugins, where)
    (problem,) = problems
    return str(problem)


def test_a_table_is_an_instance_and_the_reserved_keys_are_taken_out_of_it():
    table = {
        "use": "checkpoint",
        "enabled": False,
        "on_error": "warn",
        "before": ["csv"],
        "after": ["monitor"],
        "monitor": "val/f1",
        "deep": {"use": "kept"},
    }
    (request,), _, problems = read_requests({"best": table}, where)
    assert not problems
    assert request == Request(
        instance="best",
        use="checkpoint",
        table={"monitor": "val/f1", "deep": {"use": "kept"}},
        enabled=False,
        on_error="warn",
        before=("csv",),
        after=("monitor",),
        where="run.toml:3",
        enabled_where="run.toml:5",
        key="plugins.best",
    )


def test_an_empty_table_uses_the_plugin_of_its_own_name():
    (request,), _, _ = read_requests({"csv": {}}, where)
    assert (request.use, request.enabled, request.on_error, request.table) == ("csv", None, "raise", {})


def test_the_settings_of_all_plugins_become_the_policy():
    plugins = {"disable": ["csv"], "autoload": False, "order": ["best", "csv"], "best": {}}
    requests, policy, problems = read_requests(plugins, where)
    assert not problems
    assert [each.instance for each in requests] == ["best"]
    assert (policy.file_disable, policy.autoload, policy.order) == (("csv",), False, ("best", "csv"))
    assert policy.disable_where == "run.toml:1"


def test_a_relative_file_starts_from_the_directory_of_the_file_that_names_it(tmp_path):
    folders = {"plugins.mine.use": tmp_path}
    (request,), _, _ = read_requests({"mine": {"use": "own.py"}}, where, lambda key: folders.get(key, Path()))
    assert request.base == tmp_path


def test_a_name_that_toml_quotes_is_quoted_in_its_key():
    (request,), _, _ = read_requests({"my run": {}}, where)
    assert request.key == 'plugins."my run"'


@pytest.mark.parametrize(
    ("plugins", "problem"),
    [
        ({"disabled": ["x"]}, "run.toml:9: plugins.disabled: unknown setting. Did you mean 'disable'?"),
        (
            {"monitor": True},
            "run.toml:9: plugins.monitor: unknown setting. A plugin is switched on by a table: [plugins.monitor]",
        ),
        ({"disable": "csv"}, "run.toml:1: plugins.disable: must be a list of plugin names, not 'csv'."),
        ({"order": [1]}, "run.toml:9: plugins.order: must be a list of plugin names, not [1]."),
        ({"order": {}}, "run.toml:9: plugins.order: must be a list of plugin names, not {}."),
        ({"autoload": "no"}, "run.toml:9: plugins.autoload: must be true or false, not 'no'."),
        ({"best": {"enabled": "no"}}, "run.toml:5: plugins.best.enabled: must be true or false, not 'no'."),
        ({"best": {"on_error": "go on"}}, 'on_error: must be "raise", "warn" or "disable", not \'go on\'.'),
        ({"best": {"on_error": ["warn"]}}, 'on_error: must be "raise", "warn" or "disable", not [\'warn\'].'),
        ({"best": {"before": "csv"}}, "plugins.best.before: must be a list of plugin names, not 'csv'."),
        ({"best": {"use": 3}}, "must be the name of a plugin, path/to/file.py:attr or module:attr, not 3."),
        ({"best": {"use": ""}}, "must be the name of a plugin, path/to/file.py:attr or module:attr, not ''."),
    ],
)
def test_what_is_wrong_with_the_engines_own_keys_is_a_problem_at_its_line(plugins, problem):
    assert problem in only_problem(plugins)


def test_all_problems_of_a_file_come_at_once():
    plugins = {"autoload": 1, "one": {"enabled": 1}, "two": {"use": 1, "after": 1}, "three": 1}
    assert len(read_requests(plugins, where)[2]) == 5


class Guard:
    pass


def test_python_gives_names_pairs_classes_and_objects():
    guard = Guard()
    given = [
        "csv",
        ("best", {"use": "checkpoint", "every": 3}),
        Guard,
        guard,
        ("second", guard),
        "own.py:LrFinder",
        ("third", "csv"),
    ]
    requests, problems = read_python(given)
    assert not problems
    assert [(each.instance, each.use, each.target) for each in requests] == [
        ("csv", "csv", None),
        ("best", "checkpoint", None),
        ("guard", "guard", Guard),
        ("guard-2", "guard-2", guard),
        ("second", "second", guard),
        ("lr-finder", "own.py:LrFinder", None),
        ("third", "csv", None),
    ]
    assert requests[1].table == {"every": 3}
    assert requests[0].place == "Engine(plugins=...)"


def test_a_wrong_reserved_key_in_python_is_a_problem_too():
    _, (problem,) = read_python([("csv", {"enabled": "yes"})])
    assert str(problem) == "Engine(plugins=...): csv.enabled: must be true or false, not 'yes'."


def test_flags_and_environment_are_added_to_what_a_file_says():
    environment = {"HOOKLOOP_PLUGINS": "csv, monitor,", "HOOKLOOP_DISABLE_PLUGINS": "timing"}
    policy = with_switches(Policy(file_disable=("a",)), ["no:best", "own.py:X", "lr"], environment)
    assert policy == Policy(
        enable=("own.py:X", "lr"),
        disable=("best",),
        env_only=("csv", "monitor"),
        env_disable=("timing",),
        file_disable=("a",),
    )


def test_an_empty_allowlist_is_another_thing_than_none():
    assert with_switches(Policy(), [], {"HOOKLOOP_PLUGINS": ""}).env_only == ()
    assert with_switches(Policy(), [], {}).env_only is None
