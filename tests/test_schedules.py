import math

import pytest
import torch

from hookloop import ConfigError, hookimpl
from hookloop.schedules import constant, cosine, exponential, linear, step
from hookloop.testing import tiny_task


class Rates:
    """Notes the learning rate of every parameter group before each step, and the last one."""

    role = "observer"

    def __init__(self):
        self.seen = []

    def note(self, run):
        self.seen.append([float(group["lr"]) for optimizer in run.optimizers for group in optimizer.param_groups])

    @hookimpl
    def on_step_start(self, run):
        self.note(run)

    @hookimpl
    def on_fit_end(self, run):
        self.note(run)

    @property
    def firsts(self):
        return [rates[0] for rates in self.seen]


def sgd(lr=0.1):
    return lambda params: torch.optim.SGD(params, lr=lr)


@pytest.fixture
def rates(tiny_run):
    """A function that trains with a schedule and returns the learning rate of each step, and the last one."""

    def train(schedule, optimizer=None, **keywords):
        seen = Rates()
        tiny_run([seen], schedule=schedule, optimizer=optimizer or sgd(), **keywords)
        return seen

    return train


@pytest.mark.parametrize(
    ("rate", "lr", "values"),
    [
        (constant(), 0.1, {0: 0.1, 1: 0.1, 1000: 0.1}),
        (step(30), 0.1, {0: 0.1, 1: 0.1, 29: 0.1, 30: 0.01, 59: 0.01, 60: 0.001}),
        (step(30, gamma=0.1), 0.1, {0: 0.1, 30: 0.01, 60: 0.001}),
        (step(2, gamma=0.5), 1.0, {1: 1.0, 2: 0.5, 4: 0.25}),
        (exponential(0.5), 0.8, {0: 0.8, 1: 0.4, 2: 0.2, 3: 0.1}),
        (linear(100, 0.001), 0.1, {0: 0.1, 50: 0.0505, 100: 0.001, 200: 0.001}),
        (linear(4), 1.0, {1: 0.75, 2: 0.5, 4: 0.0}),
        (cosine(100, 0.001), 0.1, {0: 0.1, 50: 0.0505, 100: 0.001, 150: 0.001}),
        (cosine(3), 1.0, {0: 1.0, 1: 0.75, 2: 0.25, 3: 0.0}),
    ],
)
def test_a_schedule_has_its_reference_values(rate, lr, values):
    assert {progress: rate(progress, lr) for progress in values} == pytest.approx(values, abs=1e-15)


@pytest.mark.parametrize("progress", range(12))
@pytest.mark.parametrize(
    ("rate", "torchs"),
    [
        (step(3, 0.5), lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)),
        (exponential(0.9), lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)),
        (cosine(20, 0.01), lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 0.01)),
    ],
)
def test_a_schedule_equals_torchs(rate, torchs, progress):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = torchs(optimizer)
    for _ in range(progress):
        optimizer.step()
        scheduler.step()
    assert rate(progress, 0.3) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)


def test_per_step_the_rate_changes_after_each_step(rates):
    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), epochs=2, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625])


def test_per_epoch_the_rate_changes_after_each_epoch(rates):
    seen = rates(("exponential", {"gamma": 0.5}), epochs=2, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


def test_a_period_is_the_length_of_the_run_in_its_unit(rates):
    assert rates(("linear", {"unit": "step"}), epochs=2, steps=2).firsts == pytest.approx([0.1, 0.075, 0.05, 0.025, 0])
    assert rates("linear", epochs=2, steps=2).firsts == pytest.approx([0.1, 0.1, 0.05, 0.05, 0])


def test_a_period_counts_updates_and_not_micro_batches(rates):
    seen = rates(("linear", {"unit": "step"}), epochs=1, steps=2, accumulate=3)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.0])


def test_a_period_ends_where_the_first_limit_does(rates):
    seen = rates(("linear", {"unit": "step"}), epochs=2, steps=3, max_steps=4)
    assert seen.firsts == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0])


def test_a_period_that_is_given_counts(rates):
    seen = rates(("cosine", {"unit": "step", "period": 2, "min_lr": 0.01}), epochs=1, steps=3)
    assert seen.firsts == pytest.approx([0.1, 0.055, 0.01, 0.01])


