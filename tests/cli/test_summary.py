from pathlib import Path

import pytest

from hookloop.cli.summary import duration, lowest_and_highest, number, share, summarize
from hookloop.manager import Failure
from hookloop.result import Result


def result(**changes):
    values = {
        "outcome": "completed",
        "stop_reason": None,
        "directory": Path("runs/tiny/1"),
        "metrics": {},
        "history": [],
        "epoch": 0,
        "step": 0,
        "samples": 0,
        "elapsed_seconds": 2.0,
        "state": {},
    }
    return Result(**{**values, **changes})


WHOLE = """\
stopped (no better for 3 epochs): 2 epochs, 20 steps, 640 samples in 8 s (80
samples/s)

metric      newest  lowest         highest
train/loss  0.25
val/f1      0.75    0.5 at step 5  0.8 at step 10

plugin       hook                time    of the run
checkpoint   persist             1 s     12.5%
csv          on_metrics          500 ms  6.2%
csv          on_run_end          250 ms  3.1%
all plugins                      1.75 s  21.9%

plugin 'csv' switched off: on_metrics at step 7: OSError: No space left on
  device
plugin 'notify' failed 2 times: on_step_end at step 1: OSError: gone

run directory    runs/tiny/1
best checkpoint  runs/tiny/1/checkpoints/10
again            hookloop fit runs/tiny/1/config.toml"""


def test_a_summary_has_everything_there_is_to_say():
    history = [
        {"step": 5, "epoch": 0, "time": 1.0, "val/f1": 0.5, "train/loss": 0.5},
        {"step": 10, "epoch": 1, "time": 2.0, "val/f1": 0.8},
        {"step": 20, "epoch": 2, "time": 3.0, "val/f1": 0.75, "train/loss": 0.25},
    ]
    text = summarize(
        result(
            outcome="stopped",
            stop_reason="no better for 3 epochs",
            epoch=2,
            step=20,
            samples=640,
            elapsed_seconds=8.0,
            metrics={"val/f1": 0.75, "train/loss": 0.25},
            history=history,
            plugin_seconds={"csv": {"on_metrics": 0.5, "on_run_end": 0.25}, "checkpoint": {"persist": 1.0}},
            failures=(
                Failure("csv", "on_metrics", 7, "OSError: No space left on device", disabled=True),
                Failure("notify", "on_step_end", 1, "OSError: gone", count=2),
            ),
            best_checkpoint=Path("runs/tiny/1/checkpoints/10"),
        ),
        again="hookloop fit runs/tiny/1/config.toml",
    )
    assert [line.split() for line in text.splitlines()] == [line.split() for line in WHOLE.splitlines()]
    assert max(map(len, text.splitlines())) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_run_that_did_nothing_has_little_to_say():
    assert summarize(result()) == "completed in 2 s\n\nrun directory  runs/tiny/1"


def test_an_evaluation_has_no_rate_and_no_extremes():
    text = summarize(result(metrics={"val/loss": 1.5}, history=[{"step": 0, "epoch": 0, "time": 0.0, "val/loss": 1.5}]))
    assert text.splitlines()[2:4] == ["metric    newest", "val/loss  1.5"]


def test_learning_rates_times_and_the_machine_are_left_out():
    metrics = {"lr/adamw": 0.1, "system/gpu0/power_watts/max": 300.0, "time/step_seconds": 0.2}
    assert summarize(result(metrics=metrics)) == "completed in 2 s\n\nrun directory  runs/tiny/1"
    text = summarize(result(metrics={**metrics, "train/loss": 0.5}))
    assert text.splitlines()[2:5] == ["metric      newest", "train/loss  0.5", ""]


def test_many_timings_are_cut_to_those_that_matter():
    seconds = {f"plugin-{index:02}": {"on_step_end": 1.0 - index / 100} for index in range(20)}
    text = summarize(result(plugin_seconds=seconds, elapsed_seconds=100.0))
    assert "plugin-07" in text
    assert "plugin-08" not in text
    assert "12 others" in text


def test_values_that_are_no_number_are_neither_lowest_nor_highest():
    rows = [{"step": 1, "val/loss": float("nan")}, {"step": 2, "val/loss": 3.0}, {"step": 3, "val/loss": 2.0}]
    assert lowest_and_highest("val/loss", rows) == ("2 at step 3", "3 at step 2")
    assert lowest_and_highest("val/loss", rows[:2]) is None
    assert lowest_and_highest("train/loss", rows) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12.3 ms"),
        (0.99961, "1 s"),
        (4.211, "4.21 s"),
        (59.97, "1 min 0 s"),
        (125.4, "2 min 5 s"),
        (3599.8, "1 h 0 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_a_duration_is_in_the_units_that_matter(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456789, "0.123457"),
        (3.0, "3"),
        (1e-9, "1e-09"),
        (123456.7, "123457"),
        (1e12, "1e+12"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_is_as_a_person_reads_it(value, text):
    assert number(value) == text


def test_no_time_has_no_shares():
    assert share(1.0, 0.0) == ""
