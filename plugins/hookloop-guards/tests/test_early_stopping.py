"""The plugin in runs: when it stops, which weights it leaves, and what a resumed run knows."""

import math
from types import SimpleNamespace

import pytest
import torch

from hookloop import PluginHookError
from hookloop_guards import EarlyStopping

NAN = math.nan


def stopping(**options):
    return "early-stopping", {"monitor": "val/score", "mode": "min", "patience": 2, **options}


def weights_of(result):
    return {name: value.clone() for name, value in result.state["model"].items()}


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture
def trained(acting):
    """The weights at the end of each epoch, by its number from 1: at the first boundary that counts it."""
    kept = {}
    return SimpleNamespace(
        kept=kept, plugin=("trained", acting("persist", lambda run: kept.setdefault(run.epoch, copied(run.model))))
    )


def test_it_stops_when_the_metric_does_not_improve(tiny_run, scores):
    result = tiny_run([scores([3, 2, 2, 2, 1, 0]), stopping()], epochs=6)
    assert (result.outcome, result.epoch) == ("stopped", 4)
    assert result.stop_reason == "val/score has not improved 2 times in a row; the best was 2"


def test_a_stop_at_the_end_of_an_epoch_validates_once_and_not_again(tiny_run, scores, hook_recorder):
    """TNT, 4.1, 3: a stop runs an evaluation of no steps, and counts an epoch that is not complete."""
    tiny_run([scores([1, 2, 3]), stopping(), hook_recorder], epochs=3)
    assert hook_recorder.count("on_validation_start") == hook_recorder.count("on_epoch_end") == 3


def test_what_is_measured_before_start_from_is_ignored(tiny_run, scores):
    """1.1: s = 2, patience = 1, rising: stops at index 3."""
    assert tiny_run([scores([1, 2, 3, 4, 5]), stopping(start_from=2, patience=1)], epochs=5).epoch == 4
    assert tiny_run([scores([1, 2, 3, 4, 5]), stopping(start_from="2 epochs", patience=1)], epochs=5).epoch == 4
    assert tiny_run([scores([1, 2, 3, 4, 5]), stopping(start_from="7 steps", patience=1)], epochs=5).epoch == 4


def test_an_epoch_without_the_metric_is_no_check(tiny_run, scores):
    assert tiny_run([scores([1, None, 2, None, 3, 4]), stopping()], epochs=6).epoch == 5


@pytest.mark.parametrize("epochs", [5, 3])
def test_the_best_weights_are_restored_however_training_ended(tiny_run, scores, trained, epochs):
    """keras#12511: Keras once restored them only after a stop."""
    result = tiny_run([scores([3, 1, 2, 4, 5]), stopping(restore_best=True), trained.plugin], epochs=epochs)
    assert result.outcome == ("stopped" if epochs == 5 else "completed")
    assert same(weights_of(result), trained.kept[2])


def test_a_failed_run_keeps_the_weights_that_it_failed_with(tiny_run, scores, failing_plugin, acting):
    seen = []
    look = acting("on_run_end", lambda run: seen.append(copied(run.model)))
    last = acting("on_step_end", lambda run: seen.append(copied(run.model)))
    with pytest.raises(PluginHookError):
        tiny_run(
            [scores([1, 2]), stopping(restore_best=True), ("last", last), failing_plugin("on_step_end", at_step=5),
             ("look", look)], epochs=2,
        )  # fmt: skip
    assert same(seen[-1], seen[-2])


def test_nan_that_comes_first_is_not_restored(tiny_run, scores, trained):
    """Keras restores the epoch of the NaN (1.1)."""
    result = tiny_run([scores([NAN, 2, 1, 3, 4]), stopping(restore_best=True), trained.plugin], epochs=5)
    assert same(weights_of(result), trained.kept[3])


def test_nothing_but_nan_restores_nothing(tiny_run, scores, trained):
    result = tiny_run([scores([NAN] * 5), stopping(restore_best=True, patience=3), trained.plugin], epochs=5)
    assert result.epoch == 3
    assert same(weights_of(result), trained.kept[3])


@pytest.mark.parametrize("epochs_before", [1, 2, 3])
def test_a_resumed_run_knows_how_long_it_has_waited(tiny_run, scores, epochs_before):
    """TNT, 2.2 and transformers#28544: the patience begins anew on a resume."""
    values = [1, 2, 3, 4, 5, 6]
    plugins = [scores(values), stopping(patience=4, restore_best=True)]
    whole = tiny_run(plugins, epochs=6)
    begun = tiny_run(plugins, epochs=epochs_before)
    rest = tiny_run(plugins, epochs=6, resume=begun.state)
    assert (rest.epoch, rest.stop_reason) == (whole.epoch, whole.stop_reason) == (5, whole.stop_reason)
    assert same(weights_of(rest), weights_of(whole))
    assert same(rest.state["plugins"]["early-stopping"]["state"]["last_weights"]["model"],
                whole.state["plugins"]["early-stopping"]["state"]["last_weights"]["model"])  # fmt: skip


