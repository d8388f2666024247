"""Plain lines: when they are written, and what becomes of a broken stream."""

import dataclasses
import io
import logging

import pytest

from hookloop_progress.lines import EPOCH_LINES, Lines
from hookloop_progress.view import View

VIEW = View(
    fitting=True,
    stage="train",
    step=1,
    steps=2,
    epoch=0,
    epoch_number=1,
    epochs=1,
    batch=1,
    batches=2,
    evaluated=0,
    evaluations=None,
    metrics={},
    per_second=None,
    eta_seconds=None,
    elapsed_seconds=0.5,
    outcome=None,
    stop_reason=None,
)


def lines(stream, interval_seconds=10.0, view=VIEW):
    return Lines(lambda: view, stream, "model=Linear", lambda columns: f"{columns} wide", interval_seconds, now=100.0)


def test_the_first_line_is_due_after_one_interval():
    assert lines(io.StringIO()).due == 110.0


def test_a_line_ends_with_a_newline_and_sets_the_time_of_the_next():
    stream = io.StringIO()
    display = lines(stream)
    display.draw(112.0)
    assert stream.getvalue() == "step=1/2 epoch=0/1\n"
    assert display.due == 122.0


def test_epochs_without_number_do_not_flood_the_log():
    stream = io.StringIO()
    display = lines(stream)
    for epoch in range(10_000):
        display.end_epoch(100.0 + epoch / 1000)
    assert EPOCH_LINES < len(stream.getvalue().splitlines()) <= EPOCH_LINES + 10


def test_slow_epochs_always_have_their_line():
    stream = io.StringIO()
    display = lines(stream)
    for epoch in range(200):
        display.end_epoch(100.0 + 2 * epoch)
    assert len(stream.getvalue().splitlines()) == 200


def test_the_last_line_is_the_summary_before_what_the_run_came_to():
    stream = io.StringIO()
    lines(stream, view=dataclasses.replace(VIEW, outcome="completed", step=2)).close()
    assert stream.getvalue() == "outcome=completed step=2/2 epoch=0/1 seconds=0.50\n\n80 wide\n"


def test_the_model_is_the_first_line():
    stream = io.StringIO()
    lines(stream).open()
    assert stream.getvalue() == "model=Linear\n"


def test_what_a_stream_cannot_encode_is_a_question_mark():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    display = lines(stream, view=dataclasses.replace(VIEW, metrics={"val/μ": 1.0}))
    display.draw(112.0)
    assert stream.buffer.getvalue() == b"step=1/2 epoch=0/1 val/?=1\n"


@pytest.mark.parametrize("error", [BrokenPipeError("the reader is gone"), ValueError("I/O operation on closed file")])
def test_a_broken_stream_is_a_warning_and_no_failure(error, caplog):
    class Broken(io.StringIO):
        def write(self, text):
            raise error

    display = lines(Broken())
    with caplog.at_level(logging.WARNING, "hookloop.progress"):
        display.draw(110.0)
        display.draw(120.0)
        display.close()
    assert [record.getMessage() for record in caplog.records] == [f"no more progress lines are written: {error}"]
