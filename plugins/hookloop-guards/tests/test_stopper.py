"""The decision by itself: numbers in, verdicts out."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hookloop_guards import EarlyStopping
from hookloop_guards.stopper import Rules, Stopper

NAN, INF = math.nan, math.inf


def stopped_at(values, **rules):
    """Return the index of the value at which training stops, or None."""
    stopper = Stopper(Rules(**rules))
    for index, value in enumerate(values):
        if stopper.judge(value, first_epoch=index == 0).reason is not None:
            return index
    return None


@pytest.mark.parametrize(("patience", "index"), [(1, 1), (2, 2), (3, 3)])
def test_the_patience_th_value_in_a_row_without_an_improvement_stops(patience, index):
    """TNT and Lightning count like this: with patience 2, the third check of a constant stops."""
    assert stopped_at([1, 1, 1, 1, 1], patience=patience) == index


@pytest.mark.parametrize(("patience", "index"), [(0, 1), (1, 1), (2, 2)])
def test_in_kerass_convention_a_patience_of_0_is_one_of_1(patience, index):
    """1.1: values 1, 2, 3, 4."""
    assert stopped_at([1, 2, 3, 4], patience=patience, convention="keras") == index


@pytest.mark.parametrize("convention", ["consecutive", "keras"])
def test_a_change_of_exactly_min_delta_is_no_improvement(convention):
    assert stopped_at([2, 1.5], patience=1, min_delta=0.5, convention=convention) == 1
    assert stopped_at([2, 1.49], patience=1, min_delta=0.5, convention=convention) is None


def test_a_relative_min_delta_is_a_share_of_the_best():
    assert stopped_at([100, 99.5], patience=1, min_delta=0.01, relative=True) == 1
    assert stopped_at([100, 98.5], patience=1, min_delta=0.01, relative=True) is None
    assert stopped_at([-100, -100.5], patience=1, min_delta=0.01, relative=True) == 1
    assert stopped_at([-100, -101.5], patience=1, min_delta=0.01, relative=True) is None


def test_an_improvement_below_the_baseline_does_not_end_the_wait():
    """Keras goes on for ever there, as long as each value is a little better (1.1)."""
    values = [5, 4.9, 4.8, 4.7, 4.6]
    assert stopped_at(values, patience=3, baseline=1.0) == 2
    assert stopped_at(values, patience=3, baseline=1.0, convention="keras") is None


def test_in_kerass_convention_the_first_bad_value_below_the_baseline_may_stop():
    """1.1: 5, 6 with patience 2 stops at index 1, since the first epoch was counted."""
    assert stopped_at([5, 6], patience=2, baseline=1.0, convention="keras") == 1


@pytest.mark.parametrize("convention", ["consecutive", "keras"])
def test_nan_as_the_first_value_is_never_the_best(convention):
    """Keras: it is the best for ever, nothing improves on it, and its weights are restored (1.1)."""
    stopper = Stopper(Rules(patience=2, convention=convention))
    assert not stopper.judge(NAN, first_epoch=True).improved
    assert stopper.judge(3.0).improved
    assert stopper.best == 3.0
    assert stopped_at([NAN, 5, 4, 3, 2], patience=2, convention=convention) is None


def test_nan_counts_as_no_improvement():
    assert stopped_at([1, NAN, NAN], patience=2) == 2


@pytest.mark.parametrize(("mode", "best"), [("min", -INF), ("max", INF)])
def test_infinity_is_never_the_best(mode, best):
    stopper = Stopper(Rules(mode=mode, patience=9))
    for value in (best, 1.0, best, 2.0):
        stopper.judge(value)
    assert stopper.best == (1.0 if mode == "min" else 2.0)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_check_finite_stops_at_once(value):
    assert stopped_at([2, 1, value], patience=9, check_finite=True) == 2


def test_thresholds_stop_beyond_them_and_not_at_them():
    assert stopped_at([3, 1, 0.9], patience=9, stopping_threshold=1.0) == 2
    assert stopped_at([3, 9, 9.1], patience=9, divergence_threshold=9.0) == 2
    assert stopped_at([0.5, 0.9, 0.95], mode="max", patience=9, stopping_threshold=0.9) == 2
    assert stopped_at([0.5, 0.1, 0.05], mode="max", patience=9, divergence_threshold=0.1) == 2


def test_infinity_has_diverged_and_has_not_arrived():
    assert stopped_at([1, INF], patience=9, divergence_threshold=9.0) == 1
    assert stopped_at([1, -INF], patience=9, stopping_threshold=0.1) is None


def test_a_best_of_zero_is_a_best():
    """TNT takes 0.0 for no metric at all (4.1, 6)."""
    assert stopped_at([0.0, 0.5, 0.5], patience=2) == 2


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(width=32), max_size=12), st.integers(1, 4), st.sampled_from(["min", "max"]))
def test_a_state_in_the_middle_changes_nothing(values, patience, mode):
    rules = Rules(mode=mode, patience=patience)
    whole = Stopper(rules)
    parted = Stopper(rules)
    for value in values:
        again = Stopper(rules)
        again.load_state_dict(parted.state_dict())
        parted = again
        assert parted.judge(value) == whole.judge(value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "val/accuracy"}, "low or a high"),
        ({"patience": 0}, "patience = 0"),
        ({"min_delta": -1}, "min_delta is 0 or more"),
        ({"convention": "keras", "min_delta_mode": "relative"}, "no relative"),
        ({"start_from": -1}, "0 or more"),
        ({"start_from": "3 min"}, "steps or epochs"),
        ({"mode": "auto"}, "min"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_runs(options, message):
    """Keras: an unknown mode is a warning, and a direction that it cannot know an error after the first epoch (1.1)."""
    with pytest.raises(ValidationError, match=message):
        EarlyStopping.Config(**options)
