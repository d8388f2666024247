"""Conditions on metrics."""

import math

import pytest

from hookloop_notify.conditions import Condition, Watch

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("< 0.1", [0.0999, -math.inf], [0.1, 1, NAN]),
        ("<= 1e-3", [1e-3], [1.1e-3, NAN]),
        (">.5", [0.6, math.inf], [0.5, NAN]),
        (" >= +1_000 ", [1000], [999.9]),
        ("== 0", [0.0, -0.0], [1e-300, NAN]),
        ("!= 0", [1.0], [0.0]),
        ("nan", [NAN], [math.inf, 0.0]),
        ("Inf", [math.inf, -math.inf], [NAN, 1e308]),
        ("not  finite", [NAN, math.inf], [0.0]),
    ],
)
def test_a_condition_holds_for_these_and_not_for_those(text, true, false):
    condition = Condition.parse(text)
    assert [value for value in true if not condition.holds(value)] == []
    assert [value for value in false if condition.holds(value)] == []


@pytest.mark.parametrize("text", ["", "0.1", "=< 1", "< nan", "< 1 or > 2", "< 0,1", "finite", "= 1"])
def test_what_is_no_condition_is_an_error_that_says_how_to_write_one(text):
    with pytest.raises(ValueError, match=r"must be one of <, <=, .* such as '< 0\.1', or one of 'nan', 'inf'"):
        Condition.parse(text)


def test_it_is_told_when_it_becomes_true_and_again_only_after_it_was_false():
    watch = Watch.parse({"loss": ["< 1"]})
    told = [watch.check({"loss": value}) for value in (2, 0.5, 0.4, 0.3, 2, 0.2)]
    assert told == [[], ["loss is 0.5, < 1"], [], [], [], ["loss is 0.2, < 1"]]


def test_a_boundary_without_the_metric_changes_nothing():
    watch = Watch.parse({"val/loss": ["nan"]})
    assert watch.check({"val/loss": NAN}) == ["val/loss is nan"]
    assert watch.check({"train/loss": 1.0}) == []
    assert watch.check({"val/loss": NAN}) == []


def test_several_conditions_of_a_metric_are_told_one_by_one():
    watch = Watch.parse({"loss": ["< 1", "not finite", "< 0.5"]})
    assert watch.check({"loss": 0.4}) == ["loss is 0.4, < 1", "loss is 0.4, < 0.5"]
    assert watch.check({"loss": NAN}) == ["loss is nan"]


def test_a_pattern_watches_each_metric_by_itself():
    watch = Watch.parse({"gpu*/heat": ["> 80"]})
    assert watch.check({"gpu0/heat": 81.0, "gpu1/heat": 70.0, "heat": 99.0}) == ["gpu0/heat is 81, > 80"]
    assert watch.check({"gpu0/heat": 82.0, "gpu1/heat": 90.0}) == ["gpu1/heat is 90, > 80"]


def test_a_name_with_brackets_is_found_as_it_stands():
    assert Watch.parse({"acc[1]": ["> 0"]}).check({"acc[1]": 1.0}) == ["acc[1] is 1, > 0"]


def test_a_name_that_nothing_was_logged_under_is_told_once_with_the_nearest():
    watch = Watch.parse({"val/los": ["< 1", "nan"], "train/loss": ["nan"]})
    watch.check({"val/loss": 1.0, "train/loss": 1.0})
    assert list(watch.unseen()) == ["when: nothing was logged as 'val/los'. Did you mean 'val/loss'?"]
