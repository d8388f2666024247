"""The pure schedules: their reference values, and torch's sequences."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from hookloop_schedules.offered import OWN

EPOCHS_OF_A_CYCLE = 20


def values(name, options, lr, times):
    rate = OWN[name](**options)
    return {t: rate(t, lr) for t in times}


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("step", {"step_size": 30, "gamma": 0.1}, {0: 0.1, 1: 0.1, 29: 0.1, 30: 0.01, 60: 0.001}),
        ("exponential", {"gamma": 0.5}, {0: 0.1, 1: 0.05, 2: 0.025, 3: 0.0125}),
        ("cosine", {"period": 100, "min_lr": 0.001}, {0: 0.1, 50: 0.0505, 100: 0.001, 200: 0.001}),
        ("cyclical", {"half_cycle": 20, "min_lr": 0.001}, {0: 0.001, 20: 0.1, 40: 0.001, 60: 0.1}),
        ("constant", {}, {0: 0.1, 999: 0.1}),
        ("linear", {"period": 100, "min_lr": 0.001}, {0: 0.1, 50: 0.0505, 100: 0.001, 101: 0.001}),
        ("polynomial", {"period": 4, "power": 2.0}, {0: 0.1, 2: 0.025, 4: 0.0, 5: 0.0}),
        ("piecewise", {"points": [[0, 1.0], [30, 0.1], [60, 0.5]]}, {0: 0.1, 29: 0.1, 30: 0.1 * 0.1, 60: 0.05}),
    ],
)
def test_the_reference_values_hold_as_floats(name, options, wanted):
    assert values(name, options, 0.1, wanted) == wanted


def test_the_cyclical_schedule_is_smiths_with_floor_and_absolute_value():
    rate = OWN["cyclical"](20, 0.001)
    for t in range(200):
        cycle = math.floor(1 + t / 40)
        x = abs(t / 20 - 2 * cycle + 1)
        assert rate(t, 0.1) == pytest.approx(0.001 + 0.099 * max(0, 1 - x), rel=1e-12)


def test_triangular2_halves_each_cycle_and_exp_range_shrinks_each_step():
    halving = OWN["cyclical"](10, 0.0, "triangular2")
    assert [halving(t, 1.0) for t in (10, 30, 50)] == [1.0, 0.5, 0.25]
    shrinking = OWN["cyclical"](10, 0.0, "exp_range", gamma=0.9)
    assert [shrinking(t, 1.0) for t in (5, 10, 20)] == [0.5 * 0.9**5, 0.9**10, 0.0]


def test_a_cosine_with_restarts_begins_anew_and_ends_with_the_period():
    rate = OWN["cosine"](70, 0.0, restarts=2, growth=2.0)
    assert [rate(t, 1.0) for t in (0, 10, 30, 70, 71)] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert rate(5, 1.0) == pytest.approx(0.5)
    assert rate(9, 1.0) < 0.05


def test_restarts_of_equal_length_are_torchs_warm_restarts():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=25, eta_min=0.01)
    rate = OWN["cosine"](100, 0.01, restarts=3)
    assert [rate(t, 0.3) for t in range(100)] == pytest.approx(sequence(optimizer, scheduler, 100), rel=1e-12)


def sequence(optimizer, scheduler, count):
    """Return the rates that *scheduler* sets, the first before any step."""
    seen = []
    for _ in range(count):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return seen


def one_cycle_of_torch(count, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=count, cycle_momentum=False, **options)
    return sequence(optimizer, scheduler, count)


@pytest.mark.parametrize("count", [2, 7, 10, 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"anneal_strategy": "linear"},
        {"three_phase": True, "pct_start": 0.35},
        {"div_factor": 3.0, "final_div_factor": 7.0, "pct_start": 0.55},
    ],
)
def test_one_cycle_is_torchs_to_the_last_bit(count, options):
    rate = OWN["one_cycle"](count, **options)
    assert [rate(t, 0.3) for t in range(count)] == one_cycle_of_torch(count, **options)


def test_one_cycle_has_a_rate_where_torchs_divides_by_zero():
    with pytest.raises(ZeroDivisionError):
        one_cycle_of_torch(10, pct_start=0.1)
    assert OWN["one_cycle"](10, pct_start=0.1)(0, 1.0) == 1.0


def test_one_cycle_stays_at_its_bottom_where_torchs_raises():
    rate = OWN["one_cycle"](10)
    assert rate(9, 1.0) == rate(10, 1.0) == rate(99, 1.0) == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize(
    ("interpolate", "wanted"), [("none", 1.0), ("linear", 0.75), ("cosine", (1 + math.cos(math.pi / 4)) / 4 + 0.5)]
)
def test_between_two_points_the_factor_is_the_first_or_on_the_way(interpolate, wanted):
    rate = OWN["piecewise"]([[0, 1.0], [4, 0.5]], interpolate)
    at = {"none": 3, "linear": 2, "cosine": 1}[interpolate]
    assert rate(at, 1.0) == pytest.approx(wanted)
    assert [rate(t, 2.0) for t in (0, 4, 9)] == [2.0, 1.0, 1.0]


def test_before_its_first_point_a_piecewise_schedule_has_its_first_factor():
    assert OWN["piecewise"]([[5, 0.5], [9, 0.1]], "linear")(0, 1.0) == 0.5


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cosine", {"period": 0}, "period must be more than 0"),
        ("cosine", {"period": 9, "restarts": -1}, "restarts must be 0 or more"),
        ("cosine", {"period": 9, "growth": 0}, "growth must be more than 0"),
        ("cyclical", {"half_cycle": 0, "min_lr": 0}, "half_cycle must be more than 0"),
        ("cyclical", {"half_cycle": 1, "min_lr": 0, "mode": "square"}, "mode must be one of triangular, triangular2"),
        ("cyclical", {"half_cycle": 1, "min_lr": 0, "gamma": 0.9}, "gamma belongs to mode = 'exp_range'"),
        ("cyclical", {"half_cycle": 1, "min_lr": 0, "mode": "exp_range"}, "gamma belongs to mode = 'exp_range'"),
        ("polynomial", {"period": 0}, "period must be more than 0"),
        ("polynomial", {"period": 1, "power": 0}, "power must be more than 0"),
        ("one_cycle", {"period": 0}, "period must be more than 0"),
        ("one_cycle", {"period": 1, "pct_start": 2}, "pct_start must be from 0 to 1"),
        ("one_cycle", {"period": 1, "anneal_strategy": "sin"}, "anneal_strategy must be 'cos' or 'linear'"),
        ("piecewise", {"points": []}, "points must be pairs"),
        ("piecewise", {"points": [[0, 1, 2]]}, "points must be pairs"),
        ("piecewise", {"points": [[3, 1], [3, 2]]}, "points must be in order"),
        ("piecewise", {"points": [[3, 1]], "interpolate": "square"}, "interpolate must be"),
    ],
)
def test_a_wrong_option_is_refused_when_the_schedule_is_made(name, options, said):
    with pytest.raises(ValueError, match=said):
        OWN[name](**options)


@pytest.mark.parametrize("name", ["cosine", "linear", "polynomial", "one_cycle"])
def test_a_rate_is_never_outside_of_its_range(name):
    rate = OWN[name](period=37)
    assert all(0 <= rate(t, 0.1) <= 0.1 for t in range(50))
