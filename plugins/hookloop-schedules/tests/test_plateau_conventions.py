"""How torch and Keras count to a plateau, each convention as it is, with its off-by-ones."""

import math
import random

import pytest
import torch
from torch.optim import lr_scheduler

from hookloop_schedules.plateau import Memory, reduce_on_plateau

LEAST = 1e-6


def optimizer_of(*rates):
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in rates]
    return torch.optim.SGD(groups, lr=1.0)


def rates_after(plateau, values):
    """Return the first group's rate after each of *values*."""
    rates = []
    for value in values:
        plateau.step(value)
        rates.append(plateau.optimizer.param_groups[0]["lr"])
    return rates


def reductions(values, lr=1.0, **options):
    """Return the indices of *values* at which the rate falls."""
    rates = [lr, *rates_after(reduce_on_plateau(optimizer_of(lr), **options), values)]
    return [index for index in range(len(values)) if rates[index + 1] < rates[index]]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"patience": 0}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"patience": 1}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"patience": 2}, [2, 4, 6, 8]),
        ({"patience": 2, "cooldown": 1}, [2, 4, 6, 8]),
        ({"patience": 2, "cooldown": 2}, [2, 5, 8]),
        ({"patience": 2, "cooldown": 3}, [2, 6]),
    ],
)
def test_the_off_by_ones_of_keras_are_kept_by_its_convention(options, wanted):
    """Patience 0 is 1, cooldown 1 is 0, and a cooldown of c leaves out c - 1 values."""
    assert reductions([1.0] * 10, convention="keras", factor=0.5, **options) == wanted


def test_torchs_convention_has_patience_and_cooldown_as_they_are_said():
    assert reductions([1.0] * 8, factor=0.5, patience=0) == [1, 2, 3, 4, 5, 6, 7]
    assert reductions([1.0] * 8, factor=0.5, patience=2) == [3, 6]
    assert reductions([1.0] * 12, factor=0.5, patience=1, cooldown=3) == [2, 7]


def test_keras_at_the_lowest_rate_changes_nothing_and_goes_on_counting():
    plateau = reduce_on_plateau(optimizer_of(1.0), "keras", factor=0.5, patience=1, min_lr=0.3, cooldown=5)
    plateau.memory = Memory(best=1.0)
    assert rates_after(plateau, [1.0]) == [0.5]
    plateau.memory = Memory(best=1.0)
    assert rates_after(plateau, [1.0, 1.0, 1.0]) == [0.3, 0.3, 0.3]
    plateau.memory = Memory(best=1.0)
    rates_after(plateau, [1.0, 1.0, 1.0])
    assert plateau.memory == Memory(best=1.0, waited=3)


