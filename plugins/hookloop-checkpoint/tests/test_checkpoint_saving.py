"""When the plugin saves, what, and under which name."""

import pytest
import torch

from hookloop import hookimpl, snapshots


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("1 epoch", [4, 8, 12]),
        ("2 epochs", [8, 12]),
        ("3 steps", [3, 6, 9, 12]),
        ("5 steps", [5, 10, 12]),
        ("48 samples", [8, 12]),
        ("1 hour", [12]),
    ],
)
def test_it_saves_as_often_as_it_says_and_at_the_end(tiny_run, steps, every, expected):
    result = tiny_run([("checkpoint", {"every": every, "keep_last": "all"})], epochs=3, steps=4)
    assert steps(result.directory) == expected
    assert result.last_checkpoint == result.directory / "checkpoints" / "checkpoint" / "step-00000012"


def test_counts_do_not_drift_whatever_the_accumulation(tiny_run, steps):
    """Keras ModelCheckpoint(save_freq=3) with steps_per_execution=2 saves after 4 and 8 (1.3)."""
    result = tiny_run(
        [("checkpoint", {"every": "3 steps", "keep_last": "all", "final": False})], steps=11, epochs=1, accumulate=2
    )
    assert steps(result.directory) == [3, 6, 9]


def test_time_is_that_of_the_run(tiny_run, steps, fake_clock, acting):
    tick = acting("on_step_end", lambda run: fake_clock.advance(20))
    options = {"every": "1 min", "keep_last": "all", "final": False}
    result = tiny_run([("checkpoint", options), tick], clock=fake_clock, epochs=2, steps=5)
    assert steps(result.directory) == [3, 6, 9]


def test_an_epoch_is_saved_once_it_is_counted_with_its_validation(tiny_run):
    result = tiny_run([("checkpoint", {"keep_last": "all"})], epochs=2)
    first = snapshots.read_manifest(result.directory / "checkpoints" / "checkpoint" / "step-00000003")
    assert (first.epoch, first.step, first.kind, first.instance) == (1, 3, "resumable", "checkpoint")
    assert {"train/loss", "val/loss"} <= {*first.metrics}


def test_the_same_state_is_not_saved_twice_at_the_end(tiny_run, acting):
    saves = []
    count = acting("on_checkpoint_saved", lambda run: saves.append(run.step))
    tiny_run([("checkpoint", {"every": "1 epoch"}), count], epochs=2)
    assert saves == [3, 6]


def test_a_run_that_max_steps_ends_in_mid_epoch_is_saved_exactly_once(tiny_run, acting):
    """As TorchTNT's own test of a run whose max_steps end in mid-epoch (anchors, section 3)."""
    saves = []
    count = acting("on_checkpoint_saved", lambda run: saves.append(run.step))
    tiny_run([("checkpoint", {"every": "5 steps"}), count], steps=4, max_steps=5)
    assert saves == [5]


def test_a_stopped_run_is_saved_where_it_stopped(tiny_run, steps, acting):
    stop = acting("decide", lambda run: run.request_stop("enough"), at_step=2)
    result = tiny_run([("checkpoint", {}), stop], steps=5)
    assert (result.outcome, steps(result.directory)) == ("stopped", [2])


def test_without_final_the_end_is_not_saved(tiny_run, steps):
    result = tiny_run([("checkpoint", {"every": "4 steps", "final": False})], epochs=2)
    assert steps(result.directory) == [4]


def test_it_saves_when_somebody_asks_also_when_it_is_not_due(tiny_run, steps, acting):
    ask = acting("on_step_end", lambda run: run.request_save("I want one"), at_step=2)
    result = tiny_run([("checkpoint", {"final": False, "every": "1 hour"}), ask], epochs=2)
    assert steps(result.directory) == [2]


