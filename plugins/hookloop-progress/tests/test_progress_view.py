"""What is shown at each moment of a real run, with a clock that moves by half a second a batch."""

import pytest
import torch

from hookloop import Engine, SkipStep, SupervisedTask, hookimpl
from hookloop_progress.view import shown


@pytest.fixture(params=["lines", "rich"], autouse=True)
def style(request, monkeypatch):
    """Have steps reported, and have them found by who looks: what there is to see is the same."""
    monkeypatch.setitem(OPTIONS, "style", request.param)


OPTIONS = {}


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Batches:
    """Takes half a second for each batch; has no length unless it is given one."""

    def __init__(self, clock, count, announced=None):
        self.clock, self.count, self.announced = clock, count, announced
        generator = torch.Generator().manual_seed(0)
        self.batch = torch.randn(4, 3, generator=generator), torch.randn(4, 1, generator=generator)

    def __iter__(self):
        for _ in range(self.count):
            self.clock.now += 0.5
            yield self.batch


class Sized(Batches):
    def __len__(self):
        return self.announced or self.count


class Watcher:
    """Looks at the display's view where a person would: after each step, in validations, at the end."""

    role = "observer"
    after = ("progress",)

    def __init__(self):
        self.boundaries, self.validations, self.last = [], [], None

    def look(self, run):
        return run.plugins["progress"].tracker.look(run)

    @hookimpl
    def report(self, run):
        self.boundaries.append(self.look(run))

    @hookimpl
    def on_validation_batch_end(self, run):
        self.validations.append(self.look(run))

    @hookimpl
    def on_run_end(self, run):
        self.last = self.look(run)


def watch(tmp_path, train, *extra, val=None, command="fit", resume=None, **options):
    watcher, clock = Watcher(), train.clock
    engine = Engine(
        SupervisedTask(torch.nn.Linear(3, 1), train, val=val, test=val),
        loss="mse",
        optimizer=("sgd", {"lr": 0.01}),
        plugins=[("progress", OPTIONS), watcher, *extra],
        clock=clock,
        run_dir=tmp_path / "run",
        overwrite=True,
        log_every="1 step",
        device="cpu",
        **options,
    )
    watcher.result = engine.fit(resume=resume) if command == "fit" else getattr(engine, command)()
    return watcher


def test_max_steps_in_mid_epoch_gives_the_second_epoch_its_real_total(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 5), max_steps=7)
    assert {(view.epoch_number, view.batches) for view in watcher.boundaries} == {(1, 5), (2, 2)}
    assert (watcher.last.batch, watcher.last.batches) == (2, 2)
    assert (watcher.last.step, watcher.last.steps, watcher.last.epochs) == (7, 7, 2)


def test_with_accumulation_the_total_of_a_partial_epoch_is_right(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 6), max_steps=5, accumulate=2)
    assert {(view.epoch_number, view.batches) for view in watcher.boundaries} == {(1, 6), (2, 4)}
    assert (watcher.last.batch, watcher.last.step) == (4, 5)


def test_a_dropped_update_makes_the_last_epoch_longer(tmp_path):
    class Drop:
        @hookimpl
        def on_step_start(self, run):
            if run.batch_index == 1 and run.epoch == 1:
                raise SkipStep

    watcher = watch(tmp_path, Sized(Clock(), 5), Drop(), max_steps=7)
    assert (watcher.last.batch, watcher.last.batches, watcher.last.step) == (3, 3, 7)


def test_the_last_count_reaches_the_end(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 5), max_epochs=3)
    assert (watcher.last.step, watcher.last.steps) == (15, 15)
    assert (watcher.last.batch, watcher.last.batches) == (5, 5)
    assert (watcher.last.epoch, watcher.last.epoch_number, watcher.last.epochs) == (3, 3, 3)


