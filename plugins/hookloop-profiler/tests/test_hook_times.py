"""The plugin ``hook-times``: its table, its trace, and whom it names."""

import json

import pytest

from hookloop_profiler.budget import Spent, culprits, since, table


@pytest.fixture
def spent(fake_clock, acting, monkeypatch):
    """A plugin that really takes time, in one hook."""
    from time import sleep

    return "sleepy", acting("on_batch_end", lambda run: sleep(0.004))


def test_the_table_has_every_plugin_and_hook(tiny_run, spent):
    result = tiny_run([spent, "hook-times"])
    rows = json.loads((result.directory / "profile" / "hook-times" / "rank0.json").read_text())
    assert (rows[0]["plugin"], rows[0]["hook"], rows[0]["calls"]) == ("sleepy", "on_batch_end", 6)
    assert rows[0]["seconds"] > 0.02
    text = (result.directory / "profile" / "hook-times" / "rank0.txt").read_text().splitlines()
    assert text[1].split()[:3] == ["sleepy", "on_batch_end", "6"]
    assert {row["plugin"] for row in rows} == {"sleepy", "hook-times"}


def test_who_takes_too_much_is_named_once(tiny_run, spent, messages):
    """Keras warns that "callbacks are slow" without saying which."""
    tiny_run([spent, ("hook-times", {"trace_steps": 0})])
    [warning] = messages("WARNING")
    assert "plugin 'sleepy'" in warning
    assert "on_batch_end" in warning
    assert "-p no:sleepy" in warning


def test_within_the_budget_there_is_no_warning(tiny_run, spent, messages):
    tiny_run([spent, ("hook-times", {"budget_percent": 100, "trace_steps": 0})])
    assert messages("WARNING") == []


def test_the_trace_has_each_call_within_the_step_it_belongs_to(tiny_run, spent):
    result = tiny_run([spent, ("hook-times", {"trace_after_steps": 1, "trace_steps": 2})], epochs=1, steps=5)
    events = json.loads((result.directory / "profile" / "hook-times" / "rank0.trace.json").read_text())["traceEvents"]
    calls = [each for each in events if each["name"] == "sleepy: on_batch_end"]
    steps = [each for each in events if each["name"] == "step"]
    assert len(calls) == len(steps) == 2
    for call, step in zip(calls, steps, strict=True):
        assert step["ts"] <= call["ts"] <= call["ts"] + call["dur"] <= step["ts"] + step["dur"] + 0.01
        assert call["dur"] >= 4000


def test_a_plugin_that_replaces_a_part_of_the_step_is_no_culprit():
    rows = [Spent("ddp", "run_forward", 10, 9.0), Spent("csv", "report", 10, 0.5), Spent("bar", "report", 10, 2.0)]
    assert [(round(percent), worst.plugin) for percent, worst in culprits(rows, 10.0, 10)] == [(20, "bar")]
    assert culprits(rows, 0.0, 10) == []


def test_only_what_was_spent_since_counts():
    before = {("a", "x"): Spent("a", "x", 2, 1.0)}
    now = {("a", "x"): Spent("a", "x", 5, 1.5), ("b", "y"): Spent("b", "y", 1, 0.25)}
    assert since(before, now) == [Spent("a", "x", 3, 0.5), Spent("b", "y", 1, 0.25)]
    assert "csv" not in table([])
