"""A warm-up in front of any other schedule."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from hookloop import ConfigError, hookimpl
from hookloop_schedules.warmup import warmup


class Rates:
    role = "observer"

    def __init__(self):
        self.seen = []

    @hookimpl
    def on_step_start(self, run):
        self.seen.append([float(group["lr"]) for each in run.optimizers for group in each.param_groups])

    @hookimpl
    def on_fit_end(self, run):
        self.on_step_start(run)

    @property
    def firsts(self):
        return [rates[0] for rates in self.seen]


class Keeper:
    role = "observer"

    def __init__(self, step):
        self.step = step

    @hookimpl
    def persist(self, run):
        if run.step == self.step:
            from hookloop.snapshots import take

            self.state = copy.deepcopy(take(run))


def sgd(params):
    first, *others = params
    return torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": others, "lr": 0.5}], lr=1.0)


def run_with(tiny_run, options, **keywords):
    seen = Rates()
    schedule = ("warmup", {"unit": "step", **options})
    tiny_run(["schedules", seen], schedule=schedule, optimizer=sgd, **{"epochs": 1, "steps": 8, **keywords})
    return seen


def test_it_rises_to_the_rate_and_stays_without_anything_behind_it():
    rate = warmup(4, start_factor=0.2)
    assert [rate(t, 1.0) for t in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_it_is_torchs_linear_rise():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=7)
    rate = warmup(7, start_factor=0.25)
    for t in range(12):
        assert rate(t, 0.3) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_what_is_behind_it_has_what_is_left_of_the_run(tiny_run):
    seen = run_with(tiny_run, {"length": 4, "start_factor": 0.0, "then": {"use": "linear", "min_lr": 0.2}})
    assert seen.firsts == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert [rates[1] for rates in seen.seen] == pytest.approx([0, 0.125, 0.25, 0.375, 0.5, 0.425, 0.35, 0.275, 0.2])


def test_it_rises_to_where_a_cycle_begins():
    rate = warmup(2, then={"use": "cyclical", "half_cycle": 2, "min_lr": 0.1}, start_factor=0.0)
    assert [rate(t, 1.0) for t in range(5)] == pytest.approx([0.0, 0.05, 0.1, 0.55, 1.0])


@pytest.mark.parametrize("then", ["cosine", "step", "exponential", "cyclical", "polynomial", "one_cycle", "piecewise"])
def test_in_front_of_any_pure_schedule_it_is_a_pure_function(then):
    options = {"step": {"step_size": 2}, "exponential": {"gamma": 0.5}, "cyclical": {"half_cycle": 2, "min_lr": 0.1}}
    options |= {"piecewise": {"points": [[0, 1.0], [3, 0.5]]}}
    table = {"use": then, **options.get(then, {})}
    rate = warmup(3, then=table, period=10)
    assert rate(0, 1.0) == 0.01 * rate(3, 1.0)
    assert all(rate(t, 1.0) >= 0 for t in range(12))


def own(t, lr):
    return lr / (t + 1)


@pytest.mark.parametrize("then", [own, f"{__file__}:own", {"use": "function", "function": own}])
def test_a_users_own_function_may_be_behind_it(then):
    rate = warmup(2, then=then, start_factor=0.5)
    assert [rate(t, 1.0) for t in range(4)] == [0.5, 0.75, 1.0, 0.5]


def test_in_front_of_torchs_it_hands_over_at_the_top_and_resumes_anywhere(tiny_run):
    then = {"use": "ExponentialLR", "gamma": 0.5}
    options = {"length": 2, "start_factor": 0.0, "then": then}
    whole = run_with(tiny_run, options, steps=5)
    assert whole.firsts == [0.0, 0.5, 1.0, 0.5, 0.25, 0.125]
    for step in (1, 2, 4):
        keeper, rest = Keeper(step), Rates()
        schedule = ("warmup", {"unit": "step", **options})
        settings = {"schedule": schedule, "optimizer": sgd, "epochs": 1, "steps": 5}
        tiny_run(["schedules", keeper], **settings)
        tiny_run(["schedules", rest], resume=keeper.state, **settings)
        assert rest.seen == whole.seen[step:]


def test_in_front_of_a_plateau_values_count_when_the_rise_is_over(tiny_run):
    then = {"use": "reduce_on_plateau", "factor": 0.5, "patience": 0, "min_delta": 1e9, "min_delta_mode": "abs"}
    options = {"length": 3, "start_factor": 0.25, "then": then}
    seen = run_with(tiny_run, options, steps=7, validate_every="1 step")
    assert seen.firsts == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.5, 0.25, 0.125, 0.0625])


def test_changed_options_of_torchs_scheduler_behind_it_are_told(tiny_run):
    settings = {"optimizer": sgd, "steps": 3}
    then = {"use": "StepLR", "step_size": 3}
    half = tiny_run(["schedules"], schedule=("warmup", {"length": 1, "then": then}), epochs=1, **settings)
    schedule = ("warmup", {"length": 1, "then": {**then, "step_size": 4}})
    with pytest.raises(ConfigError, match="had the options"):
        tiny_run(["schedules"], schedule=schedule, epochs=2, resume=half.state, **settings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 0}, "length must be more than 0"),
        ({"length": 1, "start_factor": 2.0}, "start_factor must be from 0 to 1"),
        ({"length": 1, "then": "cosin"}, "then: there is no schedule 'cosin'. Did you mean 'cosine'?"),
        ({"length": 1, "then": {"gamma": 0.5}}, "then: there is no schedule None"),
        ({"length": 1, "then": {"use": "step", "size": 3}}, "then: 'step' takes step_size, gamma; it was given size"),
        ({"length": 1, "then": {"use": "step", "step_size": 0}}, "then: step_size must be more than 0"),
        ({"length": 1, "then": "nowhere.py:f"}, "then: there is no file 'nowhere.py'"),
    ],
)
def test_a_mistake_is_told_as_one_of_the_configuration(tiny_run, options, said):
    with pytest.raises(ConfigError) as caught:
        run_with(tiny_run, options)
    assert said in str(caught.value)
