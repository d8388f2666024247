"""Between two steps: what ends a run, when an interval is due, what is published, and who is asked in which order."""

import pytest
import torch

from hookloop import ConfigError, DataError, SkipEpoch, SupervisedTask, hookimpl
from hookloop.testing import tiny_task
from hookloop.testing.recorder import SPECS


def plugin(*methods, role="actor", name="Local", **marks):
    """Return a plugin whose hooks are *methods*, by their names."""
    return type(name, (), {"role": role, **{each.__name__: hookimpl(**marks)(each) for each in methods}})()


def stopping(hook, when=lambda run: True, reason="enough"):
    """Return a plugin that asks to stop in *hook* when *when* is true of the run."""

    def ask(self, run):
        if when(run):
            run.request_stop(reason)

    ask.__name__ = hook
    return plugin(ask)


class Unsized:
    """Batches without a length."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def unsized_task(batches=3):
    task = tiny_task(batches)
    return SupervisedTask(task.model, train=Unsized(task.train_loader()), val=task.val_loader())


# stops

BEFORE_THE_FIRST_BOUNDARY = """
    on_run_start prepare_model prepare_loader prepare_optimizer on_ready on_fit_start run_fit on_epoch_start run_epoch
    on_fetch_start on_fetch_end transfer_batch on_step_start run_step on_zero_grad on_batch_start on_forward_start
    run_forward on_forward_end transform_loss on_backward_start run_backward on_backward_end on_batch_end
    on_gradients_ready on_optimizer_step_start run_optimizer_step on_optimizer_step_end on_schedule_step on_step_end
    on_metrics decide
