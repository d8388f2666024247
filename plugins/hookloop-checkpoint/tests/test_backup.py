"""The plugin backup: there while it may be needed, gone when the run is complete."""

from contextlib import suppress

import pytest

from hookloop import PluginHookError, snapshots

EVERY_STEP = ("backup", {"every": "1 step"})


def test_the_newest_two_are_kept_while_the_run_goes_on(tiny_run, steps, acting, tmp_path):
    seen = []
    look = acting("report", lambda run: seen.append(steps(tmp_path / "run", "backup")))
    tiny_run([EVERY_STEP, look], epochs=1, steps=4, run_dir=tmp_path / "run", validate_every="never")
    assert seen == [[1], [1, 2], [2, 3], [3, 4], [3, 4]]


def test_five_minutes_are_the_default(tiny_run, steps, fake_clock, acting, tmp_path):
    tick = acting("on_step_end", lambda run: fake_clock.advance(100))
    seen = []
    look = acting("report", lambda run: seen.append(steps(tmp_path / "run", "backup")))
    plugins = ["backup", ("tick", tick), ("look", look)]
    tiny_run(plugins, clock=fake_clock, epochs=1, steps=7, run_dir=tmp_path / "run", validate_every="never")
    assert seen == [[], [], [3], [3], [3], [3, 6], [3, 6], [3, 6]]


def test_it_is_gone_when_the_run_is_complete_and_nothing_else_is(tiny_run, tmp_path):
    place = tmp_path / "run" / "checkpoints" / "backup"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("keep")
    (place / "step-00000099").mkdir()
    result = tiny_run([EVERY_STEP], epochs=1, run_dir=tmp_path / "run")
    assert result.last_checkpoint is None
    assert sorted(each.name for each in place.iterdir()) == ["mine.txt", "step-00000099"]


def test_an_empty_directory_goes_with_it(tiny_run):
    result = tiny_run([EVERY_STEP], epochs=1)
    assert not (result.directory / "checkpoints").exists()


def test_the_snapshots_of_others_stay_and_are_told(tiny_run, steps):
    result = tiny_run([EVERY_STEP, ("checkpoint", {})], epochs=2)
    assert steps(result.directory) == [3, 6]
    assert result.last_checkpoint.parent.name == "checkpoint"


@pytest.mark.parametrize("ending", ["stopped", "failed", "interrupted"])
def test_it_stays_when_the_run_is_not_complete(tiny_run, steps, acting, failing_plugin, ending):
    """keras#21771: BackupAndRestore deletes its whole directory, also after a NaN stop (1.4)."""
    plugin = {
        "stopped": acting("decide", lambda run: run.request_stop("the loss is NaN"), at_step=2),
        "failed": failing_plugin("on_step_end", at_step=3),
        "interrupted": failing_plugin("on_step_end", KeyboardInterrupt(), at_step=3),
    }[ending]
    outcomes = []
    end = acting("on_run_end", lambda run: outcomes.append(run.outcome))
    with suppress(PluginHookError, KeyboardInterrupt):
        tiny_run([EVERY_STEP, ("other", plugin), ("end", end)], epochs=2)
    assert outcomes == [ending]
    assert steps(tiny_run.directory / "run-1", "backup") == [1, 2]


def test_a_crashed_run_goes_on_in_the_middle_of_its_epoch(tiny_run, failing_plugin, acting, tmp_path):
    """Keras restores the epoch only: its batches are trained twice, with weights of its middle (1.4)."""
    trained = []
    watch = acting("on_step_end", lambda run: trained.append((run.epoch, run.batch_index)))
    with pytest.raises(Exception, match="boom"):
        tiny_run(
            [EVERY_STEP, ("watch", watch), failing_plugin("on_step_start", at_step=4)],
            epochs=2, steps=3, run_dir=tmp_path / "run",
        )  # fmt: skip
    result = tiny_run([EVERY_STEP, ("watch", watch)], epochs=2, steps=3, run_dir=tmp_path / "run", resume=True)
    assert trained == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert (result.outcome, result.step, result.epoch) == ("completed", 6, 2)
    assert snapshots.find(tmp_path / "run") == []


def test_a_second_fit_of_the_same_object_starts_from_the_beginning(tiny_run):
    """Keras: the restored epoch sticks to the model, and a later fit trains fewer epochs (1.4)."""
    from hookloop_checkpoint import Backup

    plugin = Backup(Backup.Config(every="2 steps"))
    first, second = (tiny_run([("backup", plugin)], epochs=2) for _ in range(2))
    assert (first.step, second.step) == (6, 6)


def test_an_evaluation_that_completes_after_a_stopped_fit_leaves_the_backup(tiny_run, steps, acting):
    stop = acting("on_step_end", lambda run: run.request_stop("enough"), at_step=2)
    result = tiny_run([EVERY_STEP, stop], commands=("fit", "validate"))
    assert result.outcome == "completed"
    assert steps(result.directory, "backup") == [1, 2]
