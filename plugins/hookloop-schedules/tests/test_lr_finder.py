"""``lr-finder``: what it finds, and that nothing is left of the search."""

import json
import logging
import math
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from hookloop import ConfigError, PluginHookError, SupervisedTask, hookimpl
from hookloop.testing import tiny_task
from hookloop.testing.comparison import first_difference
from hookloop_schedules.range_test import Point, candidates, diverges, smooth, suggest

FINDER = ("lr-finder", {"steps": 20})


def adam(params):
    return torch.optim.Adam(params, lr=0.01)


def dropping():
    return tiny_task(dropout=0.5)


class Drawing:
    """Draws from every stream in each step, and counts what it sees."""

    role = "observer"

    def __init__(self):
        self.drawn = []
        self.steps = 0

    @hookimpl
    def on_step_end(self, run):
        self.steps += 1
        self.drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))


@pytest.mark.parametrize("schedule", [None, ("cosine", {"unit": "step"}), ("StepLR", {"step_size": 2, "unit": "step"})])
def test_after_it_training_is_what_it_is_without_it(tiny_run, schedule):
    settings = {"task": dropping, "optimizer": adam, "schedule": schedule}
    alone, beside = Drawing(), Drawing()
    without = tiny_run(["schedules", alone], **settings)
    with_it = tiny_run(["schedules", FINDER, beside], **settings)
    for part in ("model", "optimizers", "rng", "schedules", "data", "metrics", "log"):
        assert first_difference(without.state[part], with_it.state[part], part) is None
    assert beside.drawn == alone.drawn
    assert beside.steps == alone.steps
    times = {"time"}
    rows = [[{k: v for k, v in row.items() if k not in times} for row in each.history] for each in (without, with_it)]
    assert rows[0] == rows[1]
    assert (with_it.step, with_it.epoch, with_it.samples) == (without.step, without.epoch, without.samples)


def loader_task():
    torch.manual_seed(3)
    data = torch.utils.data.TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
    loader = torch.utils.data.DataLoader(data, batch_size=6, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
    return SupervisedTask(model=model, train=loader)


class Stateful:
    """A loader with a position, of data that does not begin anew by itself."""

    def __init__(self, batches):
        self.batches = batches
        self.position = 0

    def __iter__(self):
        while self.position < len(self.batches):
            self.position += 1
            yield self.batches[self.position - 1]
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def stateful_task():
    task = tiny_task()
    return SupervisedTask(model=task.model, train=Stateful(list(task.train_loader())))


@pytest.mark.parametrize("task", [loader_task, stateful_task])
def test_the_position_in_the_data_and_the_buffers_are_put_back(tiny_run, task):
    without = tiny_run(task=task, optimizer=adam)
    with_it = tiny_run([FINDER], task=task, optimizer=adam)
    assert first_difference(without.state["model"], with_it.state["model"], "model") is None


def test_data_that_can_be_walked_once_is_refused_and_not_eaten(tiny_run):
    batches = iter(list(tiny_task().train_loader()))
    with pytest.raises(PluginHookError, match="can be walked only once"):
        tiny_run([FINDER], task=SupervisedTask(model=tiny_task().model, train=batches), epochs=1)
    assert next(batches)


def test_it_draws_a_picture_and_writes_the_points(tiny_run, caplog):
    caplog.set_level(logging.INFO, logger="hookloop.lr-finder")
    directory = tiny_run([FINDER]).directory
    root = ET.fromstring((directory / "lr-finder.svg").read_text(encoding="utf-8"))
    assert len([each for each in root.iter() if each.tag.endswith("polyline")]) == 2
    found = json.loads((directory / "lr-finder.json").read_text(encoding="utf-8"))
    assert found["tried"] == len(found["points"]) <= 20
    assert found["points"][0]["lr"] == 1e-7
    assert found["suggestion"] is None or f"{found['suggestion']:.3g}" in caplog.text


def test_a_resumed_run_is_not_tested_again(tiny_run):
    half = tiny_run([FINDER], epochs=1)
    rest = tiny_run([FINDER], epochs=2, resume=half.state)
    assert not (rest.directory / "lr-finder.svg").exists()


class Quadratic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([4.0]))

    def forward(self, inputs):
        return inputs * self.weight


def quadratic_task():
    batches = [(torch.ones(4, 1), torch.zeros(4, 1))] * 3
    return SupervisedTask(model=Quadratic(), train=batches)


def found_in(tiny_run, options, **keywords):
    settings = {"task": quadratic_task, "loss": "mse", "optimizer": ("sgd", {"lr": 0.001}), "epochs": 1, **keywords}
    result = tiny_run(["schedules", ("lr-finder", options)], **settings)
    return result, json.loads((result.directory / "lr-finder.json").read_text())


