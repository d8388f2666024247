"""The plugin ``timing``, with a clock that stands still unless it is told to go on."""

import pytest
import torch

from hookloop import ConfigError, SupervisedTask, hookimpl
from hookloop_profiler.marks import DeviceMarks, HostMarks, marks_for
from hookloop_profiler.timeline import Timeline


class Slow(SupervisedTask):
    """A task whose data and steps take known times."""

    def __init__(self, clock, sizes=(6, 6, 2)):
        super().__init__(torch.nn.Linear(4, 3))
        self.clock, self.sizes = clock, sizes

    def batches(self):
        for size in self.sizes:
            self.clock.advance(0.5)
            yield torch.ones(size, 4), torch.zeros(size, dtype=torch.long)
        self.clock.advance(100)  # what the end of data takes is no wait for a batch

    def loader(self):
        task = self

        class Loader:
            def __iter__(self):
                return task.batches()

        return Loader()

    train_loader = val_loader = test_loader = predict_loader = loader

    def train_step(self, batch):
        self.clock.advance(2)
        return super().train_step(batch)

    def validation_step(self, batch):
        self.clock.advance(1)
        return super().validation_step(batch)

    def predict_step(self, batch):
        self.clock.advance(3)
        return super().predict_step(batch)


def series(result, name):
    return [row[name] for row in result.history if name in row]


def test_every_iteration_is_logged_once_at_its_own_step(tiny_run, fake_clock):
    """TNT: logs the step before, and the last of each validation twice (2.1)."""
    result = tiny_run([("timing", {"warmup": 0})], task=Slow(fake_clock), clock=fake_clock)
    rows = [(row["step"], row["time/iteration_seconds"]) for row in result.history if "time/iteration_seconds" in row]
    assert rows == [(step, 2.0) for step in range(1, 7)]
    assert series(result, "time/data_wait_seconds") == [0.5] * 6
    assert series(result, "time/val/iteration_seconds") == [1.0] * 2
    assert series(result, "time/val/data_wait_seconds") == [0.5] * 2


@pytest.mark.parametrize(("command", "prefix", "seconds"), [("test", "test", 1.0), ("predict", "predict", 3.0)])
def test_test_and_prediction_are_timed_as_well(tiny_run, fake_clock, command, prefix, seconds):
    """TNT: no callback knows the test phase (2)."""
    result = tiny_run([("timing", {"warmup": 0})], task=Slow(fake_clock), clock=fake_clock, commands=[command])
    assert series(result, f"time/{prefix}/iteration_seconds") == [seconds]
    assert series(result, f"time/{prefix}/data_wait_seconds") == [0.5]


def test_each_phase_has_a_time_of_its_own(tiny_run, fake_clock, passing):
    plugins = [passing("on_gradients_ready", 7), ("timing", {"warmup": 0})]
    result = tiny_run(plugins, task=Slow(fake_clock), clock=fake_clock, epochs=1)
    assert result.metrics["time/forward_seconds"] == 2
    assert result.metrics["time/backward_seconds"] == result.metrics["time/optimizer_seconds"] == 0
    assert result.metrics["time/iteration_seconds"] == 9


@pytest.mark.parametrize("hook", ["on_step_start", "on_step_end", "persist", "on_fetch_start", "on_fetch_end"])
def test_what_others_do_around_a_step_is_not_counted(tiny_run, fake_clock, passing, hook):
    """TNT: a save at the end of a step counts as iteration time (4.1, 12)."""
    timing = ("timing", {"warmup": 0, "window": 1})
    for plugins in ([passing(hook, 50), timing], [timing, passing(hook, 50)]):
        result = tiny_run(plugins, task=Slow(fake_clock), clock=fake_clock, epochs=1)
        assert result.metrics["time/iteration_seconds"] + result.metrics["time/data_wait_seconds"] == 2.5


def test_accumulated_micro_batches_are_one_iteration(tiny_run, fake_clock):
    result = tiny_run(
        [("timing", {"warmup": 0, "window": 1})], task=Slow(fake_clock), clock=fake_clock, epochs=1, accumulate=2
    )
    assert series(result, "time/forward_seconds") == [4.0, 2.0]
    assert series(result, "time/data_wait_seconds") == [1.0, 0.5]


def test_the_warm_up_is_left_out_of_the_moving_mean(tiny_run, fake_clock, acting):
    seconds = iter([100, 100, 1, 2, 3, 4])
    slow = acting("on_gradients_ready", lambda run: fake_clock.advance(next(seconds)))
    result = tiny_run([("slow", slow), ("timing", {"warmup": 2, "window": 3})], clock=fake_clock)
    assert series(result, "time/iteration_seconds") == [1, 1.5, 2, 3]


def test_a_window_longer_than_any_bound_holds_all_of_it():
    """TNT: silently cut to the last 1,000 to 5,000 samples (2.1)."""
    timeline = Timeline(HostMarks(float), 10_000, 0)
    for each in range(10_000):
        timeline.add(0, each, 0.0)
    assert timeline.means() == {"iteration": 4999.5, "data_wait": 0.0}
    assert timeline.means() == {}


def test_a_skipped_update_is_left_out(tiny_run, fake_clock):
    from hookloop import SkipStep

    class Skips:
        role = "actor"

        @hookimpl
        def on_gradients_ready(self, run):
            fake_clock.advance(40 if run.batch_index == 2 else 0)
            if run.batch_index == 2:
                raise SkipStep

    result = tiny_run(
        [("skips", Skips()), ("timing", {"warmup": 0})], task=Slow(fake_clock), clock=fake_clock, epochs=1
    )
    assert series(result, "time/iteration_seconds") == [2.0, 2.0]


