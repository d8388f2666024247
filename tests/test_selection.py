from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookloop.discovery import Candidate
from hookloop.policy import Policy, with_switches
from hookloop.requests import Request, read_python, read_requests
from hookloop.selection import decide, find_problems


def candidate(name, distribution="", version="1.0", **more):
    return Candidate(name, f"{name}:X", distribution or f"hookloop-{name}", version, **more)


CSV, CHECKPOINT, MONITOR = candidate("csv"), candidate("checkpoint"), candidate("monitor", autoload=True)
INSTALLED = (CHECKPOINT, CSV, MONITOR)


def decisions_of(plugins, *, flags=(), environment=None, installed=INSTALLED):
    requests, policy, problems = read_requests(plugins, lambda key: "run.toml:" + key.removeprefix("plugins."))
    assert not problems
    policy = with_switches(policy, flags, environment or {})
    return decide(installed, requests, policy, "0.1.0"), policy


def states(plugins, **more):
    return {each.instance: f"{each.state} {each.reason}".strip() for each in decisions_of(plugins, **more)[0]}


def problems_of(plugins, **more):
    return [str(each) for each in find_problems(*decisions_of(plugins, **more))]


def test_a_plugin_is_on_when_the_file_names_it_or_when_it_says_so_itself():
    assert states({"csv": {}}) == {
        "checkpoint": "available",
        "csv": "active by run.toml:csv",
        "monitor": "active by being installed",
    }


def test_what_is_on_is_wanted_and_nothing_else():
    decisions, _ = decisions_of({"csv": {}, "checkpoint": {"enabled": False}})
    assert {each.instance: each.wanted for each in decisions} == {"checkpoint": False, "csv": True, "monitor": True}


PRECEDENCE = [
    ({}, (), {}, "available"),
    ({"csv": {}}, (), {}, "active by run.toml:csv"),
    ({"csv": {"enabled": True}}, (), {}, "active by run.toml:csv"),
    ({"csv": {"enabled": False}}, (), {}, "disabled by run.toml:csv.enabled enabled = false"),
    ({"csv": {"enabled": True}, "disable": ["csv"]}, (), {}, "disabled by run.toml:disable disable"),
    ({}, (), {"HOOKLOOP_PLUGINS": "csv"}, "active by HOOKLOOP_PLUGINS"),
    ({"csv": {"enabled": False}}, (), {"HOOKLOOP_PLUGINS": "csv"}, "active by HOOKLOOP_PLUGINS"),
    ({"disable": ["csv"]}, (), {"HOOKLOOP_PLUGINS": "csv"}, "active by HOOKLOOP_PLUGINS"),
    ({"csv": {}}, (), {"HOOKLOOP_PLUGINS": "monitor"}, "disabled by HOOKLOOP_PLUGINS"),
    ({"csv": {}}, (), {"HOOKLOOP_PLUGINS": ""}, "disabled by HOOKLOOP_PLUGINS"),
    ({"csv": {"enabled": True}}, (), {"HOOKLOOP_DISABLE_PLUGINS": "csv"}, "disabled by HOOKLOOP_DISABLE_PLUGINS"),
    (
        {},
        (),
        {"HOOKLOOP_PLUGINS": "csv", "HOOKLOOP_DISABLE_PLUGINS": "csv"},
        "disabled by HOOKLOOP_DISABLE_PLUGINS",
    ),
    ({}, ("csv",), {}, "active by -p csv"),
    ({"csv": {"enabled": False}}, ("csv",), {}, "active by -p csv"),
    ({"disable": ["csv"]}, ("CSV",), {}, "active by -p CSV"),
    ({}, ("csv",), {"HOOKLOOP_PLUGINS": ""}, "active by -p csv"),
    ({}, ("csv",), {"HOOKLOOP_DISABLE_PLUGINS": "csv"}, "active by -p csv"),
    ({"csv": {"enabled": True}}, ("no:csv",), {}, "disabled by -p no:csv"),
    ({}, ("no:csv",), {"HOOKLOOP_PLUGINS": "csv"}, "disabled by -p no:csv"),
    ({}, ("no:csv", "csv"), {}, "disabled by -p no:csv"),
    ({}, ("csv", "no:csv"), {}, "disabled by -p no:csv"),
]


