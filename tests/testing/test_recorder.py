import pytest
import torch

from hookloop.hookspecs import SPECIFICATIONS
from hookloop.plan import spec_parameters


def test_the_recorder_implements_every_hook_of_the_specifications(hook_recorder, tiny_run):
    loaded = next(each for each in tiny_run.plan([hook_recorder]).plugins if each.plugin is hook_recorder)
    assert set(loaded.hooks) == set(spec_parameters())
    assert len(SPECIFICATIONS) > 1


def test_calls_are_recorded_in_order_with_the_counters_of_their_time(hook_recorder, tiny_run):
    tiny_run([hook_recorder], epochs=1, steps=2)
    hook_recorder.assert_order(
        "on_run_start", "prepare_model", "on_ready", "on_fit_start", "run_fit", "on_epoch_start",
        "on_step_start", "run_step", "on_step_end", "decide", "persist", "report", "on_step_start", "on_step_end",
        "on_train_epoch_end", "on_validation_start", "on_validation_end", "on_epoch_end", "report", "on_fit_end",
        "on_run_end",
    )  # fmt: skip
    assert [call.counters["step"] for call in hook_recorder.of("on_step_end")] == [1, 2]
    assert hook_recorder.count("on_step_start") == 2
    assert hook_recorder.names[-1] == "on_run_end"


def test_arguments_are_copies_outside_of_the_graph(hook_recorder, tiny_run):
    tiny_run([hook_recorder], epochs=1, steps=1)
    (call,) = hook_recorder.of("on_backward_start")
    assert call.arguments["loss"].grad_fn is None
    (metrics, *_) = (call.arguments["metrics"] for call in hook_recorder.of("on_metrics"))
    assert isinstance(metrics["train/loss"], float)
    assert hook_recorder.of("on_run_end")[0].arguments == {"outcome": "completed"}


def test_deferred_calls_are_kept_apart_as_they_have_no_place_in_the_order(hook_recorder, tiny_run):
    result = tiny_run([hook_recorder], epochs=1, steps=2)
    calls = hook_recorder.of("write_rows")
    assert [row for call in calls for row in call.arguments["rows"]] == result.history
    assert hook_recorder.count("write_rows") == len(calls) > 0
    assert "write_rows" not in hook_recorder.names
    with pytest.raises(ValueError, match=r"not the same in every run: look at .of\('write_rows'\)"):
        hook_recorder.assert_order("on_run_start", "write_rows")


def test_a_hook_without_a_run_is_recorded_as_well(hook_recorder):
    hook_recorder.add_commands("app")
    assert hook_recorder.of("add_commands")[0].arguments == {"app": "app"}


def test_recording_changes_nothing(hook_recorder, tiny_run):
    with_it, without = tiny_run([hook_recorder]), tiny_run()
    assert [row["train/loss"] for row in with_it.history if "train/loss" in row] == [
        row["train/loss"] for row in without.history if "train/loss" in row
    ]
    assert all(map(torch.equal, with_it.state["model"].values(), without.state["model"].values()))


def test_a_wrong_order_is_told_with_all_calls(hook_recorder, tiny_run):
    tiny_run([hook_recorder], epochs=1, steps=2)
    with pytest.raises(AssertionError, match=r"on_ready was not called after on_fit_start\. The calls: .*on_metrics"):
        hook_recorder.assert_order("on_fit_start", "on_ready")
    with pytest.raises(AssertionError, match=r"on_preempted was not called\. The calls"):
        hook_recorder.assert_order("on_preempted")


def test_a_name_that_is_no_hook_is_refused(hook_recorder):
    for ask in (hook_recorder.count, hook_recorder.of, hook_recorder.assert_order):
        with pytest.raises(ValueError, match=r"no hook 'on_stepp_end'\. Did you mean 'on_step_end'\?"):
            ask("on_stepp_end")
