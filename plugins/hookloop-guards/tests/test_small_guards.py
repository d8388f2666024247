"""gc, cuda-cache, tf32, time-limit and clip."""

import contextlib
import gc
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
import torch

from hookloop import ConfigError, PluginHookError
from hookloop_guards import cuda_cache
from hookloop_guards.clipping import clip_adaptively

EVERYTHING = ("fit", "test", "predict")


@pytest.fixture
def collections(monkeypatch):
    """The generations that were collected."""
    calls = []
    monkeypatch.setattr("hookloop_guards.garbage.gc.collect", calls.append)
    return calls


def test_gc_collects_at_the_chosen_steps_evaluation_batches_counted(tiny_run, collections):
    tiny_run([("gc", {"every": "4 steps", "freeze": False})], epochs=2, steps=6)  # 2 x (6 + 2 of validation) = 16
    assert collections == [2] * 4


def test_gc_collects_every_epoch(tiny_run, collections):
    tiny_run([("gc", {"every": "1 epoch", "generation": 1, "freeze": False})], epochs=3)
    assert collections == [1] * 3


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("command", EVERYTHING)
def test_gc_is_off_during_the_run_and_then_as_it_was(tiny_run, acting, collections, before, command):
    """TNT switches it on afterwards, whatever it was (2.2)."""
    seen = []
    hook = {"fit": "on_step_end"}.get(command, f"on_{command}_batch_end")
    try:
        (gc.enable if before else gc.disable)()
        watch = acting(hook, lambda run: seen.append(gc.isenabled()))
        tiny_run(["gc", ("watch", watch)], commands=(command,))
        assert (set(seen), gc.isenabled()) == ({False}, before)
    finally:
        gc.enable()


@pytest.mark.parametrize("hook", ["on_run_start", "on_ready", "on_step_end", "on_validation_batch_end"])
def test_gc_is_as_it_was_after_an_exception(tiny_run, failing_plugin, hook):
    """TNT, 4.1, 7: after an exception it stays off."""
    with pytest.raises(PluginHookError):
        tiny_run(["gc", failing_plugin(hook)])
    assert gc.isenabled()


def test_two_gc_put_back_what_the_first_found(tiny_run, collections):
    old = ("old", {"use": "gc", "freeze": False})
    young = ("young", {"use": "gc", "every": "1 step", "generation": 0, "freeze": False})
    tiny_run([old, young], steps=2, epochs=1)
    assert gc.isenabled()
    assert collections == [0, 0, 0, 0]


@pytest.mark.parametrize("failing", [True, False])
def test_gc_leaves_out_what_is_built_and_thaws_it_afterwards(tiny_run, acting, failing_plugin, failing):
    counts = []
    watch = acting("on_step_start", lambda run: counts.append(gc.get_freeze_count()))
    plugins = [("one", {"use": "gc"}), ("two", {"use": "gc"}), ("watch", watch)]
    with contextlib.suppress(PluginHookError):
        tiny_run([*plugins, *([failing_plugin("on_step_end")] if failing else [])])
    assert counts[0] > 1000
    assert gc.get_freeze_count() == 0


def test_gc_leaves_what_somebody_else_has_frozen(tiny_run):
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        tiny_run(["gc"])
        assert gc.get_freeze_count() == pytest.approx(before, rel=0.01)
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("plugin", ["gc", "cuda-cache"])
def test_never_is_no_interval(tiny_run, plugin):
    """TNT: 0 is a ZeroDivisionError in the first step (2.2)."""
    with pytest.raises(ConfigError, match="must be positive"):
        tiny_run([(plugin, {"every": "0 steps"})])


def test_the_cache_is_emptied_at_the_chosen_steps_evaluation_batches_counted(tiny_run, monkeypatch):
    """TNT's own case: 16 steps, every 4, are 4 calls."""
    devices = []
    monkeypatch.setattr(cuda_cache, "empty_cache", devices.append)
    tiny_run([("cuda-cache", {"every": "4 steps"})], epochs=2, steps=6)
    assert devices == [torch.device("cpu")] * 4


def test_the_cache_of_the_device_of_the_run_is_emptied(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(1))
    for name in ("cpu", "meta", "cuda:0"):
        cuda_cache.empty_cache(torch.device(name))
    assert calls == [1]


def precisions():
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision


needs_new_switches = pytest.mark.skipif(
    not hasattr(getattr(torch.backends.cudnn, "conv", None), "fp32_precision"), reason="torch before 2.9"
)


@needs_new_switches
def test_tf32_is_on_during_the_run_and_then_as_it_was(tiny_run, acting):
    seen, before = [], precisions()
    watch = acting("on_step_end", lambda run: seen.append(precisions()))
    tiny_run([("tf32", {"matmul": "medium", "convolution": False}), ("watch", watch)])
    assert set(seen) == {("medium", "ieee", "ieee")}
    assert precisions() == before


@needs_new_switches
def test_tf32_is_as_it_was_after_an_exception_and_the_next_run_begins(tiny_run, failing_plugin):
    """TNT: the precision stays changed, and the next run ends in an AssertionError (2.2)."""
    before = precisions()
    for hook in ("on_run_start", "on_step_end", "on_validation_end"):
        with pytest.raises(PluginHookError):
            tiny_run(["tf32", failing_plugin(hook)])
        assert precisions() == before
    assert tiny_run(["tf32"]).outcome == "completed"


