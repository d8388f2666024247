"""Words and lines."""

import math
import shlex

import pytest

from hookloop_progress import text
from hookloop_progress.view import View

MIDWAY = View(
    fitting=True,
    stage="train",
    step=200,
    steps=1000,
    epoch=1,
    epoch_number=2,
    epochs=5,
    batch=0,
    batches=200,
    evaluated=0,
    evaluations=None,
    metrics={"train/loss": 0.411111, "val/loss": 12345.678},
    per_second=210.4,
    eta_seconds=4.9,
    elapsed_seconds=1.234,
    outcome=None,
    stop_reason=None,
)


def changed(**values):
    return View(**{name: values.get(name, getattr(MIDWAY, name)) for name in View.__dataclass_fields__})


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "00:00"), (59.9, "00:59"), (3599, "59:59"), (3600, "1:00:00"), (86399, "23:59:59"), (90061, "1d01:01:01")],
)
def test_durations(seconds, expected):
    assert text.duration(seconds) == expected


@pytest.mark.parametrize(("given", "expected"), [(12345.6, "12346"), (100, "100"), (3.14159, "3.14"), (0.031, "0.031")])
def test_rates_have_no_exponent(given, expected):
    assert text.rate(given) == expected


def test_a_line_is_words_of_key_and_value():
    line = text.line(MIDWAY)
    assert line == "step=200/1000 epoch=1/5 train/loss=0.4111 val/loss=1.235e+04 it/s=210 eta=00:04"
    assert dict(word.split("=") for word in line.split())["step"] == "200/1000"


def test_what_is_unknown_is_left_out():
    line = text.line(changed(steps=None, epochs=None, per_second=None, eta_seconds=None, metrics={}))
    assert line == "step=200 epoch=1"


def test_an_evaluation_inside_of_a_fit_is_shown():
    line = text.line(changed(stage="validate", evaluated=12, evaluations=40, metrics={}))
    assert line.startswith("step=200/1000 epoch=1/5 validate=12/40 ")


def test_an_evaluation_on_its_own_has_no_steps():
    line = text.line(changed(fitting=False, stage="test", evaluated=3, evaluations=None, metrics={}))
    assert line == "test=3 it/s=210 eta=00:04"


def test_a_metric_whose_name_has_blanks_stays_one_word():
    line = text.line(changed(metrics={"my loss = x": 1.0}))
    assert "my_loss___x=1" in line.split()


def test_metrics_are_cut_by_whole_words():
    line = text.line(changed(metrics={f"metric/{i:02}": i / 7 for i in range(40)}))
    assert len(line) <= text.LINE_COLUMNS
    assert line.endswith("it/s=210 eta=00:04")
    assert all(len(word.split("=")) == 2 and word.split("=")[1] for word in line.split())


def test_nan_and_infinity_are_shown_as_they_are():
    assert text.metric_words({"a": math.nan, "b": -math.inf}) == ["a=nan", "b=-inf"]


def test_the_summary_says_outcome_steps_time_and_reason():
    words = shlex.split(text.summary(changed(outcome="stopped", stop_reason="val/loss stands still")))
    assert words[:2] == ["outcome=stopped", "step=200/1000"]
    assert words[-2:] == ["seconds=1.23", "reason=val/loss stands still"]


def test_only_whole_words_fit():
    assert text.that_fit(["abc", "def", "g"], 7, 1) == ["abc", "def"]
    assert text.that_fit(["abcd"], 3, 1) == []