@pytest.mark.parametrize(
    ("unit", "missing"),
    [("step", "max_steps, or max_epochs and a loader with a length,"), ("epoch", "max_epochs")],
)
def test_a_period_that_nobody_can_know_is_an_error(rates, unit, missing):
    with pytest.raises(ConfigError) as caught:
        rates(("cosine", {"unit": unit}), epochs=None, max_seconds=1)
    assert str(caught.value) == (
        f"Engine(...): schedule.use: needs `period`, in {unit}s: it is the run's length by default, and {missing} "
        "is not set."
    )


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (("step", {"step_size": 0}), "'step' refuses its options: step_size must be more than 0, not 0"),
        (("linear", {"period": 0}), "'linear' refuses its options: period must be more than 0, not 0"),
        (("cosine", {"period": -1}), "'cosine' refuses its options: period must be more than 0, not -1"),
        (("cosine", {"period": "10"}), "schedule.use: 'cosine' refuses its options: "),
        (("step", {}), "schedule.use: needs the option 'step_size'."),
        (("exponential", {"gama": 0.5}), "schedule.gama: unknown option. Did you mean 'gamma'? It takes: gamma."),
        (("exponential", {"gamma": 0.5, "unit": "batch"}), "schedule.unit: got 'batch', expected 'step' or 'epoch'."),
        ("cosin", "schedule.use: there is no schedule 'cosin'. Did you mean 'cosine'?"),
        (lambda: 0.1, "made an object of type float; a schedule is called with (progress, lr)."),
        (dict, "builtins:dict made an object of type dict; a schedule is called with (progress, lr)."),
    ],
)
def test_a_wrong_schedule_is_an_error_before_training(rates, schedule, said):
    with pytest.raises(ConfigError) as caught:
        rates(schedule)
    assert said in str(caught.value)


def warmup(t, lr, length=2, *, factor=1.0):
    return lr * factor * min(1.0, (t + 1) / length)


class Halving:
    def __call__(self, t, lr):
        return lr / 2**t


def inverse(power):
    return lambda t, lr: lr / (t + 1) ** power


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (lambda t, lr: lr / (t + 1), [0.1, 0.05, 0.1 / 3]),
        (warmup, [0.05, 0.1, 0.1]),
        ((warmup, {"length": 4}), [0.025, 0.05, 0.075]),
        ((warmup, {"factor": 2.0, "unit": "epoch"}), [0.1, 0.2, 0.2]),
        (Halving(), [0.1, 0.05, 0.025]),
        (Halving, [0.1, 0.05, 0.025]),
        ((inverse, {"power": 2}), [0.1, 0.025, 0.1 / 9]),
    ],
)
def test_a_schedule_of_ones_own_is_a_function_or_makes_one(rates, schedule, wanted):
    assert rates(schedule, epochs=2, steps=1).firsts == pytest.approx(wanted)


def test_an_own_schedule_may_ask_for_the_period_too(rates):
    def down(t, lr, period):
        return lr * (1 - t / period)

    assert rates((down, {"unit": "step"}), epochs=1, steps=2).firsts == pytest.approx([0.1, 0.05, 0.0])


def test_an_option_that_an_own_schedule_does_not_take_is_an_error(rates):
    with pytest.raises(ConfigError, match=r"schedule\.lenght: unknown option\. Did you mean 'length'\?"):
        rates((warmup, {"lenght": 4, "unit": "step"}))


def test_every_parameter_group_goes_by_its_own_rate(rates):
    def grouped(params):
        first, *others = params
        return torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": others}], lr=0.1)

    seen = rates(("exponential", {"gamma": 0.5}), grouped, epochs=1, steps=1).seen
    assert seen == [pytest.approx([1.0, 0.1]), pytest.approx([0.5, 0.05])]


def test_every_optimizer_goes_by_the_schedule(rates):
    def pair(params):
        first, *others = params
        return [torch.optim.SGD([first], lr=1.0), torch.optim.AdamW(others, lr=0.1)]

    seen = rates(("exponential", {"gamma": 0.5}), pair, epochs=1, steps=1).seen
    assert seen == [pytest.approx([1.0, 0.1]), pytest.approx([0.5, 0.05])]


def test_a_rate_that_is_a_tensor_is_set_in_place(rates):
    kept = []

    def adam(params):
        kept.append(torch.optim.Adam(params, lr=torch.tensor(0.1), foreach=False))
        return kept[0]

    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), adam, epochs=1, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.025])
    (group,) = kept[0].param_groups
    assert isinstance(group["lr"], torch.Tensor)
    assert group["initial_lr"] == pytest.approx(0.1)


def test_a_schedule_goes_on_where_a_resumed_run_stood(tiny_run):
    schedule = ("cosine", {"unit": "step", "period": 6, "min_lr": 0.01})
    whole, second = Rates(), Rates()
    tiny_run([whole], schedule=schedule, optimizer=sgd(), epochs=2, steps=3)
    half = tiny_run(schedule=schedule, optimizer=sgd(), epochs=1, steps=3)
    tiny_run([second], schedule=schedule, optimizer=sgd(), epochs=2, steps=3, resume=half.state)
    assert whole.firsts[0] == 0.1
    assert second.seen == whole.seen[3:]


def test_a_stopped_run_keeps_the_rate_that_it_came_to(rates):
    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), epochs=2, steps=3, max_steps=2)
    assert math.isclose(seen.firsts[-1], 0.025)


def test_without_a_schedule_the_rate_is_left_alone(tiny_run):
    seen = Rates()
    result = tiny_run([seen], optimizer=sgd(0.3), task=tiny_task, epochs=1)
    assert set(seen.firsts) == {0.3}
    assert "initial_lr" not in result.state["optimizers"][0]["param_groups"][0]