@pytest.mark.parametrize(("plugins", "flags", "environment", "state"), PRECEDENCE)
def test_the_highest_that_says_anything_wins_and_on_a_tie_off(plugins, flags, environment, state):
    assert states(plugins, flags=flags, environment=environment)["csv"] == state
    assert not problems_of(plugins, flags=flags, environment=environment)


@pytest.mark.parametrize(
    ("plugins", "flags", "state"),
    [
        ({"autoload": False}, (), "disabled by run.toml:autoload autoload = false"),
        ({"autoload": False, "monitor": {}}, (), "active by run.toml:monitor"),
        ({"autoload": False}, ("monitor",), "active by -p monitor"),
        ({"disable": ["monitor"]}, (), "disabled by run.toml:disable disable"),
        ({"monitor": {"enabled": False}}, (), "disabled by run.toml:monitor.enabled enabled = false"),
    ],
)
def test_a_plugin_that_is_on_by_being_installed_is_the_easiest_to_switch_off(plugins, flags, state):
    assert states(plugins, flags=flags)["monitor"] == state


TWO = {"checkpoint": {}, "best": {"use": "checkpoint"}}


def test_two_instances_of_one_plugin_are_two_decisions():
    decisions = {each.instance: each for each in decisions_of(TWO)[0]}
    assert decisions["best"].candidate == decisions["checkpoint"].candidate == CHECKPOINT
    assert decisions["best"].state == decisions["checkpoint"].state == "active"


def test_a_switch_takes_the_name_of_an_instance_or_of_a_plugin():
    by_instance, by_plugin = states(TWO, flags=["no:best"]), states(TWO, flags=["no:checkpoint"])
    assert by_instance["best"] == "disabled by -p no:best"
    assert by_instance["checkpoint"] == "active by run.toml:checkpoint"
    assert by_plugin["best"] == by_plugin["checkpoint"] == "disabled by -p no:checkpoint"


def test_switching_on_a_plugin_that_an_instance_uses_makes_no_second_one():
    plugins = {"best": {"use": "checkpoint", "enabled": False}}
    assert "checkpoint" not in states(plugins, flags=["checkpoint"])
    assert states(plugins, flags=["checkpoint"])["best"] == "active by -p checkpoint"


def test_a_table_takes_the_place_of_the_instance_that_being_installed_makes():
    assert "monitor" not in states({"gpu": {"use": "monitor"}})


def test_a_plugin_switched_on_without_a_table_has_default_options():
    decisions, _ = decisions_of({}, flags=["csv"], environment={"HOOKLOOP_PLUGINS": "checkpoint"})
    requests = {each.instance: each.request for each in decisions if each.wanted}
    assert requests == {
        "csv": Request("csv", use="csv", where="-p csv"),
        "checkpoint": Request("checkpoint", use="checkpoint", where="HOOKLOOP_PLUGINS"),
    }


def test_an_incompatible_plugin_is_told_from_its_metadata():
    old = candidate("old", requires=("hookloop>=2",))
    assert states({"old": {}}, installed=[old]) == {"old": "incompatible requires hookloop>=2, this is 0.1.0"}
    assert not decisions_of({}, installed=[old])[0][0].wanted
    assert states({}, flags=["no:old"], installed=[old]) == {"old": "disabled by -p no:old"}