def ticking(acting, clock, seconds):
    return "tick", acting("on_step_end", lambda run: clock.advance(seconds), tryfirst=True)


def test_a_duration_stops_after_the_step_in_which_it_is_over(tiny_run, fake_clock, acting):
    """The bound is inclusive, as with TNT."""
    plugins = [ticking(acting, fake_clock, 60), ("time-limit", {"duration": "4 min"})]
    result = tiny_run(plugins, clock=fake_clock, epochs=3)
    assert (result.outcome, result.step, result.epoch) == ("stopped", 4, 1)
    assert result.stop_reason == "the time limit of 240 seconds is over"


def test_it_may_wait_for_the_end_of_the_epoch(tiny_run, fake_clock, acting):
    plugins = [ticking(acting, fake_clock, 60), ("time-limit", {"duration": "4 min", "at": "epoch"})]
    result = tiny_run(plugins, clock=fake_clock, epochs=3)
    assert (result.step, result.epoch) == (6, 2)


@pytest.mark.parametrize(("of", "step"), [("attempt", 8), ("run", 5)])
def test_a_resumed_run_has_its_time_anew_or_not(tiny_run, fake_clock, acting, of, step):
    begun = tiny_run([ticking(acting, fake_clock, 60)], clock=fake_clock, epochs=1)
    plugins = [ticking(acting, fake_clock, 60), ("time-limit", {"duration": "5 min", "of": of})]
    assert tiny_run(plugins, clock=fake_clock, epochs=9, resume=begun.state).step == step


def test_a_date_of_another_time_zone_is_the_same_moment(tiny_run):
    passed = (datetime.now(UTC) - timedelta(seconds=1)).astimezone(tz=timezone(timedelta(hours=9)))
    assert tiny_run([("time-limit", {"until": passed})]).step == 1
    assert tiny_run([("time-limit", {"until": passed.isoformat()})]).step == 1
    coming = datetime.now(UTC) + timedelta(hours=1)
    assert tiny_run([("time-limit", {"until": coming})]).outcome == "completed"


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "for how long"), ({"until": "2030-01-01T00:00:00"}, "timezone"), ({"duration": "3 steps"}, "expected a time"),
     ({"until": "2030-01-01T00:00:00Z", "of": "run"}, "there is none")],
)  # fmt: skip
def test_a_limit_that_says_nothing_clear_is_refused(tiny_run, options, message):
    with pytest.raises(ConfigError, match=message):
        tiny_run([("time-limit", options)])


def test_it_asks_for_a_checkpoint_on_stopping(tiny_run, fake_clock, acting):
    asked = []
    watch = acting("persist", lambda run: asked.append(run.step) if run.save_requested else None)
    tick = ticking(acting, fake_clock, 60)
    for save in (True, False):
        limit = ("time-limit", {"duration": "2 min", "save": save})
        tiny_run([tick, limit, ("watch", watch)], clock=fake_clock)
    assert asked == [2]


def test_agc_bounds_each_unit_by_its_weights():
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.6, 0.8]]))
    weight.grad = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.001, 0.0]])
    clip_adaptively([weight], 0.1, 1e-3)
    expected = [[0.3, 0.4], [1e-4, 0.0], [0.001, 0.0]]
    torch.testing.assert_close(weight.grad, torch.tensor(expected))


def test_agc_of_a_convolution_takes_the_filter_as_its_unit():
    weight = torch.nn.Parameter(torch.ones(2, 3, 2, 2))
    weight.grad = torch.stack([torch.full((3, 2, 2), 5.0), torch.full((3, 2, 2), 0.001)])
    clip_adaptively([weight], 0.01, 1e-3)
    norms = weight.grad.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([0.01 * math.sqrt(12), 0.001 * math.sqrt(12)]))


def test_agc_of_no_gradient_is_nothing_and_of_a_zero_gradient_zero():
    without, zero = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.zeros(3))
    zero.grad = torch.zeros(3)
    clip_adaptively([without, zero], 0.01, 1e-3)
    assert without.grad is None
    assert torch.equal(zero.grad, torch.zeros(3))


@pytest.fixture
def norms(acting):
    """A plugin that keeps the norm of each gradient as the optimizer is going to use it."""
    kept = []
    look = acting(
        "on_optimizer_step_start", lambda run: kept.append([each.grad.norm().item() for each in run.model.parameters()])
    )
    return ("norms", look), kept


def groups(params):
    first, *others = params
    return torch.optim.SGD([{"params": [first]}, {"params": others}], lr=0.01)


def test_each_parameter_is_bounded_by_itself_and_what_is_excluded_is_not(tiny_run, norms):
    plugin, kept = norms
    tiny_run([("clip", {"by": "parameter", "threshold": 0.01, "exclude": ["2.bias"]}), plugin], epochs=1)
    assert all(norm == pytest.approx(0.01, rel=1e-3) for step in kept for norm in step[:3])
    assert max(step[3] for step in kept) > 0.1


def test_each_group_is_bounded_by_itself(tiny_run, norms):
    plugin, kept = norms
    tiny_run([("clip", {"by": "group", "threshold": 0.01}), plugin], epochs=1, optimizer=groups)
    for first, *others in kept:
        assert first == pytest.approx(0.01, rel=1e-3)
        assert math.hypot(*others) == pytest.approx(0.01, rel=1e-3)


def test_a_norm_needs_a_threshold(tiny_run):
    with pytest.raises(ConfigError, match="needs a threshold"):
        tiny_run([("clip", {"by": "group"})])
