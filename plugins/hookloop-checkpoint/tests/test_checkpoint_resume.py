"""What the plugin remembers of the time before a resume: by its state, and by what is on disk."""

import os
import shutil
import signal

import pytest

from hookloop import snapshots

BEST = {"use": "checkpoint", "monitor": "val/score", "mode": "min", "keep_last": 2}


def train(tiny_run, directory, plugin, *others, options=BEST, resume=None, epochs=6, **keywords):
    plugins = [("best", options), plugin, *others]
    return tiny_run(plugins, run_dir=directory, epochs=epochs, validate_every="never", resume=resume, **keywords)


def train_and_crash(tiny_run, directory, plugin, failing_plugin, at_step, **keywords):
    with pytest.raises(Exception, match="boom"):
        train(tiny_run, directory, plugin, failing_plugin("on_step_end", at_step=at_step), **keywords)


@pytest.mark.parametrize("options", [BEST, {**BEST, "asynchronous": True}])
@pytest.mark.parametrize("crash_at", [4, 8, 16])
def test_a_crashed_and_resumed_run_keeps_what_one_that_never_crashed_keeps(
    tiny_run, scores, steps, failing_plugin, tmp_path, options, crash_at
):
    """Lightning#4911, #18687: after a resume the bookkeeping of the best is lost, or deletes the old run's file."""
    values = [0.5, 0.1, 0.3, 0.2, 0.1, 0.4]
    whole = train(tiny_run, tmp_path / "whole", scores(values), options=options)
    train_and_crash(tiny_run, tmp_path / "run", scores(values), failing_plugin, crash_at, options=options)
    resumed = train(tiny_run, tmp_path / "run", scores(values), options=options, resume=True)
    assert steps(tmp_path / "run", "best") == steps(tmp_path / "whole", "best") == [6, 15, 18]
    assert resumed.best_checkpoint.name == whole.best_checkpoint.name == "step-00000006"
    saved, expected = (each.state["plugins"]["best"]["state"]["monitor"] for each in (resumed, whole))
    assert saved == expected


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_validation_that_a_signal_cut_short_counts_for_the_snapshot_once_it_is_made_up(
    tiny_run, acting, tmp_path, epoch
):
    """The validation is owed to the resumed run, and so is the value of the snapshot that was saved without it."""

    def preempt(run):
        if run.epoch == epoch and run.attempt == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    plugins = [("best", {**BEST, "monitor": "val/loss"}), acting("on_validation_batch_start", preempt)]
    preempted = tiny_run(plugins, run_dir=tmp_path / "run", epochs=3)
    assert (preempted.outcome, preempted.epoch) == ("preempted", epoch)
    resumed = tiny_run(plugins, run_dir=tmp_path / "run", epochs=3, resume=True)
    whole = tiny_run(plugins[:1], epochs=3)
    assert ranking_of(resumed) == ranking_of(whole)
    manifests = [
        {each.step: each.metrics["val/loss"] for each in snapshots.find(run.directory)} for run in (resumed, whole)
    ]
    assert manifests[0] == manifests[1]


def test_the_first_epoch_after_a_resume_is_not_the_best_for_being_the_first(tiny_run, scores, failing_plugin, tmp_path):
    """skorch#267: the first epoch after a reload is always the best."""
    train_and_crash(tiny_run, tmp_path / "run", scores([0.1, 9, 9]), failing_plugin, 5, epochs=3)
    resumed = train(tiny_run, tmp_path / "run", scores([0.1, 9, 9]), resume=True, epochs=3)
    assert resumed.best_checkpoint.name == "step-00000003"


def test_the_best_is_known_by_the_state_alone_in_a_new_directory(tiny_run, scores, tmp_path):
    first = train(tiny_run, tmp_path / "one", scores([0.1, 0.2]), epochs=2)
    resumed = train(tiny_run, tmp_path / "two", scores([0.1, 0.2, 0.3]), epochs=3, resume=first.last_checkpoint)
    assert resumed.best_checkpoint is None
    assert [each["name"] for each in ranking_of(resumed)] == ["step-00000003"]


def ranking_of(result):
    return result.state["plugins"]["best"]["state"]["monitor"]["ranking"]


def test_the_best_is_known_by_the_disk_alone_when_the_plugin_joins_a_resumed_run(tiny_run, scores, tmp_path, caplog):
    """The state may be older than what is on disk, or of a run that did not have this plugin."""
    first = train(tiny_run, tmp_path / "run", scores([0.1, 0.2]), epochs=2)
    state = {**first.state, "plugins": {name: each for name, each in first.state["plugins"].items() if name != "best"}}
    resumed = train(tiny_run, tmp_path / "run", scores([0.1, 0.2, 0.3]), epochs=3, resume=state)
    assert "plugin 'best' has no state in this checkpoint" in caplog.text
    assert resumed.best_checkpoint.name == "step-00000003"


def test_nothing_outside_of_its_own_directory_is_ever_removed(tiny_run, scores, steps, tmp_path):
    """Lightning PR#12225: a resume elsewhere removed the best of the run that it came from."""
    first = train(tiny_run, tmp_path / "one", scores([0.5, 0.4]), epochs=2)
    train(tiny_run, tmp_path / "two", scores([0, 0, 0.1, 0.05, 0.02]), epochs=5, resume=first.last_checkpoint)
    assert steps(tmp_path / "one", "best") == [3, 6]
    assert steps(tmp_path / "two", "best") == [12, 15]


