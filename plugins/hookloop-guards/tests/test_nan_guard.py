"""NaN and infinities: noticed, named, and dealt with; on a device without reading in between."""

import math

import pytest
import torch

from hookloop import PluginHookError, SupervisedTask
from hookloop_guards.finite import FOLDED, Watch, largest
from hookloop_guards.tracing import ModuleTrace

BATCHES = 6


class Log(torch.nn.Module):
    def forward(self, given):
        return torch.log(given)


def bad_data(*bad, value=math.nan, batches=BATCHES):
    """Return a function that makes a task whose batches number *bad*, from 1, hold a *value*."""

    def build():
        generator = torch.Generator().manual_seed(2)
        data = [(torch.randn(6, 4, generator=generator), torch.zeros(6, 2)) for _ in range(batches)]
        for number in bad:
            data[number - 1][0][0, 0] = value
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        return SupervisedTask(model=model, train=data)

    return build


def guard(**options):
    return "nan-guard", options


def train(tiny_run, *plugins, task, **keywords):
    return tiny_run(plugins, task=task, **{"loss": torch.nn.functional.mse_loss, "epochs": 2, **keywords})


def as_on_a_device(acting):
    """Return a plugin that has the guard wait for the logging boundary, as it does on an accelerator."""
    return "device", acting("on_epoch_start", lambda run: run.plugins["nan-guard"].read_at_once(run, at_once=False))


def finite(result):
    return all(value.isfinite().all() for value in result.state["model"].values())


def test_stop_ends_the_run_as_stopped_and_names_the_first_bad_step(tiny_run):
    """Keras, 1.6: the epoch is counted, validated, and its weights are NaN already."""
    result = train(tiny_run, guard(), task=bad_data(4))
    assert (result.outcome, result.step, result.epoch) == ("stopped", 3, 0)
    assert result.stop_reason == "the loss was NaN or infinite in step 4 (micro-batch 4 of its epoch)"
    assert finite(result)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_raise_fails_the_run_before_the_weights_are_touched(tiny_run, acting, value):
    seen = []
    look = acting("on_exception", lambda run: seen.append([each.isfinite().all() for each in run.model.parameters()]))
    model = bad_data(3, value=value)
    # Tanh makes 1 of infinity; its gradient is what is bad then.
    with pytest.raises(PluginHookError, match=r"NaN or infinite in step 3"):
        train(tiny_run, guard(policy="raise", gradients=True), ("look", look), task=model)
    assert all(seen[0])


def test_skip_trains_as_if_the_bad_batch_had_not_been_there(tiny_run, messages):
    result = train(tiny_run, guard(policy="skip"), task=bad_data(3, 4))

    def without():
        task = bad_data(3, 4)()
        kept = [each for each in task.train_loader() if each[0].isfinite().all()]
        return SupervisedTask(model=task.model, train=kept)

    clean = train(tiny_run, task=without)
    assert (result.step, result.epoch) == (8, 2)
    assert all(torch.equal(value, clean.state["model"][name]) for name, value in result.state["model"].items())
    assert messages()[0].endswith("step 3 (micro-batch 3 of its epoch); skipped")
    assert messages()[-1] == "nan-guard: 4 batches or updates were skipped in all"


def test_under_accumulation_only_the_bad_micro_batch_is_skipped(tiny_run):
    result = train(tiny_run, guard(policy="skip"), task=bad_data(3), accumulate=2, epochs=1)
    assert (result.step, result.state["plugins"]["nan-guard"]["state"]["skips"]) == (3, 1)
    assert finite(result)


def test_too_many_skips_in_a_row_fail_the_run(tiny_run):
    with pytest.raises(PluginHookError, match=r"step 3 .* after 2 steps in a row"):
        train(tiny_run, guard(policy="skip", max_skips=2), task=bad_data(3, 4, 5))
    assert train(tiny_run, guard(policy="skip", max_skips=2), task=bad_data(1, 2, 4, 5)).outcome == "completed"


def test_gradients_that_are_bad_while_the_loss_is_good_are_named(tiny_run):
    def build():
        data = [(torch.tensor([[x]]), torch.zeros(1, 1)) for x in (1.0, 4.0, 0.0, 1.0)]
        model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), Root())
        torch.nn.init.ones_(model[0].weight)
        return SupervisedTask(model=model, train=data)

    class Root(torch.nn.Module):
        def forward(self, given):
            return given.abs().sqrt()

    result = train(tiny_run, guard(gradients=True), task=build, epochs=1, loss=lambda output, target: output.sum())
    assert result.stop_reason == "a gradient was NaN or infinite in step 3 (micro-batch 3 of its epoch), of 0.weight"
    assert (result.step, finite(result)) == (2, True)


