"""Which snapshots are the best, and what is kept of them."""

import math

import pytest

from hookloop import snapshots


def train(tiny_run, plugin, *options, epochs, **keywords):
    plugins = [(f"best{number or ''}", {"use": "checkpoint", **each}) for number, each in enumerate(options)]
    return tiny_run([*plugins, plugin], epochs=epochs, validate_every="never", **keywords)


@pytest.mark.parametrize(
    ("mode", "values", "best_epoch"),
    [
        ("min", [0.3, 0.1, 0.2, 0.4], 2),
        ("max", [0.3, 0.4, 0.2, 0.1], 2),
        ("min", [0.2, 0.2, 0.2, 0.2], 1),
        ("max", [0.0, -1.0, -2.0, -3.0], 1),
        ("min", [0.5, 0.0, 0.5, 0.5], 2),
    ],
)
def test_the_best_stays_beside_the_newest_and_is_told(tiny_run, scores, steps, mode, values, best_epoch):
    """TorchTNT: a best metric of exactly 0.0 counts as none (4.1 item 6)."""
    result = train(tiny_run, scores(values), {"monitor": "val/score", "mode": mode, "keep_last": 2}, epochs=len(values))
    assert result.best_checkpoint.name == f"step-{3 * best_epoch:08}"
    assert steps(result.directory, "best") == sorted({3 * best_epoch, 9, 12})
    assert result.last_checkpoint.name == "step-00000012"


def test_as_many_of_the_best_are_kept_as_asked_for(tiny_run, scores, steps):
    options = {"monitor": "val/score", "mode": "min", "keep_best": 2, "keep_last": 2}
    result = train(tiny_run, scores([0.01, 0.02, 0.001, 0.5, 0.6, 0.7]), options, epochs=6)
    assert steps(result.directory, "best") == [3, 9, 15, 18]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_finite_is_saved_and_never_the_best(tiny_run, scores, steps, mode, wrong):
    """TorchTNT: checkpoints whose metric is None or NaN ignore keep_last_n (4.1 item 6). Keras: a first NaN poisons."""
    values = [wrong, 0.5, wrong, wrong, wrong]
    result = train(tiny_run, scores(values), {"monitor": "val/score", "mode": mode, "keep_last": 2}, epochs=5)
    assert result.best_checkpoint.name == "step-00000006"
    assert steps(result.directory, "best") == [6, 12, 15]
    assert math.isclose(snapshots.read_manifest(result.best_checkpoint).metrics["val/score"], 0.5)


def test_only_what_is_not_finite_is_no_best_at_all(tiny_run, scores):
    result = train(tiny_run, scores([math.nan] * 2), {"monitor": "val/score", "mode": "min"}, epochs=2)
    assert result.best_checkpoint is None


def test_a_metric_that_is_missing_is_a_warning_that_names_those_that_exist(tiny_run, scores, steps, messages):
    """Keras ModelCheckpoint warns, and saves as if it were the best (1.3)."""
    result = train(tiny_run, scores([1, 2, 3], "val/f1"), {"monitor": "val/f2", "mode": "max"}, epochs=3)
    assert steps(result.directory, "best") == [3, 6, 9]
    assert result.best_checkpoint is None
    first, last = messages()
    assert "best: 'val/f2' was not measured at step 3" in first
    assert "Did you mean 'val/f1'? Metrics so far: train/loss, val/f1" in first
    assert "'val/f2' was not measured for 3 snapshots" in last


def test_a_value_belongs_to_the_weights_it_was_measured_on_and_to_no_others(tiny_run, scores, messages):
    """keras validation_freq=2: epochs without a validation have no val_ keys (1.0)."""
    options = {"monitor": "val/score", "mode": "min"}
    result = train(tiny_run, scores([None, 0.5, None, None]), options, epochs=4)
    assert result.best_checkpoint.name == "step-00000006"
    assert len(messages()) == 2
    assert "val/score" not in snapshots.read_manifest(result.last_checkpoint).metrics


def test_a_validation_right_after_a_save_counts_for_it(tiny_run, scores, saved, messages):
    """A step that ends an epoch is due before the validation of the same weights."""
    result = train(tiny_run, scores([0.5, 0.7]), {"monitor": "val/score", "mode": "min", "every": "3 steps"}, epochs=2)
    assert saved(result.directory, "best") == ["step-00000003", "step-00000006"]
    assert result.best_checkpoint.name == "step-00000003"
    assert snapshots.read_manifest(result.best_checkpoint).epoch == 1
    assert messages() == []


def test_the_best_can_be_looked_for_between_epochs_too(tiny_run, step_scores, steps):
    """Keras: an integer save_freq with save_best_only is a TypeError on the second save (1.3)."""
    options = {"monitor": "train/x", "mode": "min", "every": "2 steps", "keep_last": 2, "only_best": True}
    values = [9, 5, 9, 6, 9, 4, 9, 3, 1, 8]
    result = train(tiny_run, step_scores(values, "train/x"), options, epochs=1, steps=10)
    assert result.best_checkpoint.name == "step-00000008"
    assert steps(result.directory, "best") == [6, 8]


def test_a_threshold_is_the_first_value_to_beat(tiny_run, scores, steps):
    """Keras initial_value_threshold: of .6, .5, .4 with .5 only .4 is saved (1.3)."""
    options = {"monitor": "val/score", "mode": "min", "better_than": 0.5, "only_best": True}
    result = train(tiny_run, scores([0.6, 0.5, 0.4]), options, epochs=3)
    assert steps(result.directory, "best") == [9]


def test_only_best_saves_what_is_asked_for_all_the_same(tiny_run, scores, steps, acting):
    ask = acting("on_epoch_end", lambda run: run.request_save("now"), at_step=6)
    options = {"monitor": "val/score", "mode": "min", "only_best": True, "final": False}
    plugins = [("best", {"use": "checkpoint", **options}), scores([0.1, 0.2, 0.3]), ask]
    result = tiny_run(plugins, epochs=3, validate_every="never")
    assert steps(result.directory, "best") == [3, 6]
    assert result.best_checkpoint.name == "step-00000003"


def test_two_instances_keep_the_best_of_two_metrics_side_by_side(tiny_run, scores, steps):
    """Lightning#16848, #16962, #19097: two ModelCheckpoints of one trainer lose each other's state."""

    class Both(scores):
        from hookloop import hookimpl

        @hookimpl
        def on_epoch_end(self, run):
            run.log("val/loss", self.values[run.epoch - 1])
            run.log("val/f1", self.values[run.epoch - 1])

    values = [0.5, 0.1, 0.9, 0.4, 0.3]
    result = train(
        tiny_run,
        Both(values),
        {"monitor": "val/loss", "keep_last": 2},
        {"monitor": "val/f1", "mode": "max", "keep_last": 2},
        epochs=5,
    )
    assert steps(result.directory, "best") == [6, 12, 15]
    assert steps(result.directory, "best1") == [9, 12, 15]
    assert result.best_checkpoint == result.directory / "checkpoints" / "best" / "step-00000006"


def test_weights_only_can_be_the_best(tiny_run, scores):
    options = {"monitor": "val/score", "mode": "max", "weights_only": True, "only_best": True}
    result = train(tiny_run, scores([0.1, 0.9, 0.2]), options, epochs=3)
    assert snapshots.read_manifest(result.best_checkpoint).kind == "weights"
    assert result.best_checkpoint.name == "step-00000006"