def test_the_window_moves(tiny_run, fake_clock, acting):
    seconds = iter([1, 2, 3, 4, 5, 6])
    slow = acting("on_gradients_ready", lambda run: fake_clock.advance(next(seconds)))
    options = {"warmup": 0, "window": 2}
    result = tiny_run([("slow", slow), ("timing", options)], clock=fake_clock, log_every="3 steps")
    assert series(result, "time/iteration_seconds") == [2.5, 5.5]


def test_each_validation_has_a_mean_of_its_own(tiny_run, fake_clock, acting):
    seconds = iter([10, 20, 1, 3])
    slow = acting("on_validation_batch_end", lambda run: None)
    inside = acting("run_forward", lambda run: fake_clock.advance(next(seconds)) if run.stage == "validate" else None)
    result = tiny_run([("slow", slow), ("inside", inside), ("timing", {"warmup": 1})], clock=fake_clock)
    assert series(result, "time/val/iteration_seconds") == [20, 2]


@pytest.mark.parametrize("hook", ["on_validation_batch_start", "on_validation_batch_end", "on_validation_end"])
def test_what_others_do_around_a_batch_of_validation_is_not_counted(tiny_run, fake_clock, passing, hook):
    result = tiny_run([passing(hook, 50), ("timing", {"warmup": 0})], task=Slow(fake_clock), clock=fake_clock, epochs=1)
    assert result.metrics["time/val/iteration_seconds"] == 1.0
    assert result.metrics["time/val/data_wait_seconds"] == 0.5


def test_without_phases_nothing_is_hooked_inside_of_a_step(tiny_run, fake_clock, acting):
    chains = []
    watch = acting("on_step_end", lambda run: chains.append(run.plugins.chain("on_forward_start")))
    options = {"warmup": 0, "phases": False}
    result = tiny_run([("watch", watch), ("timing", options)], task=Slow(fake_clock), clock=fake_clock)
    assert result.metrics["time/iteration_seconds"] == 2.0
    assert "time/forward_seconds" not in result.metrics
    assert chains == [[]] * 6


def test_phases_of_very_short_steps_are_timed_now_and_then(tiny_run, fake_clock, acting):
    """To time them takes longer than a part of a step as short as these."""
    timed = []
    watch = acting("on_step_start", lambda run: timed.append(len(run.plugins.chain("on_forward_start"))))
    rest = acting("on_step_end", lambda run: fake_clock.advance(5))
    options = {"warmup": 0, "window": 2}
    result = tiny_run([("watch", watch), ("rest", rest), ("timing", options)], clock=fake_clock, epochs=1, steps=9)
    assert timed == [1, 1, 0, 0, 1, 1, 0, 0, 1]
    assert len(series(result, "time/iteration_seconds")) == 9
    assert len(series(result, "time/forward_seconds")) == 7  # those of step 2 are in the window up to step 3


def test_a_device_is_never_waited_for(tiny_run, monkeypatch):
    """Lightning: waits for the device in every batch."""

    def wait(*given, **named):
        raise AssertionError("this waits for the device")

    for module in (torch.accelerator, torch.cuda):
        monkeypatch.setattr(module, "synchronize", wait)
    plugins = [("timing", {"warmup": 0}), ("throughput", {"warmup_steps": 0}), "flops", "slow-rank"]
    result = tiny_run(plugins, commands=["fit", "validate", "test", "predict"])
    assert result.outcome == "completed"


class Event:
    """An event of a device that works through its queue only when it is let."""

    queue: list["Event"] = []  # noqa: RUF012
    passed = 0

    def record(self):
        Event.queue.append(self)

    def query(self):
        return Event.queue.index(self) < Event.passed

    def elapsed_time(self, end):
        assert end.query(), "only what is done may be read: a device would have to be waited for"
        return 1000.0 * (Event.queue.index(end) - Event.queue.index(self))


def test_on_a_device_nothing_is_read_before_the_device_has_passed_it(monkeypatch):
    monkeypatch.setattr(Event, "queue", [])
    marks = DeviceMarks(Event)
    timeline = Timeline(marks, 50, 0)
    for _ in range(2):
        began, half = marks.mark(), marks.mark()
        timeline.add(began, marks.mark(), 0.5, [("forward", began, half)])
    assert timeline.means() == {}
    monkeypatch.setattr(Event, "passed", 3)
    assert timeline.means() == {"data_wait": 0.5, "forward": 1.0, "iteration": 2.0}
    assert timeline.means() == {}
    monkeypatch.setattr(Event, "passed", 6)
    assert timeline.means()["iteration"] == 2.0
    assert len(timeline.rows) == 2


def test_a_processor_is_timed_by_the_clock_of_the_run(fake_clock):
    assert isinstance(marks_for(torch.device("cpu"), fake_clock), HostMarks)
    assert isinstance(marks_for(torch.device("meta"), fake_clock), HostMarks)


@pytest.mark.parametrize(("option", "value"), [("window", 0), ("warmup", -1)])
def test_impossible_options_are_refused(tiny_run, option, value):
    with pytest.raises(ConfigError, match=option):
        tiny_run([("timing", {option: value})])
