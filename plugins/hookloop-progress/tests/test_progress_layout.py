"""The rows of the live display."""

import dataclasses

import pytest

from hookloop_progress import layout
from hookloop_progress.view import View

MIDWAY = View(
    fitting=True,
    stage="train",
    step=1240,
    steps=2000,
    epoch=6,
    epoch_number=7,
    epochs=10,
    batch=40,
    batches=200,
    evaluated=0,
    evaluations=None,
    metrics={"train/loss": 0.41, "val/loss": 0.52},
    per_second=210.0,
    eta_seconds=3.7,
    elapsed_seconds=6.0,
    outcome=None,
    stop_reason=None,
)


def drawn(view, columns=80, **options):
    return ["".join(part.text for part in row) for row in layout.rows(view, columns, **options)]


def test_a_fit_has_its_epoch_its_steps_and_its_metrics():
    epoch, steps, metrics = drawn(MIDWAY)
    assert epoch.startswith("epoch 7/10  ━━━")
    assert epoch.endswith("20%     40/200")
    assert steps.startswith("steps       ━━━")
    assert steps.endswith("62%  1240/2000  210 it/s  eta 00:03")
    assert metrics == "train/loss=0.41  val/loss=0.52"


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_row_is_wider_than_the_terminal(columns):
    view = dataclasses.replace(MIDWAY, stage="validate", evaluated=3, evaluations=40)
    assert max(map(len, drawn(view, columns))) <= columns


def test_eighty_columns_have_room_for_a_bar():
    assert "━━━━━" in drawn(MIDWAY, 80)[1]


def test_a_narrow_terminal_keeps_the_numbers_and_drops_the_bar():
    steps = drawn(MIDWAY, 50)[1]
    assert "━" not in steps
    assert "1240/2000" in steps


def test_a_bar_is_as_full_as_its_count():
    epoch = drawn(dataclasses.replace(MIDWAY, batch=100))[0]
    assert epoch.count("━") == pytest.approx(epoch.count("─"), abs=1)


def test_only_what_is_complete_is_at_100_percent():
    assert " 99%" in drawn(dataclasses.replace(MIDWAY, step=1999))[1]
    full = drawn(dataclasses.replace(MIDWAY, step=2000))[1]
    assert "100%" in full
    assert "─" not in full


def test_an_unknown_total_is_a_count_without_a_bar():
    view = dataclasses.replace(MIDWAY, batches=None, steps=None, eta_seconds=None, epochs=None)
    epoch, steps, _ = drawn(view)
    assert epoch.split() == ["epoch", "7", "40"]
    assert steps.split() == ["steps", "1240", "210", "it/s", "in", "00:06"]


def test_the_only_epoch_of_a_run_is_not_shown_twice():
    assert [row.split()[0] for row in drawn(dataclasses.replace(MIDWAY, epochs=1))] == ["steps", "train/loss=0.41"]


def test_a_validation_has_a_bar_of_its_own_while_it_runs():
    rows = drawn(dataclasses.replace(MIDWAY, stage="validate", evaluated=12, evaluations=40))
    assert rows[2].startswith("validate")
    assert rows[2].endswith("30%      12/40")


def test_an_evaluation_on_its_own_has_one_bar():
    rows = drawn(dataclasses.replace(MIDWAY, fitting=False, stage="test", evaluated=40, evaluations=40, metrics={}))
    assert len(rows) == 1
    assert rows[0].endswith("100%  40/40  210 it/s  eta 00:03")


def test_a_run_that_has_ended_shows_what_it_took():
    assert drawn(dataclasses.replace(MIDWAY, outcome="completed"))[1].endswith("in 00:06")


@pytest.mark.parametrize(("outcome", "style"), [(None, "cyan"), ("completed", "green"), ("failed", "red")])
def test_the_colour_says_how_it_goes(outcome, style):
    row = layout.rows(dataclasses.replace(MIDWAY, outcome=outcome), 80)[0]
    assert next(part.style for part in row if "━" in part.text) == style


def test_a_terminal_without_unicode_gets_ascii():
    assert all(row.isascii() for row in drawn(MIDWAY, ascii_only=True))


def test_metrics_that_do_not_fit_are_left_out_whole():
    metrics = drawn(dataclasses.replace(MIDWAY, metrics={f"metric/{i}": 0.125 for i in range(20)}))[-1]
    assert all(word.endswith("=0.125") for word in metrics.split())
