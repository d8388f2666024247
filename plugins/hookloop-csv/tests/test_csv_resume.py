"""Killed and resumed at any boundary, the plugin ends with the very file of a run that was never stopped.

The hooks are called here as an engine calls them, because an engine cannot be killed between any two of them.
"""

import json
import resource
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from hookloop_csv import MetricsCsv

STEPS, EPOCHS = 4, 3
NOW = 1e9


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    """Stop the clock, which rows are dated by: all that counts is how long the run says that it has taken."""
    monkeypatch.setattr(time, "time", lambda: NOW)


def boundaries(log_every):
    """Yield step, epoch and logged metrics of each boundary: after every step, and at the end of every epoch."""
    for step in range(1, STEPS * EPOCHS + 1):
        epoch = (step - 1) // STEPS
        metrics = {"train/loss": 1 / step, **({"late": step} if step > 6 else {})}
        yield step, epoch, metrics if step % log_every == 0 else {}
        if step % STEPS == 0:
            yield step, epoch + 1, {"val/loss": 2 / step} if epoch != 1 else {}


def begin(directory, options, step=0, epoch=0, state=None):
    plugin = MetricsCsv(MetricsCsv.Config(**options))
    run = SimpleNamespace(
        directory=directory, rank=0, plugins=(), stage="train", fresh_metrics={}, flush_rows=lambda: None
    )
    stand(run, step, epoch)
    plugin.on_run_start(run)
    if state is not None:
        plugin.load_state_dict(state)
    plugin.on_fit_start(run)
    return plugin, run


def stand(run, step, epoch):
    run.step, run.epoch, run.samples, run.elapsed_seconds = step, epoch, 8 * step, 0.5 * step + 0.25 * epoch


def walk(plugin, run, script):
    """Pass the boundaries of *script*; return the state as a checkpoint would take it at each."""
    return [passed(plugin, run, *boundary) for boundary in script]


def passed(plugin, run, step, epoch, metrics):
    """Pass a boundary, and return the state."""
    ended = epoch != run.epoch
    stand(run, step, epoch)
    if ended and plugin.on_epoch_end:
        plugin.on_epoch_end(run)
    run.fresh_metrics = metrics
    if metrics and plugin.write_rows:
        plugin.write_rows(run, [{"step": step, "epoch": epoch, "time": NOW, **metrics}])
    state = json.loads(json.dumps(plugin.state_dict()))
    if plugin.report:
        plugin.report(run)
    run.fresh_metrics = {}
    return state


@pytest.mark.parametrize("every", [None, "1 step", "3 steps", "1 epoch", "20 samples", "2 s"])
@pytest.mark.parametrize("log_every", [1, 2, 3])
def test_from_any_checkpoint_killed_at_any_later_boundary(tmp_path, every, log_every):
    options = {"every": every} if every else {}
    script = list(boundaries(log_every))
    plugin, run = begin(tmp_path, options)
    states = walk(plugin, run, script)
    plugin.on_run_end()
    whole = (tmp_path / "metrics.csv").read_text()
    assert len(whole.splitlines()) > 3
    for saved in range(len(script)):
        for killed in sorted({saved, min(saved + 1, len(script) - 1), len(script) - 1}):
            plugin, run = begin(tmp_path, options)
            walk(plugin, run, script[: killed + 1])
            plugin.on_run_end()
            step, epoch, _ = script[saved]
            plugin, run = begin(tmp_path, options, step, epoch, states[saved])
            walk(plugin, run, script[saved + 1 :])
            plugin.on_run_end()
            assert (tmp_path / "metrics.csv").read_text() == whole, (saved, killed)


def test_killed_before_the_row_of_the_checkpoint_was_written(tmp_path):
    script = list(boundaries(1))
    plugin, run = begin(tmp_path, {})
    states = walk(plugin, run, script)
    plugin.on_run_end()
    whole = (tmp_path / "metrics.csv").read_text()
    for saved, (step, epoch, _) in enumerate(script):
        plugin, run = begin(tmp_path, {})
        walk(plugin, run, script[:saved])
        plugin.on_run_end()
        plugin, run = begin(tmp_path, {}, step, epoch, states[saved])
        walk(plugin, run, script[saved + 1 :])
        plugin.on_run_end()
        assert (tmp_path / "metrics.csv").read_text() == whole, saved


@contextmanager
def no_file_larger_than(size_bytes):
    """Have the system refuse what would make a file larger, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("boundary", range(1, 10))
def test_a_disk_that_is_full_for_a_while_costs_no_row_and_no_value(tmp_path, boundary):
    script = list(boundaries(1))
    plugin, run = begin(tmp_path / "whole", {})
    walk(plugin, run, script)
    plugin.on_run_end()
    plugin, run = begin(tmp_path / "full", {})
    walk(plugin, run, script[:boundary])
    table = tmp_path / "full" / "metrics.csv"
    with no_file_larger_than(table.stat().st_size):
        for each in script[boundary:]:
            with suppress(OSError):
                passed(plugin, run, *each)
        with pytest.raises(OSError, match="File too large"):
            plugin.state_dict()
    plugin.on_run_end()
    assert table.read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