def test_it_stops_where_the_loss_diverges_and_suggests_less_than_that(tiny_run):
    """The loss is w squared, whose descent diverges above a rate of 1."""
    _, found = found_in(tiny_run, {"min_lr": 1e-4, "max_lr": 1e3, "steps": 80})
    assert found["tried"] < 80
    assert 1e-3 < found["suggestion"] < 1.0


def test_the_suggestion_is_applied_where_asked_for_with_the_groups_in_proportion(tiny_run):
    def grouped(params):
        return torch.optim.SGD([{"params": list(params), "lr": 0.001}], lr=0.001)

    seen = []

    class Rates:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            seen.append(run.optimizers[0].param_groups[0]["lr"])

    options = {"min_lr": 1e-4, "max_lr": 1e3, "steps": 80, "apply": True}
    settings = {"task": quadratic_task, "loss": "mse", "optimizer": grouped, "epochs": 2}
    schedule = ("exponential", {"gamma": 0.5})
    result = tiny_run(["schedules", ("lr-finder", options), Rates()], schedule=schedule, **settings)
    best = json.loads((result.directory / "lr-finder.json").read_text())["suggestion"]
    assert seen == pytest.approx([best] * 3 + [best / 2] * 3)


def test_applying_is_refused_for_a_schedule_that_remembers_its_rate(tiny_run):
    with pytest.raises(PluginHookError, match=r"plugins\.lr-finder\.apply: the schedule remembers the rate"):
        found_in(tiny_run, {"apply": True}, schedule=("StepLR", {"step_size": 1}))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_of_the_test_is_one_of_training_with_its_accumulation(tiny_run, accumulate):
    updates = []

    class Counting:
        @hookimpl
        def on_optimizer_step_end(self, run):
            updates.append(run.step)

    tiny_run([("lr-finder", {"steps": 10, "max_lr": 1e-3}), Counting()], epochs=1, steps=2, accumulate=accumulate)
    assert len(updates) == 10 + 2


def test_a_flat_loss_gives_no_suggestion_and_a_warning(tiny_run, caplog):
    _, found = found_in(tiny_run, {"min_lr": 1e-12, "max_lr": 1e-11, "steps": 10})
    assert found["suggestion"] is None
    assert "made the loss fall" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_lr": 1.0, "max_lr": 0.1}, "max_lr = 0.1 must be more than min_lr = 1"),
        ({"file": "../up.svg"}, "must name a file inside of the run directory"),
        ({"file": "picture.png"}, "that ends with .svg"),
        ({"steps": 3}, "steps"),
        ({"suggestion": "valley"}, "suggestion"),
    ],
)
def test_a_wrong_option_is_told(tiny_run, options, said):
    with pytest.raises(ConfigError) as caught:
        tiny_run([("lr-finder", options)])
    assert said in str(caught.value)


def test_a_rate_of_zero_to_begin_with_is_an_error(tiny_run):
    with pytest.raises(PluginHookError, match="the first parameter group has the rate 0"):
        tiny_run([FINDER], optimizer=("sgd", {"lr": 0.0}))


def test_two_that_write_the_same_file_are_an_error(tiny_run):
    with pytest.raises(PluginHookError, match=r"two plugins write lr-finder\.svg"):
        tiny_run([FINDER, ("other", {"use": "lr-finder"})])


def test_candidates_have_equal_ratios_from_the_first_to_the_last():
    assert candidates(1e-4, 1.0, 5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def test_the_mean_is_corrected_for_beginning_with_nothing():
    assert smooth([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])
    assert smooth([1.0, 3.0], 0.0) == [1.0, 3.0]


def test_a_loss_that_is_no_number_diverges():
    assert diverges([1.0, math.nan], 4.0)
    assert diverges([1.0, 4.1], 4.0)
    assert not diverges([1.0, 3.9], 4.0)


def test_the_suggestion_is_where_the_mean_falls_fastest_or_a_tenth_of_its_minimum():
    rates = candidates(1e-5, 1.0, 21)
    losses = [1.0 - 1.0 / (1.0 + (1e-3 / lr) ** 2) + 30 * lr**2 for lr in rates]
    points = [Point(lr, loss, loss) for lr, loss in zip(rates, losses, strict=True)]
    assert suggest(points, "steepest") == pytest.approx(1e-3, rel=0.8)
    lowest = min(points, key=lambda each: each.smoothed).lr
    assert suggest(points, "minimum") == lowest / 10
    assert suggest(points[:2], "steepest") is None
