"""The plugin ``profiler``: what is in its files, and that it is gone however training ends."""

import gzip
import json

import pytest
import torch

from hookloop import ConfigError, PluginHookError, SupervisedTask, hookimpl

SHORT = {"wait": 1, "warmup": 1, "active": 2}


class Extra:
    """A plugin with hooks inside and outside of a step."""

    role = "observer"

    @hookimpl
    def on_forward_end(self, run):
        return None

    @hookimpl
    def decide(self, run):
        torch.ones(2) + 1


def files(result, ending):
    return sorted((result.directory / "profile").rglob(f"*{ending}"))


def events_of(path):
    raw = path.read_bytes()
    events = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)["traceEvents"]
    return [each for each in events if each.get("ph") == "X"]


def by_name(events, name):
    return sorted((each for each in events if each["name"] == name), key=lambda each: each["ts"])


def inside(inner, outer, slack=0.01):
    same = inner["tid"] == outer["tid"]
    begins = inner["ts"] >= outer["ts"] - slack
    return same and begins and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + slack


def test_the_trace_has_plugins_and_hooks_as_nested_spans(tiny_run):
    result = tiny_run([("profiler", SHORT), ("extra", Extra())], epochs=1, steps=6)
    [trace] = files(result, ".trace.json.gz")
    events = events_of(trace)
    steps, forwards = by_name(events, "step"), by_name(events, "forward")
    assert len(steps) == len(forwards) == len(by_name(events, "fetch")) == 2
    assert len(by_name(events, "extra: decide")) == 2
    for step, forward, hook in zip(steps, forwards, by_name(events, "extra: on_forward_end"), strict=True):
        assert inside(forward, step)
        assert inside(hook, step)
        assert not inside(hook, forward)
        assert sum(inside(each, forward) for each in by_name(events, "aten::addmm")) == 2
    assert all(any(inside(each, step) for step in steps) for each in by_name(events, "optimizer"))
    assert any(inside(each, by_name(events, "extra: decide")[0]) for each in by_name(events, "aten::add"))


def test_the_table_names_the_hot_operators(tiny_run):
    def task():
        batch = (torch.ones(64, 512), torch.zeros(64, dtype=torch.long))
        return SupervisedTask(torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.Linear(2048, 8)), [batch] * 5)

    result = tiny_run([("profiler", SHORT | {"rows": 8, "spans": False})], task=task, epochs=1)
    [table] = files(result, ".operators.txt")
    rows = [line.split()[0] for line in table.read_text().splitlines() if line.strip().startswith("aten::")]
    assert {"aten::mm", "aten::addmm"} <= {*rows}
    assert len(rows) <= 8


def test_validation_does_not_count_unless_it_is_asked_for(tiny_run):
    """TNT: evaluation moves the schedule on (2.2)."""
    for validation, name in ((False, "rank0-1-step4"), (True, "rank0-1-step2")):
        options = {"wait": 2, "warmup": 1, "active": 1, "validation": validation}
        result = tiny_run([("profiler", options)], validate_every="2 steps", epochs=2)
        assert [path.name.partition(".")[0] for path in files(result, ".operators.txt")] == [name]


def test_there_are_as_many_profiles_as_were_asked_for(tiny_run):
    result = tiny_run([("profiler", {"wait": 0, "warmup": 1, "active": 1, "repeat": 2})], steps=10)
    assert [path.name for path in files(result, ".trace.json.gz")] == [
        "rank0-1-step2.trace.json.gz",
        "rank0-2-step4.trace.json.gz",
    ]


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_what_is_no_training_is_profiled_as_well(tiny_run, command):
    options = {"wait": 0, "warmup": 1, "active": 1, "compress": False}
    result = tiny_run([("profiler", options)], commands=[command])
    [trace] = files(result, ".trace.json")
    assert len(by_name(events_of(trace), "forward")) == 1


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("hook", ["on_forward_end", "on_validation_start"])
def test_it_is_stopped_however_training_ends(tiny_run, failing_plugin, error, hook):
    """TNT: after an exception the profiler stays on, and there is no trace (2.2)."""
    plugin = Extra()
    options = {"wait": 0, "warmup": 1, "active": 100}
    bomb = failing_plugin(hook, error, at_step=3)
    with pytest.raises((PluginHookError, KeyboardInterrupt)):
        tiny_run([("profiler", options), ("extra", plugin), ("bomb", bomb)])
    assert not torch.autograd._profiler_enabled()
    assert vars(plugin) == {}
    [trace] = sorted(tiny_run.directory.rglob("*.trace.json.gz"))
    assert by_name(events_of(trace), "extra: decide")


def test_after_it_nothing_of_it_is_left_in_the_hooks(tiny_run, acting):
    seen = []
    plugin = Extra()
    watch = acting("on_step_start", lambda run: seen.append((len(list(run.plugins)), sorted(vars(plugin)))))
    tiny_run([("profiler", SHORT), ("extra", plugin), ("watch", watch)])
    assert seen[0] == seen[-1]
    assert seen[0][1] == []
    assert seen[2][1] == ["decide", "on_forward_end"]


