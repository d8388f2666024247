"""Options that cannot work are refused before anything runs, and say what to write instead."""

import re

import pytest

from hookloop import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_last": 1}, "got 1, expected a number of at least 2, or 'all'"),
        ({"keep_last": 0}, "a number of at least 2"),
        ({"keep_last": True}, "got True"),
        ({"keep_last": "al"}, "got 'al'"),
        ({"every": "3 stepps"}, "unknown unit 'stepps'"),
        ({"every": 5}, "has no unit"),
        ({"mode": "max"}, "mode without a monitor"),
        ({"keep_best": 2, "only_best": True}, "keep_best, only_best without a monitor"),
        ({"monitor": "val/f1"}, "whether a low or a high 'val/f1' is good: mode = 'min' or mode = 'max'"),
        ({"monitor": "val/loss", "mode": "auto"}, "auto"),
        ({"monitor": "val/loss", "keep_best": 0}, "at least 1"),
        ({"name": "{stepp}"}, "Did you mean 'step'"),
        ({"on_failure": "ignore"}, "warn"),
        ({"keep_lats": 3}, "Did you mean 'keep_last'"),
    ],
)
def test_wrong_options_are_refused(tiny_run, options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        tiny_run([("checkpoint", options)])
    assert not tiny_run.directory.joinpath("run-1").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"keep_last": None},
        {"keep_last": "all"},
        {"monitor": "val/loss"},
        {"monitor": "val/f1", "mode": "max", "keep_best": 2, "better_than": 0.5, "only_best": True},
        {"every": "10 min"},
        {"every": "5000 samples"},
    ],
)
def test_right_options_are_taken(tiny_run, options):
    tiny_run.plan([("checkpoint", options)])


@pytest.mark.parametrize("options", [{"every": "never"}, {"keep_last": 3}, {"on_failure": "no"}])
def test_wrong_options_of_a_backup_are_refused(tiny_run, options):
    with pytest.raises(ConfigError, match="backup"):
        tiny_run.plan([("backup", options)])


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "two words"])
def test_an_instance_whose_name_no_directory_can_have_is_refused(tiny_run, name):
    with pytest.raises(Exception, match="saves into a directory of that name"):
        tiny_run([(name, {"use": "checkpoint"})])
    assert not list(tiny_run.directory.rglob("step-*"))
