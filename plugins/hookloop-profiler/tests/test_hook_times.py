"""The plugin ``hook-times``: its table, its trace, and whom it names."""

import json
from time import sleep

import pytest

from hookloop import Engine, PluginHookError, hookimpl
from hookloop.testing import tiny_task
from hookloop_profiler.budget import Spent, culprits, since, table


@pytest.fixture
def spent(acting):
    """A plugin that really takes time, in one hook."""
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


def test_a_single_call_of_a_short_run_is_judged_at_the_end(tiny_run, acting, messages):
    """One slow call is a large share of the few milliseconds between two boundaries, and says nothing yet."""
    seen = []
    look = acting("report", lambda run: seen.append(len(messages("WARNING"))))
    plugins = [("once", acting("on_epoch_start", lambda run: sleep(0.05))), ("look", look)]
    tiny_run([*plugins, ("hook-times", {"trace_steps": 0})])
    assert set(seen) == {0}
    assert "plugin 'once'" in messages("WARNING")[0]


def test_what_others_do_to_end_the_training_is_no_part_of_it(tiny_run, acting, messages):
    slow = acting("on_fit_end", lambda run: sleep(0.2))
    tiny_run([("slow", slow), ("zlow", acting("on_run_end", lambda run: sleep(0.2))), "hook-times"])
    assert messages("WARNING") == []


def test_the_rest_after_the_last_judgement_is_too_short_for_another(tiny_run, acting, messages, fake_clock):
    pass_time = acting("on_step_end", lambda run: fake_clock.advance(2 if run.step < 6 else 0.01))
    slow = acting("on_batch_start", lambda run: sleep(0.02) if run.step == 5 else None)
    plugins = [("time", pass_time), ("slow", slow), ("hook-times", {"budget_percent": 5, "trace_steps": 0})]
    tiny_run(plugins, clock=fake_clock, epochs=1, steps=6)
    assert messages("WARNING") == []


def test_while_training_runs_it_is_judged_by_the_second(tiny_run, acting, messages, fake_clock):
    seen = []
    look = acting("report", lambda run: seen.append(len(messages("WARNING"))))
    slow = acting("on_batch_end", lambda run: (sleep(0.05), fake_clock.advance(0.4)))
    tiny_run([("slow", slow), ("look", look), ("hook-times", {"budget_percent": 2})], clock=fake_clock, epochs=1)
    assert seen[:3] == [0, 0, 1]


def test_what_it_takes_itself_to_trace_is_no_reason_for_a_warning(tiny_run, messages):
    tiny_run([("hook-times", {"trace_after_steps": 1, "trace_steps": 1, "budget_percent": 0.01})])
    assert messages("WARNING") == []


def test_the_end_shows_the_top_of_the_table_and_where_the_rest_is(tiny_run, spent, messages, hook_recorder):
    result = tiny_run([spent, ("recorder", hook_recorder), ("hook-times", {"trace_steps": 0})])
    shown = next(each for each in messages("INFO") if "time in the hooks" in each).splitlines()
    assert len(shown) == 1 + 1 + 12 + 1
    assert shown[2].split()[:2] == ["sleepy", "on_batch_end"]
    assert shown[-1].endswith(f"more in {result.directory / 'profile' / 'hook-times' / 'rank0.txt'}")


def test_only_the_first_and_the_last_step_of_a_trace_look_the_hooks_up_anew(tiny_run, spent, acting):
    """To look them up takes milliseconds: what is traced in between would drown in them."""
    seen = []
    watch = acting("on_step_start", lambda run: seen.append(run.plugins.hooks.on_batch_end))
    options = {"trace_after_steps": 2, "trace_steps": 4}
    tiny_run([spent, ("watch", watch), ("hook-times", options)], epochs=1, steps=10)
    changes = [step for step in range(1, 10) if seen[step] is not seen[step - 1]]
    assert changes == [2, 6]


def test_a_trace_that_a_short_run_cuts_off_is_written_as_far_as_it_came(tiny_run, spent):
    result = tiny_run([spent, ("hook-times", {"trace_after_steps": 4, "trace_steps": 100})])
    events = json.loads((result.directory / "profile" / "hook-times" / "rank0.trace.json").read_text())["traceEvents"]
    assert len([each for each in events if each["name"] == "step"]) == 2


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


def test_a_run_that_failed_before_it_began_leaves_no_file_anywhere(tmp_path, monkeypatch):
    class Fails:
        role = "actor"
        before = ("hook-times",)

        @hookimpl
        def on_run_start(self):
            raise RuntimeError("at the start")

    monkeypatch.chdir(tmp_path)
    engine = Engine(
        tiny_task, loss="cross_entropy", optimizer="sgd", max_epochs=1, run_dir="run", plugins=[Fails(), "hook-times"]
    )
    with pytest.raises(PluginHookError, match="at the start"):
        engine.fit()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not (tmp_path / "run" / "profile").exists()