def test_a_profile_that_cannot_be_written_ends_no_training(tiny_run, messages, acting):
    """An error of a trace handler goes into the training loop, elsewhere."""
    blocked = acting("on_fit_start", lambda run: (run.directory / "profile").write_text("in the way"))
    result = tiny_run([("profiler", SHORT), ("blocked", blocked)])
    assert result.outcome == "completed"
    assert messages("WARNING")


def test_a_run_that_is_too_short_says_so(tiny_run, messages):
    tiny_run(["profiler"])
    assert any("no profile was made: 6 steps" in each for each in messages("INFO"))


def test_other_ranks_make_none(tiny_run):
    result = tiny_run([("profiler", SHORT | {"ranks": [1]})])
    assert not (result.directory / "profile").exists()


def test_where_another_profiler_is_at_work_it_steps_back(tiny_run, messages):
    with torch.autograd.profiler.profile():
        result = tiny_run([("profiler", SHORT)])
    assert result.outcome == "completed"
    assert messages("WARNING") == [
        "profiler: 'profiler' leaves this profile out: another profiler is at work, "
        "and torch has but one profiler at a time"
    ]
    assert not any("no profile was made" in each for each in messages("INFO"))


@pytest.mark.parametrize("second", [SHORT, SHORT | {"wait": 2}])
def test_two_at_a_time_are_one(tiny_run, messages, second):
    """Two that warm up at once end the process; one of two that record at once loses its data."""
    result = tiny_run([("profiler", SHORT), ("second", {"use": "profiler", **second})])
    assert [path.parent.name for path in files(result, ".trace.json.gz")] == ["profiler"]
    assert messages("WARNING") == [
        "profiler: 'second' leaves this profile out: 'profiler' is at work, and torch has but one profiler at a time"
    ]


def test_two_one_after_the_other_are_two(tiny_run, messages):
    result = tiny_run([("profiler", SHORT), ("second", {"use": "profiler", **SHORT, "wait": 6})], epochs=1, steps=10)
    assert [path.parent.name for path in files(result, ".trace.json.gz")] == ["profiler", "second"]
    assert messages("WARNING") == []


@pytest.mark.filterwarnings("ignore:`torch.profiler.profile.export_memory_timeline`")
def test_the_memory_over_time_is_that_of_the_model_and_its_batches(tiny_run, messages):
    """Of each category, bytes at each change: parameters and optimizer's state stay, activations come and go."""
    if not hasattr(torch.profiler.profile, "export_memory_timeline"):
        pytest.skip("this torch has none any more")

    def task():
        batch = (torch.ones(64, 256), torch.zeros(64, dtype=torch.long))
        return SupervisedTask(torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.Linear(1024, 8)), [batch] * 6)

    result = tiny_run([("profiler", SHORT | {"memory_timeline": True})], task=task, epochs=1)
    [path] = files(result, ".memory.json")
    times, sizes = json.loads(path.read_text())
    assert len(times) == len(sizes) > 20
    assert times == sorted(times)
    assert all(each >= 0 for row in sizes for each in row)
    parameters = 4 * (256 * 1024 + 1024 + 1024 * 8 + 8)
    assert parameters <= max(map(sum, sizes)) < 20 * parameters
    assert messages("WARNING") == []


def test_a_torch_without_a_memory_timeline_says_what_to_use_instead(tiny_run, messages, monkeypatch):
    for each in torch.profiler.profile.__mro__:
        if "export_memory_timeline" in vars(each):
            monkeypatch.delattr(each, "export_memory_timeline")
    result = tiny_run([("profiler", SHORT | {"memory_timeline": True})])
    assert "the memory timeline could not be written" in messages("WARNING")[0]
    assert "memory-snapshot" in messages("WARNING")[0]
    assert len(files(result, ".operators.txt")) == len(files(result, ".trace.json.gz")) == 1


def test_memory_shapes_and_stacks_are_in_the_files_that_they_are_for(tiny_run):
    result = tiny_run([("profiler", SHORT | {"memory": True, "shapes": True, "flops": True})])
    [table] = files(result, ".operators.txt")
    assert all(word in table.read_text() for word in ("CPU Mem", "Input Shapes", "FLOPs"))
    [trace] = files(result, ".trace.json.gz")
    assert any("Input Dims" in each.get("args", {}) for each in by_name(events_of(trace), "aten::addmm"))


@pytest.mark.parametrize("options", [{"repeat": 0}, {"warmup": 0}, {"active": 0}, {"ranks": "some"}])
def test_an_endless_or_empty_schedule_is_refused(tiny_run, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        tiny_run([("profiler", options)])


def test_a_stop_in_the_middle_of_a_profile_writes_what_there_is(tiny_run, acting):
    stop = acting("on_step_end", lambda run: run.request_stop("enough") if run.step == 4 else None)
    result = tiny_run([("profiler", {"wait": 1, "warmup": 1, "active": 50}), ("stop", stop)])
    assert result.outcome == "stopped"
    [trace] = files(result, ".trace.json.gz")
    assert len(by_name(events_of(trace), "step")) == 2
    assert not torch.autograd._profiler_enabled()