def test_what_was_saved_before_a_failure_stays(tiny_run, steps, failing_plugin):
    with pytest.raises(Exception, match="boom"):
        tiny_run([("checkpoint", {"every": "2 steps"}), failing_plugin("on_step_end", at_step=5)], epochs=2)
    assert steps(tiny_run.directory / "run-1") == [2, 4]


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_evaluation_saves_nothing_and_removes_nothing(tiny_run, saved, command):
    plugins = [("checkpoint", {"every": "1 step"}), ("backup", {"every": "1 step"})]
    tiny_run(plugins, commands=(command,))
    assert saved(tiny_run.directory / "run-1") == saved(tiny_run.directory / "run-1", "backup") == []
    result = tiny_run(plugins, commands=("fit", command))
    assert len(saved(result.directory)) == 3


def test_a_snapshot_holds_the_whole_state_of_its_step(tiny_run):
    result = tiny_run([("checkpoint", {})])
    state = snapshots.read(result.last_checkpoint)
    assert {"model", "optimizers", "plugins", "rng", "counters", "data", "fingerprint"} <= {*state}
    for name, tensor in result.state["model"].items():
        assert torch.equal(state["model"][name], tensor)


def test_weights_only_are_the_model_and_nothing_to_resume_from(tiny_run):
    result = tiny_run([("checkpoint", {"weights_only": True, "every": "2 steps"})])
    snapshot = snapshots.read_manifest(result.last_checkpoint)
    assert snapshot.kind == "weights"
    assert snapshot.step == 6
    assert {*snapshots.read(result.last_checkpoint)} == {"format", "counters", "model", "metrics", "fingerprint"}


@pytest.mark.parametrize("metric", ["val/loss", "val-loss", "val.loss@0.5", "../../loss"])
def test_a_metric_of_any_name_in_a_template_breaks_nothing(tiny_run, scores, saved, steps, metric):
    """TorchTNT: a metric named val-loss or val/loss makes directories that no restore finds (4.1 item 6)."""
    options = {"name": f"epoch-{{epoch}}-{{{metric}:.2f}}", "monitor": metric, "mode": "min"}
    result = tiny_run([("checkpoint", options), scores([0.5, 0.25], metric)], validate_every="never")
    assert saved(result.directory) == ["epoch-1-0.50", "epoch-2-0.25"]
    assert steps(result.directory) == [3, 6]
    assert result.best_checkpoint.name == "epoch-2-0.25"


def test_a_metric_of_a_template_that_is_never_logged_costs_no_snapshot(tiny_run, saved, messages):
    result = tiny_run([("checkpoint", {"name": "{val/accuracy:.3f}"})])
    assert saved(result.directory) == ["step-00000003", "step-00000006"]
    (message,) = messages()
    assert "there is no metric 'val/accuracy' yet" in message
    assert "Metrics so far: train/loss, val/loss" in message


def test_a_template_that_always_says_the_same_never_replaces_another_step(tiny_run, saved):
    result = tiny_run([("checkpoint", {"name": "model", "keep_last": "all"})], epochs=3)
    assert saved(result.directory) == ["model", "model-step-00000006", "model-step-00000009"]


def test_a_file_or_directory_of_somebody_else_is_not_touched(tiny_run, saved, tmp_path):
    place = tmp_path / "run" / "checkpoints" / "checkpoint"
    (place / "step-00000003").mkdir(parents=True)
    (place / "step-00000003" / "thesis.txt").write_text("all of it")
    (place / "notes").mkdir()
    tiny_run([("checkpoint", {"every": "1 step", "keep_last": 2})], epochs=2, run_dir=tmp_path / "run")
    assert (place / "step-00000003" / "thesis.txt").read_text() == "all of it"
    assert saved(tmp_path / "run") == ["notes", "step-00000003", "step-00000005", "step-00000006"]


def test_only_the_newest_are_kept_and_nothing_half_is_left(tiny_run, saved, hidden):
    result = tiny_run([("checkpoint", {"every": "1 step", "keep_last": 3})], epochs=3)
    assert saved(result.directory) == ["step-00000007", "step-00000008", "step-00000009"]
    assert hidden(result.directory) == []


def test_an_old_snapshot_goes_only_when_the_new_one_is_durable(tiny_run, saved, acting, tmp_path):
    """KempnerForge#102, SkyRL#2145: the old one was pruned before the new one was there."""
    seen = []
    look = acting("on_checkpoint_save", lambda run: seen.append(len(saved(tmp_path / "run"))))
    tiny_run([("checkpoint", {"every": "1 step", "keep_last": 2}), look], epochs=2, run_dir=tmp_path / "run")
    assert seen == [0, 1, 2, 2, 2, 2, 2]


