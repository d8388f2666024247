"""Which snapshots are the best."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop_checkpoint.monitor import mode_of
from hookloop_checkpoint.ranking import Candidate, Ranking


def ranked(values, mode="min", size=1, **options):
    ranking = Ranking(mode, size, **options)
    for step, value in enumerate(values, 1):
        ranking = ranking.with_candidate(Candidate(f"step-{step}", value, step))
    return ranking


def steps(ranking):
    return [each.step for each in ranking.entries]


@pytest.mark.parametrize(
    ("values", "mode", "size", "best_first"),
    [
        ([0.01, 0.02, 0.001], "min", 1, [3]),
        ([0.01, 0.02, 0.001], "min", 2, [3, 1]),
        ([0.01, 0.02, 0.001], "max", 2, [2, 1]),
        ([5, 5, 5], "min", 1, [1]),
        ([5, 5, 5], "max", 2, [1, 2]),
        ([3, 2, 2, 1, 2], "min", 3, [4, 2, 3]),
        ([0.0, 0.5], "min", 1, [1]),
        ([-1.0, 0.0], "max", 1, [2]),
        ([], "min", 3, []),
    ],
)
def test_the_best_stand_first_and_a_later_one_has_to_be_strictly_better(values, mode, size, best_first):
    assert steps(ranked(values, mode, size)) == best_first


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_the_best_and_spoils_nothing(mode, wrong):
    assert steps(ranked([wrong], mode)) == []
    assert steps(ranked([wrong, 7.0, wrong], mode)) == [2]


def test_a_threshold_has_to_be_beaten_strictly():
    assert steps(ranked([0.6, 0.5, 0.4], better_than=0.5)) == [3]
    assert steps(ranked([0.6, 0.5, 0.4], "max", better_than=0.5)) == [1]


def test_a_snapshot_that_is_replaced_takes_its_place_along():
    ranking = ranked([1.0, 2.0, 3.0], size=3).with_candidate(Candidate("step-1", 9.0, 1))
    assert [each.name for each in ranking.entries] == ["step-2", "step-3", "step-1"]


def test_candidates_that_are_known_already_change_nothing():
    ranking = ranked([1.0, 1.0, 0.5], size=2)
    assert ranking.with_candidates(ranking.entries[::-1]) == ranking


def test_its_state_is_plain_and_comes_back():
    ranking = ranked([3.0, 1.0, 2.0], size=2)
    assert Ranking("min", 2).with_state(json.loads(json.dumps(ranking.as_state()))) == ranking


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.floats(allow_infinity=False, width=16), max_size=12), st.sampled_from(["min", "max"]), st.integers(1, 4)
)
def test_it_is_the_sorted_list_of_all_that_was_measured(values, mode, size):
    sign = 1 if mode == "min" else -1
    real = sorted((sign * value, step) for step, value in enumerate(values, 1) if not math.isnan(value))
    assert steps(ranked(values, mode, size)) == [step for _, step in real[:size]]


@pytest.mark.parametrize(
    ("metric", "mode"), [("val/loss", "min"), ("train/Perplexity", "min"), ("val/error", "min"), ("val/f1", None)]
)
def test_the_name_of_a_loss_says_that_low_is_good(metric, mode):
    assert mode_of(metric) == mode