def test_on_a_device_it_is_noticed_at_the_logging_boundary_and_names_the_step_all_the_same(tiny_run, acting):
    result = train(tiny_run, guard(), as_on_a_device(acting), task=bad_data(4), log_every="5 steps")
    assert (result.outcome, result.step) == ("stopped", 5)
    assert "in step 4 (micro-batch 4" in result.stop_reason
    row = next(each for each in result.history if "train/nonfinite_losses" in each)
    assert (row["step"], row["train/nonfinite_losses"]) == (5, 2)


def test_on_the_cpu_each_row_counts_those_since_the_last_one(tiny_run):
    result = train(tiny_run, guard(policy="skip"), task=bad_data(2, 3, 5), epochs=1, log_every="1 step")
    counts = [(row["step"], row["train/nonfinite_losses"]) for row in result.history if "train/loss" in row]
    assert counts == [(1, 0.0), (2, 2.0), (3, 1.0)]


@pytest.mark.parametrize(
    ("options", "hooks"),
    [
        ({}, []),
        ({"modules": True}, ["on_forward_start"]),
        ({"gradients": True}, ["on_gradients_ready"]),
        ({"policy": "skip"}, ["on_step_start", "on_gradients_ready"]),
    ],
)
def test_a_step_calls_only_the_hooks_in_which_there_is_something_to_do(tiny_run, acting, options, hooks):
    found = []
    names = ["on_step_start", "on_forward_start", "on_gradients_ready"]
    look = acting(
        "on_fit_start", lambda run: found.extend(each for each in names if "nan-guard" in run.plugins.chain(each))
    )
    train(tiny_run, guard(**options), ("look", look), task=bad_data())
    assert found == hooks


def test_the_losses_are_never_substituted(tiny_run, acting):
    """transformers, trl#6702: NaN steps are filtered out of the log."""
    result = train(tiny_run, guard(), as_on_a_device(acting), task=bad_data(4), log_every="1 step")
    assert math.isnan(result.history[3]["train/loss"])


def test_on_a_device_the_count_is_read_with_the_metrics_and_nothing_else(tiny_run, acting, monkeypatch):
    asked = []
    monkeypatch.setattr(Watch, "first", lambda self: asked.append(1))
    train(tiny_run, guard(gradients=True), as_on_a_device(acting), task=bad_data(), log_every="2 steps")
    assert asked == []


def test_what_is_bad_after_the_last_boundary_is_still_found(tiny_run, acting):
    stop = acting("decide", lambda run: run.request_stop("enough") if run.step == 4 else None)
    with pytest.raises(PluginHookError, match="in step 6"):
        train(tiny_run, guard(policy="raise"), as_on_a_device(acting), task=bad_data(6), epochs=1, log_every="50 steps")
    result = train(tiny_run, guard(), as_on_a_device(acting), ("stop", stop), task=bad_data(3), log_every="50 steps")
    assert result.outcome == "stopped"


@pytest.mark.parametrize("device", [False, True])
def test_the_first_bad_module_is_named(tiny_run, acting, device):
    def build():
        data = [(torch.full((2, 3), x), torch.zeros(2, 3)) for x in (1.0, 2.0, -1.0, 1.0)]
        return SupervisedTask(model=torch.nn.Sequential(torch.nn.Identity(), Log(), torch.nn.Linear(3, 3)), train=data)

    plugins = [guard(modules=True), *([as_on_a_device(acting)] if device else [])]
    result = train(tiny_run, *plugins, task=build, epochs=1)
    assert result.stop_reason.endswith("step 3 (micro-batch 3 of its epoch), first in the output of the module '1'")


def test_a_loss_function_that_is_to_blame_is_blamed(tiny_run):
    result = train(
        tiny_run, guard(modules=True), task=bad_data(), loss=lambda output, target: (output.sum() * 0).log() * math.inf
    )
    assert "every module's output was finite: look at the loss function" in result.stop_reason


def test_the_hooks_on_the_modules_are_gone_afterwards(tiny_run):
    task = bad_data()()
    train(tiny_run, guard(modules=True), task=task)
    assert not any(module._forward_hooks for module in task.model.modules())