def test_a_name_of_two_distributions_fails_and_names_both():
    both = [candidate("loss", "one", "1.0"), candidate("Loss", "two", "2.0")]
    reason = 'it is provided by one 1.0 and two 2.0: uninstall one, or say which with use = "loss:X" or use = "Loss:X"'
    decisions, _ = decisions_of({"loss": {}}, installed=both)
    assert [(each.state, each.reason, each.wanted) for each in decisions] == [("failed", reason, True)]
    unused, _ = decisions_of({}, installed=both)
    assert [(each.state, each.reason, each.wanted) for each in unused] == [("failed", reason, False)] * 2


def test_one_of_two_distributions_can_be_meant_by_its_value():
    both = [candidate("loss", "one"), candidate("loss", "two")]
    decisions, _ = decisions_of({"loss": {"use": "loss:X"}}, installed=both)
    assert [each.state for each in decisions] == ["active", "shadowed", "shadowed"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("csv.py").write_text("raise RuntimeError('imported')")
    return tmp_path


def test_a_file_takes_the_name_of_an_installed_plugin(folder):
    decisions, _ = decisions_of({}, flags=["csv.py"])
    ours = [(each.state, each.reason, each.candidate.source) for each in decisions if each.instance == "csv"]
    assert ours == [("active", "by -p csv.py", "file"), ("shadowed", "by -p csv.py", "entry point")]


def test_an_instance_with_another_use_takes_the_name_of_an_installed_plugin():
    decisions, _ = decisions_of({"csv": {"use": "checkpoint"}})
    ours = [(each.state, each.reason) for each in decisions if each.instance == "csv"]
    assert ours == [("active", "by run.toml:csv"), ("shadowed", "by run.toml:csv")]


def test_a_shadowed_plugin_is_not_on_by_being_installed():
    decisions, _ = decisions_of({"monitor": {"use": "csv", "enabled": False}})
    ours = sorted((each.state, each.wanted) for each in decisions if each.instance == "monitor")
    assert ours == [("disabled", False), ("shadowed", False)]


def test_a_file_on_the_command_line_takes_the_options_of_the_table_of_its_name(folder):
    decisions, policy = decisions_of({"csv": {"every": 3}}, flags=["csv.py"])
    ours = next(each for each in decisions if each.state == "active" and each.instance == "csv")
    assert (ours.request.table, ours.request.use, ours.candidate.source) == ({"every": 3}, "csv.py", "file")
    assert not find_problems(decisions, policy)


def test_a_file_that_the_command_line_and_a_table_name_is_one_plugin(folder):
    plugins = {"mine": {"use": "csv.py", "enabled": False}}
    assert states(plugins, flags=["csv.py"])["mine"] == "active by -p csv.py"


def test_an_object_given_in_python_is_described_by_its_class():
    requests, _ = read_python([Path("x")])
    (decision,) = decide([], requests, Policy(), "0.1.0")
    assert (decision.state, decision.reason) == ("active", "by Engine(plugins=...)")
    assert decision.candidate.distribution.startswith("pathlib")
    assert decision.request.target == Path("x")


def test_an_object_given_in_python_can_be_switched_off_by_name():
    requests, _ = read_python([("mine", object())])
    (decision,) = decide([], requests, Policy(env_disable=("mine",)), "0.1.0")
    assert decision.state == "disabled"


@pytest.mark.parametrize(
    ("plugins", "flags", "environment", "problem"),
    [
        ({"csw": {}}, (), {}, "run.toml:csw: plugins.csw: no plugin 'csw' is installed. Did you mean 'csv'?"),
        ({"x": {"use": "csw"}}, (), {}, "run.toml:x: plugins.x: no plugin 'csw' is installed. Did you mean 'csv'?"),
        ({"wandb": {}}, (), {}, "plugins.wandb: no plugin 'wandb' is installed: pip install hookloop-wandb"),
        ({}, ("csw",), {}, "-p csw: no plugin 'csw' is installed. Did you mean 'csv'?"),
        ({}, ("no:csw",), {}, "-p no:csw: no plugin 'csw' is installed. Did you mean 'csv'?"),
        ({}, ("missing.py",), {}, "-p missing.py: there is no file 'missing.py'."),
        ({}, (), {"HOOKLOOP_PLUGINS": "csw"}, "HOOKLOOP_PLUGINS: no plugin 'csw' is installed. Did you mean 'csv'?"),
        ({}, (), {"HOOKLOOP_DISABLE_PLUGINS": "csw"}, "HOOKLOOP_DISABLE_PLUGINS: no plugin 'csw' is installed."),
        ({"disable": ["csw"]}, (), {}, "run.toml:disable: plugins.disable: no plugin 'csw' is installed. Did you mean"),
        ({"order": ["csw"]}, (), {}, "run.toml:order: plugins.order: no plugin 'csw' is installed. Did you mean"),
        (
            {"first-one": {"use": "csv"}, "order": ["frst-one"]},
            (),
            {},
            "no plugin 'frst-one' is installed. Did you mean 'first-one'?",
        ),
    ],
)
def test_a_name_of_nothing_is_a_problem_wherever_it_stands(plugins, flags, environment, problem):
    (found,) = problems_of(plugins, flags=flags, environment=environment)
    assert problem in found


@pytest.mark.parametrize(
    ("plugins", "flags", "environment"),
    [
        ({"csw": {"enabled": False}}, (), {}),
        ({"csw": {}}, ("no:csw",), {}),
        ({"csw": {"use": "missing.py"}}, ("no:csw",), {}),
        ({"csw": {}}, (), {"HOOKLOOP_PLUGINS": "csv"}),
        ({"csv": {"before": ["csw"], "after": ["nothing"]}}, (), {}),
        ({"disable": ["wandb"], "order": ["tensorboard"]}, ("no:mlflow",), {"HOOKLOOP_DISABLE_PLUGINS": "trackio"}),
    ],
)
def test_a_name_of_nothing_that_is_off_or_only_a_wish_is_no_problem(plugins, flags, environment):
    assert not problems_of(plugins, flags=flags, environment=environment)


def test_two_instances_of_one_name_are_a_problem():
    (one, two) = problems_of({"lr-finder": {"use": "csv"}, "lr_finder": {"use": "csv"}})
    assert one == (
        "run.toml:lr-finder: plugins.lr-finder: more than one plugin is named 'lr-finder': "
        "each instance needs a name of its own."
    )
    assert two.startswith("run.toml:lr_finder")


def test_a_part_of_the_engine_is_always_on_and_takes_no_table():
    installed = [candidate("precision", "hookloop", source="built-in")]
    assert states({}, flags=["no:precision"], installed=installed) == {"precision": "active part of the engine"}
    assert problems_of({}, flags=["no:precision"], installed=installed) == [
        "-p no:precision: 'precision' is a part of the engine and cannot be switched off."
    ]
    (problem,) = problems_of({"precision": {}}, installed=installed)
    assert problem.endswith(
        "plugins.precision: 'precision' is a part of the engine: it has no options and is always on."
    )


names = st.lists(st.sampled_from(["csv", "checkpoint", "monitor", "best"]), unique=True)


@given(st.permutations(INSTALLED), names, names, names, names, st.none() | names)
def test_decisions_do_not_depend_on_the_order_of_what_is_installed(installed, tables, on, off, env_off, env_on):
    plugins = {name: {"use": "checkpoint"} if name == "best" else {} for name in tables}
    flags = [*on, *(f"no:{name}" for name in off)]
    environment = {"HOOKLOOP_DISABLE_PLUGINS": ",".join(env_off)}
    if env_on is not None:
        environment["HOOKLOOP_PLUGINS"] = ",".join(env_on)
    result, _ = decisions_of(plugins, flags=flags, environment=environment, installed=installed)
    again, _ = decisions_of(plugins, flags=flags, environment=environment)
    assert result == again
    assert not any(each.wanted for each in result if each.instance in off)
    assert all(each.state in ("active", "failed") for each in result if each.instance in set(on) - {*off, "best"})
