"""Rates and times left, by a clock that the test moves."""

import pytest

from hookloop_progress.pace import Pace


def steps_at(pace, *seconds, start=0):
    for count, now in enumerate(seconds, start + 1):
        pace.mark(count, now)


def test_nothing_is_known_before_the_second_step():
    pace = Pace()
    assert pace.per_second() is None
    assert pace.seconds_left(5, 0.0) is None
    steps_at(pace, 3.0)
    assert pace.per_second() is None
    assert pace.overall_per_second() is None
    assert pace.seconds_left(5, 3.0) is None


def test_the_rate_is_exact_and_leaves_out_the_first_step():
    pace = Pace()
    steps_at(pace, 60.0, 60.5, 61.0, 61.5)
    assert pace.per_second() == 2.0
    assert pace.overall_per_second() == 2.0


def test_the_rate_is_that_of_the_last_ten_seconds():
    pace = Pace()
    for step in range(1, 21):
        pace.mark(step, float(step))
        pace.per_second()
    for step in range(21, 61):
        pace.mark(step, 20.0 + (step - 20) * 0.5)
        pace.per_second()
    assert pace.per_second() == pytest.approx(2.0)
    assert pace.overall_per_second() == pytest.approx(59 / 39)


def test_the_rate_of_steps_slower_than_the_window_is_known():
    pace = Pace()
    steps_at(pace, 30.0, 60.0)
    assert pace.per_second() == pytest.approx(1 / 30)
    pace.mark(3, 90.0)
    assert pace.per_second() == pytest.approx(1 / 30)


def test_looking_again_before_another_step_is_complete_changes_nothing():
    pace, other = Pace(), Pace()
    for each in (pace, other):
        steps_at(each, 1.0, 2.0)
    pace.mark(2, 2.9)
    pace.mark(1, 2.95)
    for each in (pace, other):
        each.mark(3, 3.0)
    assert pace.per_second() == other.per_second() == 1.0
    assert pace.seconds_left(4, 3.0) == other.seconds_left(4, 3.0) == 4.0


def test_a_pause_does_not_slow_the_rate():
    pace = Pace()
    steps_at(pace, 1.0, 2.0)
    pace.pause(2.0)
    pace.resume(7.0)
    pace.mark(3, 8.0)
    assert pace.per_second() == 1.0


def test_the_time_left_has_pauses_in_its_average():
    pace = Pace()
    steps_at(pace, 1.0, 2.0)
    pace.pause(2.0)
    pace.resume(6.0)
    pace.mark(3, 7.0)
    assert pace.seconds_left(10, 7.0) == 30.0


def test_the_time_left_runs_down_during_a_long_step_and_stops_at_zero():
    pace = Pace()
    steps_at(pace, 10.0, 20.0)
    assert pace.seconds_left(2, 20.0) == 20.0
    assert pace.seconds_left(2, 25.0) == 15.0
    assert pace.seconds_left(2, 99.0) == 0.0


def test_a_resumed_run_is_timed_from_where_it_was_resumed():
    pace = Pace()
    steps_at(pace, 1.0, 2.0, start=1000)
    assert pace.per_second() == 1.0
    assert pace.seconds_left(3, 2.0) == 3.0


def test_resuming_what_was_not_paused_changes_nothing():
    pace = Pace()
    pace.resume(5.0)
    steps_at(pace, 6.0, 7.0)
    assert pace.per_second() == 1.0


def test_a_clock_that_stands_still_gives_no_rate():
    pace = Pace()
    steps_at(pace, 1.0, 1.0)
    assert pace.per_second() is None
    assert pace.seconds_left(4, 1.0) == 0.0