"""


@pytest.mark.parametrize("hook", BEFORE_THE_FIRST_BOUNDARY.split())
def test_a_stop_may_be_asked_for_in_any_hook_and_is_settled_at_the_next_boundary(tiny_run, hook_recorder, hook):
    plugins = [stopping(hook), hook_recorder]
    result = tiny_run(plugins, epochs=3, steps=3, schedule=("constant", {"unit": "step"}))
    assert (result.outcome, result.stop_reason) == ("stopped", "enough")
    assert (result.step, result.epoch) == (1, 0)
    assert hook_recorder.count("on_stop_requested") == 1
    assert hook_recorder.count("on_validation_start") == hook_recorder.count("on_epoch_end") == 0


@pytest.mark.parametrize("hook", ["persist", "report"])
def test_a_stop_that_is_asked_for_after_the_decision_waits_for_the_next_boundary(tiny_run, hook):
    result = tiny_run([stopping(hook)], epochs=3, steps=3)
    assert (result.outcome, result.step) == ("stopped", 2)


@pytest.mark.parametrize(
    "hook",
    [
        "on_data_exhausted", "on_train_epoch_end", "on_validation_start", "on_validation_batch_start",
        "on_validation_batch_end", "run_validation", "on_validation_end", "on_epoch_end",
    ],
)  # fmt: skip
def test_a_stop_at_the_end_of_an_epoch_lets_the_epoch_end(tiny_run, hook_recorder, hook):
    result = tiny_run([stopping(hook), hook_recorder], epochs=3, steps=3)
    assert (result.outcome, result.step, result.epoch) == ("stopped", 3, 1)
    assert hook_recorder.count("on_validation_end") == hook_recorder.count("on_epoch_end") == 1


@pytest.mark.parametrize("hook", ["on_fit_end", "on_run_end"])
def test_a_stop_that_is_asked_for_too_late_changes_nothing(tiny_run, hook):
    assert tiny_run([stopping(hook)], epochs=1).outcome == "completed"


def test_every_hook_of_a_fit_is_among_those():
    mentioned = {*BEFORE_THE_FIRST_BOUNDARY.split(), "persist", "report", "on_fit_end", "on_run_end"}
    mentioned |= {name for name in SPECS if "validation" in name or "epoch" in name or "exhausted" in name}
    elsewhere = ("provide_", "add_", "log_", "write_", "on_test_", "on_predict_", "run_predict", "on_checkpoint_")
    unusual = {"on_exception", "on_interrupt", "on_stop_requested", "on_preempted", "on_optimizer_step_skipped"}
    assert {name for name in SPECS if not name.startswith(elsewhere)} - mentioned == unusual


def test_a_stop_in_mid_epoch_never_counts_the_epoch_and_runs_no_validation(tiny_run, hook_recorder):
    result = tiny_run([stopping("on_step_end", lambda run: run.step == 5), hook_recorder], epochs=3, steps=3)
    assert (result.outcome, result.step, result.epoch) == ("stopped", 5, 1)
    assert result.state["counters"]["batch_index"] == 2
    assert hook_recorder.count("on_validation_start") == hook_recorder.count("on_train_epoch_end") == 1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_stop_at_the_very_last_step_of_an_epoch_counts_and_validates_it(tiny_run, hook_recorder, accumulate):
    last = {1: 3, 2: 2}[accumulate]
    plugins = [stopping("on_step_end", lambda run: run.step == last), hook_recorder]
    result = tiny_run(plugins, task=lambda: tiny_task(3), epochs=3, accumulate=accumulate)
    assert (result.outcome, result.step, result.epoch) == ("stopped", last, 1)
    assert hook_recorder.count("on_validation_end") == hook_recorder.count("on_epoch_end") == 1
    assert "val/loss" in result.metrics


def test_a_stop_at_the_last_step_of_an_epoch_of_unknown_length_leaves_it_uncounted(tiny_run):
    result = tiny_run([stopping("on_step_end", lambda run: run.step == 3)], task=unsized_task, epochs=3)
    assert (result.outcome, result.step, result.epoch) == ("stopped", 3, 0)


def test_the_reason_of_the_first_who_asks_is_kept(tiny_run):
    plugins = [stopping("on_step_start", reason="first"), stopping("on_step_end", reason="second")]
    assert tiny_run(plugins).stop_reason == "first"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_signal_at_the_very_last_step_leaves_the_epoch_to_the_resumed_run(tiny_run, hook_recorder, accumulate):
    import os
    import signal

    def on_data_exhausted(self, run):
        os.kill(os.getpid(), signal.SIGTERM)

    def on_step_end(self, run):
        if run.batch_index == 3 and accumulate == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    plugins = [plugin(on_data_exhausted, on_step_end), hook_recorder]
    result = tiny_run(plugins, task=lambda: tiny_task(3), epochs=3, accumulate=accumulate)
    assert (result.outcome, result.epoch, result.state["counters"]["batch_index"]) == ("preempted", 0, 3)
    assert hook_recorder.count("on_train_epoch_end") == hook_recorder.count("on_validation_start") == 0


# limits


@pytest.mark.parametrize(("limit", "epoch", "validations"), [(2, 0, 0), (3, 1, 1), (4, 1, 1), (6, 2, 2)])
def test_max_steps_ends_the_run_there(tiny_run, hook_recorder, limit, epoch, validations):
    result = tiny_run([hook_recorder], epochs=None, max_steps=limit, steps=3)
    assert (result.outcome, result.step, result.epoch) == ("completed", limit, epoch)
    assert hook_recorder.count("on_validation_end") == validations
    assert hook_recorder.count("on_fetch_end") == limit


def test_max_steps_counts_updates_not_batches(tiny_run, hook_recorder):
    result = tiny_run([hook_recorder], epochs=None, max_steps=2, steps=3, accumulate=2)
    assert (result.step, result.samples) == (2, 24)
    assert hook_recorder.count("on_fetch_end") == 4


def test_no_stale_batch_is_carried_into_the_next_epoch(tiny_run):
    seen = []

    def on_batch_start(self, run, batch):
        seen.append(next(i for i, each in enumerate(run.loaders["train"]) if each is batch))
        if run.batch_index == 2:
            raise SkipEpoch

    tiny_run([plugin(on_batch_start)], epochs=2, steps=5)
    assert seen == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(("epochs", "steps", "ended"), [(2, 100, (2, 6)), (9, 4, (1, 4))])
def test_the_first_limit_that_is_reached_ends_the_run(tiny_run, epochs, steps, ended):
    result = tiny_run(epochs=epochs, max_steps=steps, steps=3)
    assert (result.epoch, result.step) == ended


def test_max_seconds_stops_at_the_boundary_after_it(tiny_run, fake_clock):
    def on_step_end(self):
        fake_clock.advance(10)

    plugins = [plugin(on_step_end)]
    result = tiny_run(plugins, epochs=None, max_seconds=35, steps=3, clock=fake_clock)
    assert (result.outcome, result.step, result.stop_reason) == ("stopped", 4, "max_seconds = 35 is over")
    assert result.elapsed_seconds == 40


def test_max_seconds_counts_those_before_a_resume(tiny_run, fake_clock):
    def on_step_end(self):
        fake_clock.advance(10)

    half = tiny_run([plugin(on_step_end)], epochs=1, steps=3, clock=fake_clock)
    fake_clock.advance(1000)
    rest = tiny_run([plugin(on_step_end)], epochs=9, max_seconds=50, clock=fake_clock, resume=half.state)
    assert (rest.outcome, rest.step, rest.elapsed_seconds) == ("stopped", 5, 50)


def test_max_seconds_ends_a_run_whose_every_update_is_dropped(tiny_run, fake_clock):
    def run_step(self):
        fake_clock.advance(10)
        return False

    result = tiny_run([plugin(run_step)], epochs=None, max_seconds=35, clock=fake_clock)
    assert (result.outcome, result.step) == ("stopped", 0)


def test_nothing_that_ends_the_run_is_an_error(tiny_run):
    with pytest.raises(
        ConfigError, match=r"nothing ends this run: set run.max_epochs, run.max_steps or run.max_seconds"
    ):
        tiny_run(epochs=None)


def test_an_epoch_may_be_skipped_whole_in_a_run_by_steps(tiny_run):
    def on_epoch_start(self, run):
        if run.epoch in (0, 2):
            raise SkipEpoch

    result = tiny_run([plugin(on_epoch_start)], epochs=None, max_steps=6, steps=3)
    assert (result.outcome, result.epoch, result.step) == ("completed", 4, 6)


def test_epochs_that_are_skipped_for_ever_are_an_error(tiny_run):
    def on_epoch_start(self):
        raise SkipEpoch

    with pytest.raises(DataError, match="100 epochs in a row were skipped"):
        tiny_run([plugin(on_epoch_start)], epochs=None, max_steps=6)


# validation


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ("1 epoch", [3, 6, 9]),
        ("2 epochs", [6]),
        ("2 steps", [2, 4, 6, 8]),
        ("3 steps", [3, 6, 9]),
        ("24 samples", [4, 8]),
        ("18 samples", [3, 6, 9]),
        ("20 s", [2, 4, 6, 8]),
        ("never", []),
    ],
)
def test_validate_every(tiny_run, hook_recorder, fake_clock, every, steps):
    def on_step_end(self):
        fake_clock.advance(10)

    plugins = [plugin(on_step_end), hook_recorder]
    tiny_run(plugins, epochs=3, steps=3, validate_every=every, clock=fake_clock, log_every="100 steps")
    assert [each.counters["step"] for each in hook_recorder.of("on_validation_end")] == steps


def test_a_validation_by_steps_at_the_last_step_of_an_epoch_is_not_repeated(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, steps=4, validate_every="2 steps")
    counters = [(each.counters["step"], each.counters["epoch"]) for each in hook_recorder.of("on_validation_start")]
    assert counters == [(2, 0), (4, 0), (6, 1), (8, 1)]


def test_a_task_without_validation_data_trains_without_validation(tiny_run, hook_recorder):
    task = lambda: SupervisedTask(tiny_task().model, train=tiny_task().train_loader())  # noqa: E731
    assert tiny_run([hook_recorder], task=task, validate_every="1 step").outcome == "completed"
    assert hook_recorder.count("on_validation_start") == 0


# metrics


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ("2 steps", [2, 3, 4, 6]),
        ("5 steps", [3, 5, 6]),
        ("24 samples", [3, 4, 6]),
        ("20 s", [2, 3, 4, 6]),
        ("1 epoch", [3, 6]),
        ("2 epochs", [3, 6]),
    ],
)
def test_log_every_and_always_at_the_end_of_an_epoch(tiny_run, fake_clock, every, steps):
    def on_step_end(self):
        fake_clock.advance(10)

    keywords = {"log_every": every, "validate_every": "never", "clock": fake_clock}
    result = tiny_run([plugin(on_step_end)], epochs=2, steps=3, **keywords)
    assert [row["step"] for row in result.history] == steps


def test_each_value_is_in_exactly_one_row(tiny_run):
    losses = []

    def on_batch_end(self, run):
        losses.append(run.loss.item())

    result = tiny_run([plugin(on_batch_end)], epochs=2, steps=5, log_every="3 steps", validate_every="never")
    expected = [losses[0:3], losses[3:5], losses[5:6], losses[6:9], losses[9:10]]
    assert [row["train/loss"] for row in result.history] == [pytest.approx(sum(e) / len(e)) for e in expected]


def test_the_boundary_after_the_last_of_max_steps_is_a_logging_boundary(tiny_run, hook_recorder):
    result = tiny_run([hook_recorder], epochs=None, max_steps=4, steps=9, log_every="3 steps")
    assert [row["step"] for row in result.history] == [3, 4]
    last = [name for name in hook_recorder.names if name in ("on_metrics", "decide", "persist", "report")][-4:]
    assert last == ["on_metrics", "decide", "persist", "report"]


def test_what_was_logged_last_is_published_when_a_run_stops_in_mid_epoch(tiny_run, hook_recorder):
    plugins = [hook_recorder, stopping("on_step_end", lambda run: run.step == 4)]
    result = tiny_run(plugins, epochs=3, steps=9, log_every="3 steps")
    assert [row["step"] for row in result.history] == [3, 4]
    assert [each.counters["step"] for each in hook_recorder.of("on_metrics")] == [3, 4]
    assert [each.counters["step"] for each in hook_recorder.of("report")] == [1, 2, 3, 4, 4]
    assert hook_recorder.count("decide") == hook_recorder.count("persist") == 4
    assert "train/loss" in result.metrics


def test_what_is_fresh_is_so_in_each_phase_of_its_boundary_and_at_no_other_time(tmp_path, tiny_run):
    def look(hook):
        def note(self, run):
            if hook in ("decide", "persist", "report") or run.fresh_metrics:
                seen.setdefault(hook, []).append((run.step, sorted(run.fresh_metrics)))

        note.__name__ = hook
        return note

    seen = {}
    hooks = ["on_step_start", "on_step_end", "on_epoch_start", "on_epoch_end", "decide", "persist", "report"]
    tiny_run(
        [plugin(*map(look, hooks)), stopping("on_step_end", lambda run: run.step == 6)],
        epochs=3,
        steps=4,
        log_every="2 steps",
    )
    loss, ended = ["train/loss"], ["val/loss"]
    passed = [(1, []), (2, loss), (3, []), (4, loss), (4, ended), (5, []), (6, loss)]
    assert {
        name: [(step, [n for n in names if "loss" in n]) for step, names in each] for name, each in seen.items()
    } == {
        "decide": passed,
        "persist": passed,
        "report": passed,
    }


def test_a_value_may_be_a_number_a_tensor_or_one_of_numpy(tiny_run):
    import numpy as np

    def on_step_end(self, run):
        run.log("a/int", 2)
        run.log("a/bool", True)
        run.log("a/float", 0.5)
        run.log("a/tensor", torch.tensor(0.25, requires_grad=True))
        run.log("a/one_element", torch.tensor([[3]]))
        run.log("a/numpy", np.float32(1.5))

    metrics = tiny_run([plugin(on_step_end)], epochs=1, steps=1).metrics
    assert {name: value for name, value in metrics.items() if name.startswith("a/")} == {
        "a/int": 2.0, "a/bool": 1.0, "a/float": 0.5, "a/tensor": 0.25, "a/one_element": 3.0, "a/numpy": 1.5
    }  # fmt: skip


def test_values_are_averaged_by_weight(tiny_run):
    def on_step_end(self, run):
        run.log("a/plain", run.step)
        run.log("a/weighted", torch.tensor(float(run.step)), weight=run.step)

    metrics = tiny_run([plugin(on_step_end)], epochs=1, steps=3, log_every="9 steps").metrics
    assert (metrics["a/plain"], metrics["a/weighted"]) == (2.0, pytest.approx(14 / 6))


def test_a_tensor_that_is_logged_may_be_changed_afterwards(tiny_run):
    def on_ready(self):
        self.total = torch.zeros(())

    def on_step_end(self, run):
        self.total += 1
        run.log("a/total", self.total)

    metrics = tiny_run([plugin(on_ready, on_step_end)], epochs=1, steps=3, log_every="9 steps").metrics
    assert metrics["a/total"] == 2.0


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"run.log\('a'\): wanted one number, got a tensor of shape \(3,\)"),
        ("1.5", TypeError, r"run.log\('a'\): wanted one number, got a str"),
        (None, TypeError, r"run.log\('a'\): wanted one number, got a NoneType"),
        ([1.0], TypeError, r"run.log\('a'\): wanted one number, got a list"),
    ],
)
def test_what_is_no_number_is_an_error(tiny_run, value, error, message):
    def on_step_end(self, run):
        run.log("a", value)

    with pytest.raises(Exception, match=message) as caught:
        tiny_run([plugin(on_step_end)])
    assert type(caught.value.__cause__) is error


@pytest.mark.parametrize(
    "hook", ["on_fetch_start", "on_batch_start", "on_validation_batch_end", "on_epoch_end", "decide"]
)
def test_a_value_may_be_logged_in_any_hook(tiny_run, hook):
    def log(self, run):
        run.log("a/value", 1)

    log.__name__ = hook
    assert tiny_run([plugin(log)], epochs=2).metrics["a/value"] == 1


# the state


@pytest.mark.parametrize("every", ["24 samples", "40 s", "2 steps"])
def test_a_resumed_run_logs_and_validates_where_an_uninterrupted_one_does(tiny_run, fake_clock, every):
    def on_step_end(self):
        fake_clock.advance(10)

    keywords = {"steps": 3, "log_every": every, "validate_every": every, "clock": fake_clock}
    whole = tiny_run([plugin(on_step_end)], epochs=2, **keywords)
    half = tiny_run([plugin(on_step_end)], epochs=1, **keywords)
    rest = tiny_run([plugin(on_step_end)], epochs=2, resume=half.state, **keywords)

    def rows(*results):
        every_row = [row for result in results for row in result.history]
        return [{key: value for key, value in row.items() if key != "time"} for row in every_row]

    assert rows(whole) == rows(half, rest)


def test_a_state_may_be_resumed_with_other_intervals(tiny_run):
    half = tiny_run(epochs=1, validate_every="2 steps", log_every="12 samples")
    rest = tiny_run(epochs=2, validate_every="never", log_every="1 step", resume=half.state)
    again = tiny_run(epochs=3, validate_every="1 epoch", resume=rest.state)
    assert (rest.outcome, again.outcome, again.epoch) == ("completed", "completed", 3)