def test_the_best_of_what_is_left_is_the_best_when_the_best_is_gone(tiny_run, scores, steps, failing_plugin, tmp_path):
    train_and_crash(tiny_run, tmp_path / "run", scores([0.1, 0.5, 0.6, 0.7]), failing_plugin, 11, epochs=4)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "best" / "step-00000003")
    resumed = train(tiny_run, tmp_path / "run", scores([0.1, 0.5, 0.6, 0.7]), resume=True, epochs=4)
    assert resumed.best_checkpoint.name == "step-00000006"
    assert steps(tmp_path / "run", "best") == [6, 9, 12]


def test_a_snapshot_that_was_lost_at_the_end_is_saved_with_its_metrics_when_the_run_is_resumed(
    tiny_run, scores, tmp_path
):
    """Killed after one instance had saved the end and before the other had: the run is complete, its best is not."""
    other = ("other", {"use": "checkpoint", "every": "1 epoch"})
    whole = train(tiny_run, tmp_path / "run", scores([0.5, 0.1]), other, epochs=2)
    shutil.rmtree(whole.best_checkpoint)
    resumed = train(tiny_run, tmp_path / "run", scores([0.5, 0.1]), other, epochs=2, resume=True)
    assert resumed.best_checkpoint.name == "step-00000006"
    assert snapshots.read_manifest(resumed.best_checkpoint).metrics["val/score"] == 0.1


def test_a_ranking_by_another_metric_is_not_taken_over(tiny_run, scores, tmp_path):
    first = train(tiny_run, tmp_path / "run", scores([0.1, 0.2]), epochs=2)
    options = {**BEST, "monitor": "val/f1", "mode": "max"}
    resumed = train(
        tiny_run, tmp_path / "run", scores([1, 1, 0.7], "val/f1"), options=options, epochs=3, resume=first.state
    )
    assert resumed.best_checkpoint.name == "step-00000009"


def test_a_damaged_newest_is_named_set_aside_and_the_one_before_goes_on(
    tiny_run, scores, saved, hidden, failing_plugin, tmp_path, caplog
):
    """transformers#35782, #35525: the newest directory is incomplete, and resuming crashes until it is removed."""
    values = [0.5, 0.1, 0.3, 0.4]
    train_and_crash(tiny_run, tmp_path / "run", scores(values), failing_plugin, 10, epochs=4)
    newest = tmp_path / "run" / "checkpoints" / "best" / "step-00000009"
    (newest / "model.pt").write_bytes((newest / "model.pt").read_bytes()[:-7])
    resumed = train(tiny_run, tmp_path / "run", scores(values), resume=True, epochs=4)
    assert "step-00000009 is damaged and not used: model.pt" in caplog.text
    assert saved(tmp_path / "run", "best") == ["step-00000006", "step-00000009", "step-00000012"]
    assert hidden(tmp_path / "run", "best") == [".bad-step-00000009"]
    assert resumed.best_checkpoint.name == "step-00000006"


def test_what_a_killed_process_was_writing_is_cleaned_up(tiny_run, hidden, failing_plugin, scores, tmp_path):
    """diffusion-pipe#159, NeMo-RL#3924: husks of a killed save stay, and look like the real thing."""
    train_and_crash(tiny_run, tmp_path / "run", scores([1] * 3), failing_plugin, 5, epochs=3)
    place = tmp_path / "run" / "checkpoints" / "best"
    for name in (".tmp-step-00000006-4194303-abc", ".trash-step-00000001-4194303-abc"):
        shutil.copytree(place / "step-00000003", place / name)
    train(tiny_run, tmp_path / "run", scores([1] * 3), resume=True, epochs=3)
    assert hidden(tmp_path / "run", "best") == []


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_run_that_takes_the_place_of_another_does_not_count_its_snapshots(
    tiny_run, scores, steps, tmp_path, overwrite
):
    train(tiny_run, tmp_path / "run", scores([0.1] * 4), epochs=4)
    for name in () if overwrite else ("config.toml", "run.json", "metrics.jsonl"):
        (tmp_path / "run" / name).unlink()
    replaced = train(tiny_run, tmp_path / "run", scores([0.5, 0.6]), epochs=2, overwrite=overwrite)
    assert steps(tmp_path / "run", "best") == [3, 6]
    assert replaced.best_checkpoint.name == "step-00000003"
    assert len(list((tmp_path / "run").rglob("*step-00000012"))) == 1
    assert snapshots.newest_valid(tmp_path / "run").step == 6


def test_a_resumed_run_that_is_complete_already_saves_nothing_again(tiny_run, scores, acting, tmp_path):
    train(tiny_run, tmp_path / "run", scores([0.1] * 2), epochs=2)
    saves = []
    count = acting("on_checkpoint_saved", lambda run: saves.append(run.step))
    result = train(tiny_run, tmp_path / "run", scores([0.1] * 2), count, epochs=2, resume=True)
    assert (saves, result.last_checkpoint.name) == ([], "step-00000006")


@pytest.mark.parametrize("every", ["2 steps", "1 epoch", "40 samples", "50 s"])
def test_a_resumed_run_saves_where_one_that_never_stopped_saves(
    tiny_run, steps, scores, failing_plugin, acting, fake_clock, tmp_path, every
):
    options = {**BEST, "every": every, "keep_last": "all", "final": False}
    keywords = {"options": options, "epochs": 4, "steps": 5}
    from hookloop.testing import FakeClock

    for directory in ("whole", "run"):
        clock = FakeClock()
        tick = acting("on_step_end", lambda run, clock=clock: clock.advance(10))
        if directory == "run":
            bomb = failing_plugin("on_step_end", at_step=13)
            with pytest.raises(Exception, match="boom"):
                train(tiny_run, tmp_path / directory, scores([1] * 4), tick, bomb, clock=clock, **keywords)
            keywords["resume"] = True
        train(tiny_run, tmp_path / directory, scores([1] * 4), tick, clock=clock, **keywords)
    assert steps(tmp_path / "run", "best") == steps(tmp_path / "whole", "best")