@pytest.mark.parametrize("convention", ["torch", "keras"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_is_never_the_best(convention, mode):
    """Keras takes a NaN that comes first for the best, and finds no better one ever after."""
    plateau = reduce_on_plateau(optimizer_of(1.0), convention, mode=mode, patience=5)
    sign = 1.0 if mode == "min" else -1.0
    assert rates_after(plateau, [math.nan, sign * 3.0, math.nan, sign * 2.0, math.nan]) == [1.0] * 5
    assert plateau.memory.best == sign * 2.0
    assert plateau.memory.waited == 1


@pytest.mark.parametrize("convention", ["torch", "keras"])
def test_nan_for_long_enough_lowers_the_rate(convention):
    assert reductions([1.0, math.nan, math.nan, math.nan], convention=convention, patience=1)


def test_every_group_is_reduced_by_itself_down_to_the_lowest():
    plateau = reduce_on_plateau(optimizer_of(1.0, 0.1), factor=0.1, patience=0, min_lr=0.05)
    rates_after(plateau, [1.0, 1.0])
    assert [group["lr"] for group in plateau.optimizer.param_groups] == [0.1, 0.05]


def test_a_rate_that_is_a_tensor_is_set_in_place():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=torch.tensor(1.0), foreach=False)
    kept = optimizer.param_groups[0]["lr"]
    rates_after(reduce_on_plateau(optimizer, factor=0.5, patience=0), [1.0, 1.0])
    assert kept.item() == 0.5


def random_values(draw):
    """Return a sequence with ties, NaN and infinities among it."""
    values = [draw.choice([1.0, 0.5, draw.random(), round(draw.random(), 1)]) for _ in range(draw.randint(5, 40))]
    for index in range(len(values)):
        if draw.random() < 0.1:
            values[index] = draw.choice([math.nan, math.inf, -math.inf, values[max(index - 1, 0)]])
    return values


def random_options(draw):
    return {
        "mode": draw.choice(["min", "max"]),
        "factor": draw.choice([0.1, 0.5, 0.9]),
        "patience": draw.randint(0, 4),
        "cooldown": draw.randint(0, 4),
        "min_lr": draw.choice([0.0, 0.001, 0.1]),
    }


def test_torchs_convention_is_torchs_class_on_random_sequences():
    for seed in range(500):
        compare_with_torch(random.Random(seed))


def compare_with_torch(draw):
    values, options = random_values(draw), random_options(draw)
    delta, kind = draw.choice([0.0, 1e-4, 0.1]), draw.choice(["rel", "abs"])
    theirs = optimizer_of(1.0, 0.03)
    scheduler = lr_scheduler.ReduceLROnPlateau(theirs, threshold=delta, threshold_mode=kind, **options)
    ours = reduce_on_plateau(optimizer_of(1.0, 0.03), min_delta=delta, min_delta_mode=kind, **options)
    for value in values:
        scheduler.step(value)
        ours.step(value)
        pairs = zip(theirs.param_groups, ours.optimizer.param_groups, strict=True)
        assert all(their["lr"] == our["lr"] for their, our in pairs)


@pytest.mark.parametrize("convention", ["torch", "keras"])
@pytest.mark.parametrize("seed", range(20))
def test_its_state_goes_on_where_it_was_at_any_value(convention, seed):
    draw = random.Random(seed)
    values, options = random_values(draw), random_options(draw)
    whole = rates_after(reduce_on_plateau(optimizer_of(1.0), convention, **options), values)
    for cut in range(len(values)):
        before = reduce_on_plateau(optimizer_of(1.0), convention, **options)
        first = rates_after(before, values[:cut])
        after = reduce_on_plateau(optimizer_of(before.optimizer.param_groups[0]["lr"]), convention, **options)
        after.load_state_dict(before.state_dict())
        assert first + rates_after(after, values[cut:]) == whole


def test_a_patience_that_was_changed_in_the_file_takes_effect():
    before = reduce_on_plateau(optimizer_of(1.0), patience=10)
    rates_after(before, [1.0] * 4)
    after = reduce_on_plateau(optimizer_of(1.0), patience=3)
    after.load_state_dict(before.state_dict())
    assert rates_after(after, [1.0]) == [0.1]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "it has nothing, and not best, resting, waited"),
        ({"best": 1.0, "waited": 1}, "it has best, waited"),
        ({"best": math.nan, "waited": 1, "resting": 0}, "its best value is nan"),
        ({"best": "1", "waited": 1, "resting": 0}, "its best value is '1'"),
        ({"best": 1.0, "waited": -1, "resting": 0}, "its counts are -1 and 0"),
    ],
)
def test_a_state_that_is_none_is_refused(state, said):
    with pytest.raises(ValueError, match=said):
        reduce_on_plateau(optimizer_of(1.0)).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"convention": "mxnet"}, "convention must be 'torch' or 'keras'"),
        ({"mode": "auto"}, "mode must be 'min' or 'max'"),
        ({"factor": 1.0}, "factor must be from 0 to less than 1"),
        ({"patience": -1}, "patience and cooldown must be 0 or more"),
        ({"min_delta": -1.0}, "min_delta and min_lr must be 0 or more"),
        ({"min_delta_mode": "log"}, "min_delta_mode must be"),
        ({"min_delta_mode": "rel", "convention": "keras"}, "'abs' for Keras"),
    ],
)
def test_a_wrong_option_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        reduce_on_plateau(optimizer_of(1.0), **options)