def test_a_snapshot_that_cannot_be_removed_is_tried_again_after_the_next(tiny_run, saved, messages, monkeypatch):
    """TorchTNT #1084, #1085: what could not be removed is removed later."""
    refused = []

    def remove(path):
        if path.name == "step-00000001" and len(refused) < 2:
            refused.append(path)
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = snapshots.remove
    monkeypatch.setattr(snapshots, "remove", remove)
    result = tiny_run([("checkpoint", {"every": "1 step", "keep_last": 2})], epochs=2)
    assert saved(result.directory) == ["step-00000005", "step-00000006"]
    assert sum("cannot be removed, and is tried again later" in each for each in messages()) == 2


def test_the_state_that_a_failing_step_leaves_is_saved_for_a_look_only(tiny_run, failing_plugin):
    plugins = [("checkpoint", {"on_exception": True}), failing_plugin("on_backward_end", at_step=4)]
    with pytest.raises(Exception, match="boom"):
        tiny_run(plugins, epochs=3)
    directory = tiny_run.directory / "run-1"
    kinds = {each.path.name: (each.kind, each.step) for each in snapshots.find(directory)}
    assert kinds == {"step-00000003": ("resumable", 3), "exception-step-00000004": ("exception", 4)}
    assert snapshots.newest_valid(directory).step == 3


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("bad batch"), MemoryError()])
def test_whatever_training_fails_with_is_saved_and_comes_out(tiny_run, steps, failing_plugin, error):
    """TorchTNT: SystemExit never reaches on_exception (4.1 item 1)."""
    plugins = [
        ("checkpoint", {"on_exception": True, "every": "1 hour"}),
        failing_plugin("on_step_end", error, at_step=2),
    ]
    with pytest.raises((SystemExit, Exception)) as caught:
        tiny_run(plugins)
    assert error in (caught.value, caught.value.__cause__)
    assert steps(tiny_run.directory / "run-1") == [2]


def test_a_second_ctrl_c_saves_nothing_as_it_means_at_once(tiny_run, steps, failing_plugin):
    plugins = [("checkpoint", {"on_exception": True}), failing_plugin("on_step_end", KeyboardInterrupt(), at_step=2)]
    with pytest.raises(KeyboardInterrupt):
        tiny_run(plugins)
    assert steps(tiny_run.directory / "run-1") == []


def test_an_error_is_not_hidden_when_its_state_cannot_be_saved(tiny_run, messages, failing_plugin):
    """Lightning#20187: what saving ran into hid the error. Lightning#21800: errors of saving were swallowed."""

    class Unsaveable:
        role = "observer"

        @hookimpl
        def on_run_end(self):
            pass

        def state_dict(self):
            return {"lock": object()}

        def load_state_dict(self, state):
            pass

    bomb = failing_plugin("on_step_end", RuntimeError("the true error"), at_step=2)
    with pytest.raises(Exception, match="the true error") as caught:
        tiny_run([("checkpoint", {"on_exception": True, "every": "1 hour"}), Unsaveable(), bomb])
    assert not any("lock" in note for note in getattr(caught.value, "__notes__", ()))
    (message,) = messages("ERROR")
    assert "checkpoint: the state of the failed step was not saved" in message
    assert "lock" in message


def test_a_run_that_fails_before_training_saves_nothing(tiny_run, saved, failing_plugin):
    with pytest.raises(Exception, match="boom"):
        tiny_run([("checkpoint", {"on_exception": True}), failing_plugin("on_ready")])
    assert saved(tiny_run.directory / "run-1") == []


def test_the_same_object_can_save_two_runs(tiny_run, steps):
    from hookloop_checkpoint import Checkpoint

    plugin = Checkpoint(Checkpoint.Config(monitor="val/loss"))
    for epochs in (2, 1):
        result = tiny_run([("checkpoint", plugin)], epochs=epochs)
        assert steps(result.directory) == [3, 6][:epochs]
        assert result.best_checkpoint.is_relative_to(result.directory)