def test_a_length_that_was_an_estimate_is_corrected_by_the_end_of_the_epoch(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 4, announced=6), max_epochs=1)
    assert watcher.boundaries[0].batches == 6
    assert (watcher.last.batch, watcher.last.batches) == (4, 4)
    assert (watcher.last.step, watcher.last.steps) == (4, 4)


def test_a_loader_without_a_length_is_counted(tmp_path):
    watcher = watch(tmp_path, Batches(Clock(), 4), max_epochs=2)
    assert watcher.boundaries[1].batches is None
    assert watcher.boundaries[1].steps is None
    assert watcher.boundaries[1].eta_seconds is None
    assert watcher.boundaries[1].per_second == 2.0
    assert (watcher.last.step, watcher.last.steps) == (8, 8)


def test_rate_and_time_left_are_exact(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 5), max_steps=7)
    assert [view.per_second for view in watcher.boundaries] == [None] + [2.0] * 7
    # Eight boundaries: that after the first epoch stands at the same step as the one before it.
    assert [view.eta_seconds for view in watcher.boundaries] == [None, 2.5, 2.0, 1.5, 1.0, 1.0, 0.5, 0.0]


def test_validation_is_counted_and_does_not_slow_the_rate(tmp_path):
    clock = Clock()
    watcher = watch(tmp_path, Sized(clock, 4), val=Sized(clock, 3), max_epochs=2)
    assert [(view.stage, view.evaluated, view.evaluations) for view in watcher.validations[:3]] == [
        ("validate", 1, 3),
        ("validate", 2, 3),
        ("validate", 3, 3),
    ]
    assert watcher.validations[0].epoch_number == 1
    assert watcher.last.per_second == 2.0
    assert watcher.last.stage == "train"


def test_the_time_left_counts_on_more_validations(tmp_path):
    clock = Clock()
    watcher = watch(tmp_path, Sized(clock, 4), val=Sized(clock, 3), max_epochs=2)
    after_first_epoch = watcher.boundaries[4]
    # Three steps and a validation took 3 s, so a step is a second; four are left.
    assert after_first_epoch.eta_seconds == 4.0


def test_max_seconds_bounds_the_time_left(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 100), max_epochs=100, max_seconds=3.0)
    assert watcher.boundaries[1].eta_seconds == 2.0
    assert watcher.last.outcome == "stopped"
    assert (watcher.last.step, watcher.last.steps) == (6, 10000)


def test_a_resumed_run_goes_on_counting_where_it_was(tmp_path):
    first = watch(tmp_path, Sized(Clock(), 5), max_epochs=1)
    second = watch(tmp_path, Sized(Clock(), 5), max_epochs=3, resume=first.result.state)
    assert (second.boundaries[0].step, second.boundaries[0].steps, second.boundaries[0].epoch_number) == (6, 15, 2)
    assert second.boundaries[1].per_second == 2.0
    assert second.last.elapsed_seconds == 7.5


def test_a_test_on_its_own_has_no_steps(tmp_path):
    clock = Clock()
    watcher = watch(tmp_path, Sized(clock, 4), val=Sized(clock, 3), command="test")
    assert (watcher.last.fitting, watcher.last.evaluated, watcher.last.evaluations) == (False, 3, 3)
    assert watcher.last.per_second == 2.0
    assert watcher.last.elapsed_seconds == 1.5


def test_metrics_are_the_newest_known_ones(tmp_path):
    watcher = watch(tmp_path, Sized(Clock(), 2), max_epochs=1)
    assert dict(watcher.last.metrics) == dict(watcher.result.metrics)


def test_results_come_before_everything_else():
    metrics = dict.fromkeys(("train/loss", "lr/sgd", "norm/0", "system/cpu", "val/loss"), 1.0)
    assert list(shown(metrics, None)) == ["train/loss", "val/loss", "lr/sgd", "norm/0"]
    assert list(shown(metrics, ["norm/0", "train/loss", "nothing"])) == ["norm/0", "train/loss"]
