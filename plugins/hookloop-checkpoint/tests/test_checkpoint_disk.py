"""Full, broken and vanished disks: what was saved stays, the message says what happened, and the policy decides."""

import os
import resource
import shutil
from types import SimpleNamespace

import pytest

from hookloop import PluginHookError, hookimpl, snapshots


class FullDisk:
    """Lets no file grow beyond a kilobyte while the run saves at *steps*: a real error of the operating system."""

    role = "observer"

    def __init__(self, steps):
        self.steps = steps
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @hookimpl(trylast=True)
    def decide(self, run):
        if run.step in self.steps:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, self.before[1]))

    @hookimpl
    def report(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)

    @hookimpl
    def on_fit_end(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def options(**more):
    return {"every": "1 step", "keep_last": 2, "final": False, **more}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_training_goes_on_and_the_end_repeats_what_went_wrong(tiny_run, steps, hidden, messages, asynchronous):
    plugins = [("checkpoint", options()), FullDisk((3, 4))]
    result = tiny_run(plugins, epochs=1, steps=4)
    assert result.outcome == "completed"
    assert steps(result.directory) == [1, 2]
    assert hidden(result.directory) == []
    first, second = messages("ERROR")
    assert "the snapshot of step 3 was not written, training goes on" in first
    assert "File too large" in first
    assert "It needs about" in first
    assert "Snapshots that were saved before are untouched" in second
    (summary,) = messages()
    assert "checkpoint: 2 snapshots were not written; the last of them, step 4" in summary


def test_once_there_is_room_again_it_saves_again(tiny_run, steps):
    result = tiny_run([("checkpoint", options()), FullDisk((3, 4))], epochs=1, steps=6)
    assert steps(result.directory) == [5, 6]


def test_the_end_is_saved_when_the_last_save_failed(tiny_run, steps):
    result = tiny_run([("checkpoint", options(final=True)), FullDisk((6,))], epochs=1, steps=6)
    assert steps(result.directory) == [5, 6]


def test_a_run_can_be_stopped_by_it_and_says_why(tiny_run, steps):
    result = tiny_run([("checkpoint", options(on_failure="stop")), FullDisk((3,))], epochs=1, steps=9)
    assert (result.outcome, result.step) == ("stopped", 4)
    assert "checkpoint: the snapshot of step 3 was not written" in result.stop_reason
    assert "File too large" in result.stop_reason
    assert 2 in steps(result.directory)


def test_a_run_can_fail_by_it(tiny_run, steps):
    with pytest.raises(
        PluginHookError, match=r"plugin 'checkpoint' .* persist failed at step 3: SnapshotError: the snap"
    ):
        tiny_run([("checkpoint", options(on_failure="raise")), FullDisk((3,))], epochs=1, steps=9)
    assert steps(tiny_run.directory / "run-1") == [1, 2]


def test_what_a_full_disk_hides_does_not_hide_the_error_of_the_run(tiny_run, failing_plugin, messages):
    bomb = failing_plugin("decide", RuntimeError("the true error"), at_step=3)
    plugins = [("checkpoint", options(on_failure="raise", on_exception=True, every="2 steps")), FullDisk((3,)), bomb]
    with pytest.raises(Exception, match="the true error"):
        tiny_run(plugins, epochs=1, steps=9)
    assert steps_of(tiny_run.directory / "run-1") == [2, 3]


def steps_of(directory):
    return sorted(each.step for each in snapshots.find(directory))


def test_a_disk_without_room_is_known_before_anything_is_written(tiny_run, messages, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, used=10**9 - 100, free=100))
    result = tiny_run([("checkpoint", options(every="1 epoch"))], epochs=1)
    (message,) = messages("ERROR")
    assert "No space left on device" in message
    assert "0.0 MB are free" in message
    assert not list(result.directory.rglob("*.pt"))


def test_a_run_directory_that_vanishes_is_not_made_anew_and_may_come_back(tiny_run, steps, acting, tmp_path, messages):
    run_dir, away = tmp_path / "run", tmp_path / "away"
    leave = acting("on_step_end", lambda run: run_dir.rename(away), at_step=3)
    came_back = acting("on_step_end", lambda run: away.rename(run_dir), at_step=5)
    plugins = [("checkpoint", options()), ("leave", leave), ("return", came_back)]
    result = tiny_run(plugins, epochs=1, steps=5, run_dir=run_dir)
    assert result.outcome == "completed"
    assert [f"the snapshot of step {step}" in each for step, each in zip((3, 4), messages("ERROR"), strict=True)] == [
        True,
        True,
    ]
    assert steps(run_dir) == [2, 5]


def test_something_else_in_the_place_of_the_directory_is_told(tiny_run, messages, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("not a directory")
    result = tiny_run([("checkpoint", options())], epochs=1, steps=1, run_dir=tmp_path / "run")
    assert result.outcome == "completed"
    assert "was not written" in messages("ERROR")[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_read_only_is_told(tiny_run, messages, acting, tmp_path):
    place = tmp_path / "run" / "checkpoints" / "checkpoint"
    lock = acting("on_step_end", lambda run: place.chmod(0o500), at_step=2)
    tiny_run([("checkpoint", options()), lock], epochs=1, steps=2, run_dir=tmp_path / "run")
    place.chmod(0o700)
    assert "Permission denied" in messages("ERROR")[0]


def test_a_backup_has_the_same_policies(tiny_run, messages):
    result = tiny_run([("backup", {"every": "1 step", "on_failure": "stop"}), FullDisk((2,))], epochs=1, steps=9)
    assert (result.outcome, result.step) == ("stopped", 3)
    assert "backup: the snapshot of step 2 was not written" in result.stop_reason