def test_another_patience_takes_effect_on_resume(tiny_run, scores):
    """Lightning's state overwrites the configured patience (1.1)."""
    values = [1, 2, 3, 4, 5, 6, 7]
    begun = tiny_run([scores(values), stopping(patience=2)], epochs=7)
    assert begun.epoch == 3
    rest = tiny_run([scores(values), stopping(patience=4)], epochs=7, resume=begun.state)
    assert rest.epoch == 5
    sooner = tiny_run([scores(values), stopping(patience=6)], epochs=4)
    assert tiny_run([scores(values), stopping(patience=1)], epochs=7, resume=sooner.state).epoch == 5


def test_a_run_that_was_stopped_trains_nothing_when_it_is_resumed_as_it_was(tiny_run, scores, messages):
    """transformers#28544: a resumed run that had stopped early trains on."""
    plugins = [scores([1, 2, 3, 4, 5]), stopping(restore_best=True)]
    begun = tiny_run(plugins, epochs=5)
    again = tiny_run(plugins, epochs=5, resume=begun.state)
    assert (again.outcome, again.epoch, again.step) == ("stopped", begun.epoch, begun.step)
    assert same(weights_of(again), weights_of(begun))
    assert "had been stopped early and nothing is trained" in messages()[0]
    longer = [scores([1, 2, 3, 4, 5]), stopping(restore_best=True, patience=3)]
    whole, rest = tiny_run(longer, epochs=5), tiny_run(longer, epochs=5, resume=again.state)
    assert rest.epoch == 4
    assert same(weights_of(rest), weights_of(whole))
    assert same(rest.state["optimizers"][0]["state"][0], whole.state["optimizers"][0]["state"][0])


def test_a_test_after_the_fit_sees_the_best_weights(tiny_run, scores, trained, acting):
    seen = []
    look = acting("on_test_start", lambda run: seen.append(copied(run.model)))
    plugins = [scores([3, 1, 2, 4]), stopping(restore_best=True), trained.plugin, ("look", look)]
    tiny_run(plugins, epochs=4, commands=("fit", "test"))
    assert same(seen[0], trained.kept[2])


def test_the_average_of_the_best_is_restored_with_it(tiny_run, scores, acting):
    """A metric that was measured on an average is the merit of that average."""
    averages = {}
    keep = acting("persist", lambda run: averages.setdefault(run.epoch, run.plugins["ema"].copy()["average"]))
    plugins = [stopping(restore_best=True), scores([3, 1, 2, 4]), ("ema", {"decay": 0.5}), ("keep", keep)]
    result = tiny_run(plugins, epochs=4)
    assert same(result.state["plugins"]["ema"]["state"]["average"], averages[2])


def test_the_state_of_another_metric_is_left(tiny_run, scores, messages):
    begun = tiny_run([scores([1, 2, 3]), stopping(patience=5)], epochs=3)
    plugins = [scores([1, 2, 3, 4, 5, 6], "val/other"), stopping(monitor="val/other")]
    assert tiny_run(plugins, epochs=6, resume=begun.state).epoch == 6
    assert "begins anew for 'val/other'" in messages()[0]


def test_two_instances_have_a_say_each(tiny_run, scores):
    """Lightning#16848: two EarlyStopping cannot be told apart."""
    first, second = stopping(patience=9), stopping(patience=9, stopping_threshold=2.5)
    plugins = [
        scores([5, 4, 3, 2, 1]),
        ("one", {"use": first[0], **first[1]}),
        ("two", {"use": second[0], **second[1]}),
    ]
    assert tiny_run(plugins, epochs=5).epoch == 4


def test_a_misspelt_monitor_fails_after_one_epoch_with_a_suggestion(tiny_run):
    """Keras warns in each epoch and never stops (1.1)."""
    with pytest.raises(PluginHookError, match=r"Did you mean 'val/loss'\?"):
        tiny_run([("early-stopping", {"monitor": "val/los", "mode": "min"})])


def test_a_misspelt_monitor_may_be_a_warning(tiny_run, messages):
    assert tiny_run([("early-stopping", {"monitor": "val/los", "mode": "min", "strict": False})]).outcome == "completed"
    assert len(messages()) == 1


def test_a_validation_metric_without_a_validation_is_refused_before_the_first_step(tiny_run):
    with pytest.raises(PluginHookError, match="no validation in this run"):
        tiny_run(["early-stopping"], validate_every="never")


def test_the_command_that_validates_counts_nothing(tiny_run):
    result = tiny_run([("early-stopping", {"patience": 1})], epochs=1, commands=("fit", "validate", "validate"))
    assert result.state["plugins"]["early-stopping"]["state"]["stopper"]["wait"] == 0


def test_one_object_can_be_used_for_two_runs(tiny_run, scores):
    plugin = EarlyStopping(EarlyStopping.Config(monitor="val/score", mode="min", patience=2))
    results = [tiny_run([scores([1, 2, 3, 4]), ("early", plugin)], epochs=4) for _ in range(2)]
    assert [each.epoch for each in results] == [3, 3]