@pytest.mark.parametrize("device", [False, True])
def test_roll_back_goes_on_with_the_last_good_weights_and_the_data_after(tiny_run, acting, messages, device):
    pytest.importorskip("hookloop_checkpoint")
    weights = {}

    def keep(run):
        weights.setdefault(run.step, {name: value.clone() for name, value in run.model.state_dict().items()})

    plugins = [
        guard(policy="roll-back"),
        ("checkpoint", {"every": "2 steps"}),
        ("keep", acting("decide", keep, trylast=True)),
        *([as_on_a_device(acting)] if device else []),
    ]
    log_every = "6 steps" if device else "1 step"
    result = train(tiny_run, *plugins, task=bad_data(5, batches=8), epochs=1, log_every=log_every)
    noticed = 6 if device else 5
    assert (result.outcome, result.step) == ("completed", 8)
    assert finite(result)
    assert all(torch.equal(value, weights[4][name]) for name, value in weights[noticed].items())
    assert f"in step 5 (micro-batch 5 of its epoch); rolled back to the weights of {result.directory}" in messages()[-1]
    assert result.state["plugins"]["nan-guard"]["state"]["rollbacks"] == 1


def test_roll_back_passes_over_snapshots_of_bad_weights(tiny_run, acting, messages):
    """Weights that were bad before the loss showed it."""
    pytest.importorskip("hookloop_checkpoint")

    def spoil(run):
        if run.step == 4:
            next(run.model.parameters()).data[0, 0] = math.nan

    plugins = [guard(policy="roll-back"), ("checkpoint", {"every": "2 steps"}), ("spoil", acting("on_step_end", spoil))]
    result = train(tiny_run, *plugins, task=bad_data(), epochs=1)
    assert finite(result)
    assert "step-00000004: its weights are not finite" in messages()[0]
    assert "step-00000002" in messages()[1]


def test_rolling_back_too_often_fails_the_run(tiny_run):
    pytest.importorskip("hookloop_checkpoint")
    plugins = [guard(policy="roll-back", max_rollbacks=2), ("checkpoint", {"every": "1 step"})]
    with pytest.raises(PluginHookError, match=r"in step 5 .* max_rollbacks = 2 are used up"):
        train(tiny_run, *plugins, task=bad_data(3, 4, 5))


def test_roll_backs_before_a_resume_count(tiny_run, tmp_path):
    pytest.importorskip("hookloop_checkpoint")
    plugins = [guard(policy="roll-back", max_rollbacks=2), ("checkpoint", {"every": "1 step"})]
    train(tiny_run, *plugins, task=bad_data(3), epochs=2, run_dir=tmp_path / "run")
    with pytest.raises(PluginHookError, match="max_rollbacks = 2 are used up"):
        train(tiny_run, *plugins, task=bad_data(3), epochs=3, run_dir=tmp_path / "run", resume=True)


def test_without_a_snapshot_there_is_nothing_to_roll_back_to(tiny_run):
    with pytest.raises(PluginHookError, match="no snapshot from before step 3"):
        train(tiny_run, guard(policy="roll-back"), task=bad_data(3))


def test_a_limit_of_another_policy_is_refused(tiny_run):
    with pytest.raises(Exception, match="max_skips is for policy = 'skip'"):
        train(tiny_run, guard(max_skips=3), task=bad_data())


def test_a_watch_finds_the_first_of_many_after_folding():
    watch = Watch()
    for number in range(2 * FOLDED + 5):
        bad = number in (FOLDED + 3, FOLDED + 9, 2 * FOLDED + 1)
        watch.add(torch.tensor(math.inf if bad else 1.0), step=number + 1, batch=7)
    assert watch.count().item() == 3
    place = watch.first()
    assert (place.number, place.step, place.batch) == (FOLDED + 3, FOLDED + 4, 7)
    watch.forget()
    assert (watch.count(), watch.first()) == (None, None)
    watch.add(torch.tensor(math.nan), step=9, batch=1)
    assert watch.first().step == 9


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_largest_of_many_is_finite_only_if_all_are(value):
    many = [torch.ones(3), torch.full((2, 2), 1e30), torch.empty(0)]
    assert largest(many).isfinite()
    many[0][1] = value
    assert not largest(many).isfinite()
    assert largest([]) is None


def test_a_trace_sees_into_tuples_and_dictionaries():
    class Pair(torch.nn.Module):
        def forward(self, given):
            return {"a": (given, 3)}, [given / 0]

    trace = ModuleTrace(model := Pair())
    trace.attach()
    trace.begin(4)
    model(torch.ones(2))
    trace.detach()
    assert (trace.first(4), trace.first(3)) == ("Pair", None)
