"""Every hook does what its docstring in ``hookspecs.py`` promises: one test each, or several, by its name."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from hookloop import (
    ConfigError,
    PluginHookError,
    SkipBackward,
    SkipBatch,
    SkipEpoch,
    SkipStep,
    SupervisedTask,
    hookimpl,
)
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.testing import tiny_task

SGD = {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1)}


def plugin(*methods, role="actor", name="Local", **marks):
    """Return a plugin whose hooks are *methods*, by their names."""
    return type(name, (), {"role": role, **{each.__name__: hookimpl(**marks)(each) for each in methods}})()


def weights(result):
    return torch.cat([each.flatten() for each in result.state["model"].values()])


def gradients(run):
    return [None if p.grad is None else p.grad.clone() for p in run.model.parameters()]


def same(one, other):
    return all(map(torch.equal, one, other))


def test_every_hook_has_a_test_here():
    hooks = [name for each in SPECIFICATIONS for name, value in vars(each).items() if hasattr(value, "__hookloop__")]
    tests = [name for name in globals() if name.startswith("test_")]
    missing = [
        hook for hook in hooks if not any(test == f"test_{hook}" or test.startswith(f"test_{hook}_") for test in tests)
    ]
    assert len(hooks) > 60
    assert missing == []


# provide


def test_provide_losses_are_found_by_name_and_take_options(tiny_run):
    asked = []

    def provide_losses(self, run):
        asked.append((run.config.max_epochs, hasattr(run, "model")))
        return {"scaled": lambda factor: lambda output, target: factor * cross_entropy(output, target)}

    once = tiny_run(epochs=1, steps=1)
    thrice = tiny_run([plugin(provide_losses)], epochs=1, steps=1, loss=("scaled", {"factor": 3.0}))
    assert asked == [(1, False)]
    assert thrice.metrics["train/loss"] == pytest.approx(3 * once.metrics["train/loss"])


def test_provide_losses_replaces_one_of_the_engine(tiny_run):
    def provide_losses(self):
        return {"cross_entropy": lambda: lambda output, target: 0 * cross_entropy(output, target)}

    assert tiny_run([plugin(provide_losses)], loss="cross_entropy").metrics["train/loss"] == 0


def test_provide_losses_of_one_name_by_two_plugins_is_an_error_that_names_both(tiny_run):
    def provide_losses(self):
        return {"mine": lambda: cross_entropy}

    both = [plugin(provide_losses, name="One"), plugin(provide_losses, name="Two")]
    with pytest.raises(ConfigError, match=r"'mine' is offered by 'one' .* and 'two' "):
        tiny_run(both, loss="mine")


def test_provide_schedules_count_steps_and_know_the_length_of_the_run(tiny_run):
    rates = []

    def provide_schedules(self):
        return {"countdown": lambda period: lambda progress, lr: lr * (period - progress)}

    def on_step_start(self, run):
        rates.append(run.optimizers[0].param_groups[0]["lr"])

    tiny_run([plugin(provide_schedules, on_step_start)], schedule=("countdown", {"unit": "step"}), steps=2)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_provide_metrics_are_objects_or_functions(tiny_run):
    class Largest:
        def update(self, output, target):
            self.value = max(self.value, float(output.max()))

        def compute(self):
            return self.value

        def reset(self):
            self.value = float("-inf")

    def provide_metrics(self):
        return {"largest": Largest, "share": lambda k=0: lambda output, target: (target == k).float().mean()}

    result = tiny_run([plugin(provide_metrics)], metrics={"largest": {}, "share": {"k": 1}})
    model, batches = tiny_task().model, list(tiny_task().val_loader())
    model.load_state_dict(result.state["model"])
    with torch.no_grad():
        assert result.metrics["val/largest"] == max(float(model(inputs).max()) for inputs, _ in batches)
    assert result.metrics["val/share"] == pytest.approx(sum(int((y == 1).sum()) for _, y in batches) / 12)


def test_provide_optimizers_get_the_parameters_and_the_options(tiny_run):
    def provide_optimizers(self):
        return {"slow": lambda params, factor: torch.optim.SGD(params, lr=0.1 * factor)}

    by_name = tiny_run([plugin(provide_optimizers)], optimizer=("slow", {"factor": 0.5}))
    by_hand = tiny_run(optimizer=lambda params: torch.optim.SGD(params, lr=0.05))
    assert torch.equal(weights(by_name), weights(by_hand))


def test_provide_tasks_are_built_by_name(tiny_run):
    def provide_tasks(self):
        return {"tiny": lambda: tiny_task(4)}

    assert tiny_run([plugin(provide_tasks)], task="tiny", epochs=1).step == 4


def test_add_commands_adds_a_command_to_the_command_line(tmp_path, capsys):
    from hookloop.cli.main import run

    (tmp_path / "greeter.py").write_text(
        "from hookloop import hookimpl\n"
        "class Greeter:\n"
        "    @hookimpl\n"
        "    def add_commands(self, app):\n"
        "        @app.command\n"
        "        def greet(name: str) -> None:\n"
        "            print('hello', name)\n"
    )
    assert run(["-p", str(tmp_path / "greeter.py"), "greet", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"


# run


def test_on_run_start_comes_before_anything_is_built(tiny_run, hook_recorder):
    seen = []

    def on_run_start(self, run):
        seen.append((run.directory.is_dir(), run.rank, run.world_size, run.config.max_epochs, hasattr(run, "model")))

    tiny_run([plugin(on_run_start), hook_recorder], epochs=1)
    assert seen == [(True, 0, 1, 1, False)]
    assert hook_recorder.names[0] == "on_run_start"
    assert hook_recorder.count("on_run_start") == 1


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_on_run_start_and_end_fire_for_every_command(tiny_run, hook_recorder, command):
    tiny_run([hook_recorder], commands=(command,))
    assert (hook_recorder.names[0], hook_recorder.names[-1]) == ("on_run_start", "on_run_end")


def test_on_run_end_is_last_and_gets_the_outcome(tiny_run, hook_recorder):
    tiny_run([hook_recorder])
    assert hook_recorder.names[-1] == "on_run_end"
    assert hook_recorder.calls[-1].arguments == {"outcome": "completed"}


def test_on_run_end_fires_when_nothing_was_built(tiny_run, hook_recorder, failing_plugin):
    with pytest.raises(PluginHookError, match="on_run_start failed"):
        tiny_run([failing_plugin("on_run_start"), hook_recorder])
    assert hook_recorder.names[-2:] == ["on_exception", "on_run_end"]
    assert hook_recorder.calls[-1].arguments == {"outcome": "failed"}


def test_on_run_end_unwinds_in_reverse(tiny_run):
    order = []

    def noting(name):
        def on_run_start(self):
            order.append(f"{name} starts")

        def on_run_end(self):
            order.append(f"{name} ends")

        return plugin(on_run_start, on_run_end, name=name)

    tiny_run([noting("A"), noting("B")])
    assert order == ["A starts", "B starts", "B ends", "A ends"]


def test_on_exception_comes_once_before_the_other_endings(tiny_run, hook_recorder, failing_plugin):
    with pytest.raises(PluginHookError):
        tiny_run([hook_recorder, failing_plugin("on_step_end", at_step=2)])
    assert hook_recorder.count("on_exception") == 1
    assert hook_recorder.names[-3:] == ["on_exception", "on_fit_end", "on_run_end"]
    (call,) = hook_recorder.of("on_exception")
    assert call.counters["step"] == 2
    assert "plugin 'failing-plugin'" in call.arguments["error"].__notes__[0]


@pytest.mark.parametrize(
    ("kind", "outcome"), [(RuntimeError, "failed"), (SystemExit, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_on_exception_hears_of_everything_that_can_be_raised(tiny_run, hook_recorder, kind, outcome):
    def on_backward_end(self, run):
        raise kind

    with pytest.raises((kind, PluginHookError)):
        tiny_run([hook_recorder, plugin(on_backward_end)])
    assert type(hook_recorder.of("on_exception")[0].arguments["error"]) is kind
    assert hook_recorder.calls[-1].arguments == {"outcome": outcome}


@pytest.mark.parametrize("hook", ["on_backward_start", "on_validation_batch_end"])
def test_on_exception_sees_the_run_where_the_error_struck(tiny_run, hook):
    there, seen = [], []

    def strike(self, run):
        there.append((run.batch, run.output, run.loss))
        raise RuntimeError

    def on_exception(self, run):
        seen.append((run.batch, run.output, run.loss))

    strike.__name__ = hook
    with pytest.raises(PluginHookError):
        tiny_run([plugin(strike, on_exception)])
    assert all(one is other is not None for one, other in zip(seen[0], there[0], strict=True))


def test_on_interrupt_at_a_boundary_has_a_complete_step_and_persist_to_come(tiny_run, hook_recorder):
    def on_forward_end(self, run):
        if run.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    assert tiny_run([plugin(on_forward_end), hook_recorder]).outcome == "interrupted"
    (call,) = hook_recorder.of("on_interrupt")
    assert call.counters["step"] == 2
    hook_recorder.assert_order("decide", "on_interrupt", "persist", "report", "on_fit_end", "on_run_end")
    assert hook_recorder.count("on_exception") == 0


def test_on_interrupt_on_a_second_ctrl_c_goes_straight_to_the_end(tiny_run, hook_recorder):
    def on_forward_end(self, run):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny_run([plugin(on_forward_end), hook_recorder])
    assert hook_recorder.count("persist") == 0
    assert hook_recorder.names[-4:] == ["on_interrupt", "on_exception", "on_fit_end", "on_run_end"]


def test_on_stop_requested_follows_decide_with_the_first_reason(tiny_run, hook_recorder):
    def decide(self, run):
        run.request_stop(f"step {run.step}")
        run.request_stop("another reason")

    result = tiny_run([hook_recorder, plugin(decide)])
    assert (result.outcome, result.stop_reason) == ("stopped", "step 1")
    (call,) = hook_recorder.of("on_stop_requested")
    assert call.arguments == {"reason": "step 1"}
    names = hook_recorder.names
    assert names[names.index("on_stop_requested") - 1 :][:3] == ["decide", "on_stop_requested", "persist"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_on_preempted_comes_before_a_save_that_was_asked_for(tiny_run, number):
    seen = []

    def on_step_start(self, run):
        if run.step == 1:
            os.kill(os.getpid(), number)

    def on_preempted(self, run, signal):
        seen.append(("on_preempted", run.step, signal))

    def persist(self, run):
        seen.append(("persist", run.step, run.save_requested))

    assert tiny_run([plugin(on_step_start, on_preempted, persist)]).outcome == "preempted"
    assert seen == [("persist", 1, False), ("on_preempted", 2, number), ("persist", 2, True)]


# build


def test_prepare_model_passes_the_model_on_before_there_is_an_optimizer(tiny_run):
    seen = []

    class Wrapper(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, inputs):
            return self.scale * self.inner(inputs)

    def wrap(self, run, model):
        assert (run.optimizers, model is run.task.model) == ((), True)
        return Wrapper(model)

    def leave(self, run, model):
        seen.append(model)

    wrap.__name__ = leave.__name__ = "prepare_model"
    result = tiny_run([plugin(wrap, name="A"), plugin(leave, name="B")])
    assert isinstance(seen[0], Wrapper)
    assert result.state["model"]["scale"] != 1


def test_prepare_loader_gets_each_loader_of_the_command(tiny_run):
    stages = []

    def prepare_loader(self, run, loader, stage):
        stages.append(stage)
        return loader[:1] if stage == "train" else None

    result = tiny_run([plugin(prepare_loader)], epochs=2, steps=3, commands=("fit", "validate", "test", "predict"))
    assert stages == ["train", "validate", "validate", "test", "predict"]
    assert tiny_run.results["fit"].step == 2
    assert result.outcome == "completed"


def test_prepare_optimizer_gets_each_optimizer_with_the_prepared_model(tiny_run):
    def prepare_optimizer(self, run, optimizer):
        mine = {id(p) for p in run.model.parameters()}
        assert {id(p) for group in optimizer.param_groups for p in group["params"]} <= mine
        optimizer.param_groups[0]["lr"] *= 0.5

    def both(params):
        params = list(params)
        return [torch.optim.SGD(params[:2], lr=0.1), torch.optim.SGD(params[2:], lr=0.1)]

    halved = tiny_run([plugin(prepare_optimizer)], optimizer=both)
    assert torch.equal(weights(halved), weights(tiny_run(optimizer=lambda p: torch.optim.SGD(p, lr=0.05))))


def test_prepare_optimizer_may_replace_it(tiny_run):
    def prepare_optimizer(self, run, optimizer):
        return torch.optim.AdamW(run.model.parameters(), lr=0.01)

    replaced = tiny_run([plugin(prepare_optimizer)])
    assert torch.equal(weights(replaced), weights(tiny_run(optimizer=("adamw", {"lr": 0.01}))))


def test_on_ready_sees_everything_built_and_may_change_weights(tiny_run):
    seen = []

    def on_ready(self, run):
        seen.append((len(run.optimizers), len(run.schedules), run.epoch, run.step))
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.zero_()

    result = tiny_run([plugin(on_ready)], epochs=1, steps=1, schedule="constant", optimizer=("sgd", {"lr": 1e-9}))
    assert seen == [(1, 1, 0, 0)]
    assert weights(result).abs().max() < 1e-6


def test_on_ready_of_a_resumed_run_comes_after_its_state(tiny_run, hook_recorder):
    half = tiny_run(epochs=1, steps=3)
    tiny_run([hook_recorder], epochs=2, steps=3, resume=half.state)
    assert [(each.counters["epoch"], each.counters["step"]) for each in hook_recorder.of("on_ready")] == [(1, 3)]


# fit


def test_on_fit_start_fires_once_and_for_a_fit_alone(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, commands=("fit", "validate", "test", "predict"))
    assert (hook_recorder.count("on_fit_start"), hook_recorder.count("on_fit_end")) == (1, 1)
    hook_recorder.assert_order("on_ready", "on_fit_start", "on_epoch_start")


def test_on_fit_end_knows_the_outcome_and_may_change_weights(tiny_run):
    outcomes = []

    def on_fit_end(self, run):
        outcomes.append(run.outcome)
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.fill_(7.0)

    assert weights(tiny_run([plugin(on_fit_end)])).unique().tolist() == [7.0]
    assert outcomes == ["completed"]


@pytest.mark.parametrize("hook", ["on_fit_start", "on_epoch_start", "on_validation_end", "persist"])
def test_on_fit_end_fires_whenever_on_fit_start_did(tiny_run, hook_recorder, failing_plugin, hook):
    with pytest.raises(PluginHookError):
        tiny_run([hook_recorder, failing_plugin(hook)])
    assert hook_recorder.names[-3:] == ["on_exception", "on_fit_end", "on_run_end"]


def test_on_fit_end_does_not_fire_without_on_fit_start(tiny_run, hook_recorder, failing_plugin):
    with pytest.raises(PluginHookError):
        tiny_run([hook_recorder, failing_plugin("on_ready")])
    assert hook_recorder.count("on_fit_end") == 0


def test_on_epoch_start_counts_completed_epochs_before_the_first_fetch(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, steps=3)
    counters = [(call.counters["epoch"], call.counters["batch_index"]) for call in hook_recorder.of("on_epoch_start")]
    assert counters == [(0, 0), (1, 0)]
    hook_recorder.assert_order("on_epoch_start", "run_epoch", "on_fetch_start")


def test_on_epoch_start_may_skip_the_epoch_which_is_counted_without_a_validation(tiny_run, hook_recorder):
    def on_epoch_start(self, run):
        if run.epoch == 1:
            raise SkipEpoch

    result = tiny_run([plugin(on_epoch_start), hook_recorder], epochs=3, steps=2)
    assert (result.outcome, result.epoch, result.step) == ("completed", 3, 4)
    assert hook_recorder.count("on_validation_start") == 2
    assert hook_recorder.count("on_epoch_end") == 3


def test_on_train_epoch_end_comes_before_validation_which_sees_its_weights(tiny_run, hook_recorder):
    def on_train_epoch_end(self, run):
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.zero_()

    result = tiny_run([plugin(on_train_epoch_end), hook_recorder], epochs=1, steps=3)
    assert result.metrics["val/loss"] == pytest.approx(torch.log(torch.tensor(3.0)).item())
    (call,) = hook_recorder.of("on_train_epoch_end")
    assert (call.counters["epoch"], call.counters["batch_index"]) == (0, 3)
    assert hook_recorder.of("on_validation_start")[0].counters["epoch"] == 1
    hook_recorder.assert_order("on_data_exhausted", "on_train_epoch_end", "on_validation_start", "on_epoch_end")


def test_on_train_epoch_end_does_not_fire_for_an_epoch_that_was_left(tiny_run, hook_recorder):
    def on_batch_start(self, run):
        if run.step == 1:
            raise SkipEpoch
        if run.step == 2:
            run.request_stop("in the middle")

    tiny_run([plugin(on_batch_start), hook_recorder], epochs=2, steps=3)
    assert hook_recorder.count("on_train_epoch_end") == 0


def test_on_epoch_end_comes_after_validation_with_the_epoch_counted(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, steps=3)
    calls = hook_recorder.of("on_epoch_end")
    assert [(each.counters["epoch"], each.counters["batch_index"]) for each in calls] == [(1, 3), (2, 3)]
    hook_recorder.assert_order("on_validation_end", "on_epoch_end", "on_metrics", "decide", "persist", "report")


# batch


def test_on_fetch_start_fires_once_more_where_the_data_ends(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=1, steps=3)
    assert (hook_recorder.count("on_fetch_start"), hook_recorder.count("on_fetch_end")) == (4, 3)
    hook_recorder.assert_order("on_fetch_start", "on_fetch_end", "on_step_start")


def test_on_fetch_end_gets_the_batch_as_the_loader_gave_it(tiny_run):
    seen = []

    def on_fetch_end(self, batch):
        seen.append(batch)

    def transfer_batch(self, run, batch):
        return [each.clone() for each in batch]

    task = tiny_task(2)
    tiny_run([plugin(on_fetch_end, transfer_batch)], task=task, epochs=1)
    assert [id(each) for each in seen] == [id(each) for each in task.train_loader()]


def test_on_fetch_end_may_change_the_batch_in_place(tiny_run):
    def on_fetch_end(self, batch):
        batch[0].zero_()

    def on_batch_start(self, batch):
        assert batch[0].count_nonzero() == 0

    tiny_run([plugin(on_fetch_end, on_batch_start)])


def test_on_data_exhausted_comes_instead_of_on_fetch_end(tiny_run, hook_recorder):
    waiting = []

    def on_data_exhausted(self, run):
        waiting.append(len(run.window))

    tiny_run([plugin(on_data_exhausted), hook_recorder], task=lambda: tiny_task(3), accumulate=2, epochs=2)
    assert waiting == [1, 1]
    names = hook_recorder.names
    assert names[names.index("on_data_exhausted") - 1] == "on_fetch_start"
    hook_recorder.assert_order("on_data_exhausted", "on_step_start", "on_step_end", "on_train_epoch_end")


def test_transfer_batch_is_a_chain_in_every_stage(tiny_run):
    stages = []

    def double(self, run, batch):
        stages.append(run.stage)
        return batch[0] * 2, batch[1]

    def look(self, run, batch):
        assert torch.equal(batch[0], 2 * raw[run.stage][batch_number(run)][0])

    def batch_number(run):
        return run.batch_index if run.stage == "train" else stages.count(run.stage) - 1

    double.__name__ = look.__name__ = "transfer_batch"
    task = tiny_task(2)
    loaders = (task.train_loader(), task.val_loader(), task.test_loader(), task.predict_loader())
    raw = dict(zip(("train", "validate", "test", "predict"), loaders, strict=True))
    plugins = [plugin(double, name="A"), plugin(look, name="B")]
    tiny_run(plugins, task=task, epochs=1, commands=("fit", "test", "predict"))
    assert stages == ["train"] * 2 + ["validate"] * 2 + ["test"] * 2 + ["predict"] * 2


def test_on_batch_start_counts_the_micro_batches_before_it(tiny_run):
    seen = []

    def on_batch_start(self, run, batch):
        seen.append((run.batch_index, run.micro_batch, batch is run.batch))

    tiny_run([plugin(on_batch_start)], task=lambda: tiny_task(3), accumulate=2, epochs=1)
    assert seen == [(0, 0, True), (1, 1, True), (2, 0, True)]


def test_on_batch_start_may_skip_the_micro_batch(tiny_run, hook_recorder):
    def on_batch_start(self, run):
        if run.batch_index == 1:
            raise SkipBatch

    result = tiny_run([plugin(on_batch_start), hook_recorder], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)
    assert hook_recorder.count("on_forward_start") == 2
    assert hook_recorder.count("on_optimizer_step_skipped") == 1


def test_on_batch_start_may_skip_the_rest_of_the_epoch(tiny_run):
    def on_batch_start(self, run):
        if run.batch_index == 1:
            raise SkipEpoch

    result = tiny_run([plugin(on_batch_start)], epochs=2, steps=3)
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 2)


@pytest.mark.parametrize("skip", [None, SkipBatch, SkipBackward])
def test_on_batch_end_has_counted_the_micro_batch_also_a_skipped_one(tiny_run, skip):
    seen = []

    def on_backward_start(self, run):
        if skip:
            raise skip

    def on_batch_end(self, run):
        seen.append((run.batch_index, run.samples, run.batch is run.window[0], run.output.shape, run.loss.shape))

    tiny_run([plugin(on_backward_start, on_batch_end)], epochs=1, steps=2)
    assert seen == [(1, 6, True, (6, 3), ()), (2, 12, True, (6, 3), ())]


# step


def test_on_step_start_has_the_window_and_the_gradients_of_the_step_before(tiny_run):
    windows, before, after = [], [], []

    def on_step_start(self, run):
        windows.append(len(run.window))
        before.append(gradients(run))

    def on_step_end(self, run):
        after.append(gradients(run))

    tiny_run([plugin(on_step_start, on_step_end)], task=lambda: tiny_task(5), accumulate=2, epochs=1)
    assert windows == [2, 2, 1]
    assert before[0] == [None] * 4
    assert same(before[1], after[0])
    assert same(before[2], after[1])


@pytest.mark.parametrize("skip", [SkipStep, SkipEpoch])
def test_on_step_start_may_skip_the_update_or_the_epoch(tiny_run, hook_recorder, skip):
    def on_step_start(self, run):
        if run.batch_index == 1:
            raise skip

    result = tiny_run([plugin(on_step_start), hook_recorder], epochs=1, steps=3)
    assert result.step == (2 if skip is SkipStep else 1)
    assert result.samples == (18 if skip is SkipStep else 6)
    assert hook_recorder.count("run_step") == result.step


def test_on_zero_grad_still_sees_the_gradients(tiny_run):
    seen = []

    def on_zero_grad(self, run):
        seen.append([each is None for each in gradients(run)])

    def on_forward_start(self, run):
        assert gradients(run) == [None] * 4

    tiny_run([plugin(on_zero_grad, on_forward_start)], epochs=1, steps=2)
    assert seen == [[True] * 4, [False] * 4]


def test_on_forward_start_may_change_the_batch_or_skip_it(tiny_run):
    def on_forward_start(self, run, batch):
        if run.batch_index == 1:
            raise SkipBatch
        batch[0].zero_()

    def on_forward_end(self, run, output):
        assert same(output[:1].expand(6, 3), output)  # the same answer to each row of zeros

    result = tiny_run([plugin(on_forward_start, on_forward_end)], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)


@pytest.mark.parametrize("skip", [None, SkipBatch, SkipBackward])
def test_on_forward_end_has_the_output_with_its_graph(tiny_run, hook_recorder, skip):
    def on_forward_end(self, run, output):
        assert output is run.output
        assert output.grad_fn is not None
        if skip:
            raise skip

    result = tiny_run([plugin(on_forward_end), hook_recorder], epochs=1, steps=2)
    assert (result.step, result.samples) == (0 if skip else 2, 12)
    assert hook_recorder.count("transform_loss") == (0 if skip else 2)


def test_transform_loss_is_a_chain_and_what_is_logged(tiny_run):
    seen = []

    def double(self, run, loss):
        return 2 * loss

    def keep(self, run, loss):
        seen.append((loss.item(), loss.grad_fn is not None, run.output is not None))

    double.__name__ = keep.__name__ = "transform_loss"
    plain = tiny_run(epochs=1, steps=1, **SGD)
    doubled = tiny_run([plugin(double, name="A"), plugin(keep, name="B")], epochs=1, steps=1, **SGD)
    assert doubled.metrics["train/loss"] == seen[0][0] == 2 * plain.metrics["train/loss"]
    assert seen[0][1:] == (True, True)
    assert torch.allclose(
        weights(doubled),
        weights(tiny_run(epochs=1, steps=1, optimizer=lambda params: torch.optim.SGD(params, lr=0.2))),
    )


@pytest.mark.parametrize("skip", [SkipBatch, SkipBackward])
def test_transform_loss_may_skip(tiny_run, skip):
    def transform_loss(self, run, loss):
        if run.batch_index == 0:
            raise skip

    assert tiny_run([plugin(transform_loss)], epochs=1, steps=3).step == 2


def test_on_backward_start_gets_the_weighted_loss(tiny_run):
    seen = []

    def on_backward_start(self, run, loss):
        seen.append((loss / run.loss).item())

    tiny_run([plugin(on_backward_start)], task=lambda: tiny_task(3), accumulate=2, epochs=1)
    assert seen == pytest.approx([0.5, 0.5, 1.0])


def test_on_backward_start_may_do_without_the_gradient(tiny_run, hook_recorder):
    def on_backward_start(self, run):
        if run.micro_batch == 0:
            raise SkipBackward

    tiny_run([plugin(on_backward_start), hook_recorder], accumulate=2, epochs=1, steps=2)
    assert (hook_recorder.count("run_backward"), hook_recorder.count("on_step_end")) == (2, 2)


def test_on_backward_end_may_change_the_gradients_so_far(tiny_run):
    norms = []

    def on_backward_end(self, run):
        norms.append(run.model[0].weight.grad.norm().item())
        if run.micro_batch == 0:
            run.model[0].weight.grad.zero_()

    tiny_run([plugin(on_backward_end)], task=lambda: sized_task([6, 6], same_data=True), accumulate=2, epochs=1)
    assert norms[0] == norms[1] > 0


class DropsTheUpdateOf:
    """Drops the updates of these batches."""

    role = "actor"

    def __init__(self, *batches):
        self.batches = batches

    @hookimpl
    def on_step_start(self, run):
        if run.batch_index in self.batches:
            raise SkipStep


def sized_task(sizes, *, same_data=False):
    """Return the tiny task with one training batch for each of *sizes*."""
    task = tiny_task(len(sizes))
    batches = task.train_loader()
    picked = [batches[0]] * len(sizes) if same_data else batches
    train = [(x[:size].clone(), y[:size]) for (x, y), size in zip(picked, sizes, strict=True)]
    return SupervisedTask(model=task.model, train=train, val=task.val_loader())


def test_on_gradients_ready_has_the_mean_gradient_before_it_is_clipped(tiny_run):
    ready, clipped = [], []

    def on_gradients_ready(self, run):
        task = run.task
        inputs, targets = (torch.cat(parts) for parts in zip(*run.window, strict=True))
        loss = cross_entropy(task.model(inputs), targets)
        expected = torch.autograd.grad(loss, list(run.model.parameters()))
        ready.append(all(map(torch.allclose, gradients(run), expected)))

    def on_optimizer_step_start(self, run):
        clipped.append(torch.cat([each.flatten() for each in gradients(run)]).norm().item())

    plugins = [plugin(on_gradients_ready, on_optimizer_step_start)]
    result = tiny_run(plugins, task=lambda: sized_task([6, 2, 5]), accumulate=2, epochs=1, clip_grad_norm=1e-3)
    assert ready == [True, True]
    assert clipped == pytest.approx([1e-3, 1e-3], rel=1e-2)
    assert result.history[0]["train/grad_norm"] > 1e-2


def test_on_gradients_ready_may_drop_the_update(tiny_run, hook_recorder):
    def on_gradients_ready(self, run):
        if run.batch_index == 1:
            raise SkipStep

    result = tiny_run([plugin(on_gradients_ready), hook_recorder], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)
    assert hook_recorder.count("on_optimizer_step_start") == 2


def test_on_optimizer_step_start_may_change_gradients_and_groups_or_drop_the_update(tiny_run):
    def on_optimizer_step_start(self, run):
        if run.batch_index == 1:
            raise SkipStep
        run.optimizers[0].param_groups[0]["lr"] = 1.0
        for parameter in run.model.parameters():
            parameter.grad.fill_(0.25)

    def on_ready(self, run):
        self.before = [each.detach().clone() for each in run.model.parameters()]

    def on_fit_end(self, run):
        for before, now in zip(self.before, run.model.parameters(), strict=True):
            assert torch.allclose(now, before - 0.5)

    assert tiny_run([plugin(on_optimizer_step_start, on_ready, on_fit_end)], epochs=1, steps=3, **SGD).step == 2


def test_on_optimizer_step_end_has_new_weights_and_their_gradients(tiny_run):
    def on_optimizer_step_start(self, run):
        self.before = [(p.detach().clone(), p.grad.clone()) for p in run.model.parameters()]

    def on_optimizer_step_end(self, run):
        assert run.step == 0
        for (weight, gradient), now in zip(self.before, run.model.parameters(), strict=True):
            assert torch.equal(now.grad, gradient)
            assert torch.equal(now, torch.add(weight, gradient, alpha=-0.1))
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.zero_()

    result = tiny_run([plugin(on_optimizer_step_start, on_optimizer_step_end)], epochs=1, steps=1, **SGD)
    assert weights(result).count_nonzero() == 0


def test_on_optimizer_step_skipped_comes_instead_of_the_ends_and_the_boundary(tiny_run, hook_recorder):
    def run_optimizer_step(self, run):
        return False if run.batch_index == 2 else None

    result = tiny_run([plugin(run_optimizer_step), hook_recorder], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)
    (call,) = hook_recorder.of("on_optimizer_step_skipped")
    assert (call.counters["step"], call.counters["batch_index"]) == (1, 2)
    names = hook_recorder.names
    following = names[names.index("on_optimizer_step_skipped") + 1]
    assert following == "on_fetch_start"
    assert hook_recorder.count("on_step_end") == hook_recorder.count("on_optimizer_step_end") == 2


def test_on_optimizer_step_skipped_proposals_are_agreed_on_all_the_same(tiny_run, hook_recorder):
    def on_step_start(self, run):
        raise SkipStep

    def on_optimizer_step_skipped(self, run):
        if run.batch_index == 2:
            run.request_stop("two updates were dropped")

    result = tiny_run([plugin(on_step_start, on_optimizer_step_skipped), hook_recorder], epochs=9, steps=3)
    assert (result.outcome, result.step, result.samples, result.epoch) == ("stopped", 0, 12, 0)
    hook_recorder.assert_order("on_optimizer_step_skipped", "on_stop_requested", "persist", "on_fit_end")


def test_on_optimizer_step_skipped_for_an_overflow_under_fp16(tiny_run, hook_recorder):
    def transform_loss(self, run, loss):
        return loss * float("inf") if run.batch_index == 0 else loss

    result = tiny_run([plugin(transform_loss), hook_recorder], epochs=1, steps=3, precision="fp16-mixed")
    assert result.step == 2
    assert hook_recorder.count("on_optimizer_step_skipped") == 1


@pytest.mark.parametrize(("unit", "calls"), [("step", 6), ("epoch", 2)])
def test_on_schedule_step_may_change_the_rates_which_are_set_afresh_next_time(tiny_run, unit, calls):
    seen = []

    def on_schedule_step(self, run):
        (group,) = run.optimizers[0].param_groups
        seen.append((group["lr"], run.step if unit == "step" else run.epoch))
        group["lr"] = 5.0

    schedule = ("exponential", {"gamma": 0.5, "unit": unit})
    tiny_run([plugin(on_schedule_step)], schedule=schedule, epochs=2, steps=3, **SGD)
    assert seen == [(pytest.approx(0.1 * 0.5**count), count) for count in range(1, calls + 1)]


def test_on_step_end_has_counted_the_step_and_may_change_weights(tiny_run, hook_recorder):
    def on_step_end(self, run):
        assert run.loss is not None
        assert None not in gradients(run)
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.zero_()

    result = tiny_run([plugin(on_step_end), hook_recorder], epochs=1, steps=2)
    assert [call.counters["step"] for call in hook_recorder.of("on_step_end")] == [1, 2]
    assert weights(result).count_nonzero() == 0
    hook_recorder.assert_order("on_optimizer_step_end", "on_step_end", "on_metrics", "decide", "persist", "report")


# evaluate


@pytest.mark.parametrize(
    ("hook", "stage", "command"),
    [
        ("on_validation_start", "validate", "validate"),
        ("on_test_start", "test", "test"),
        ("on_predict_start", "predict", "predict"),
    ],
)
def test_on_validation_start_and_those_of_test_and_predict_are_without_gradients(tiny_run, hook, stage, command):
    seen = []

    def start(self, run):
        seen.append((run.stage, run.model.training, torch.is_grad_enabled()))

    start.__name__ = hook
    tiny_run([plugin(start)], commands=(command,))
    assert seen == [(stage, False, False)]


def test_on_validation_start_fires_as_validate_every_says(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, steps=3, validate_every="2 steps")
    assert [call.counters["step"] for call in hook_recorder.of("on_validation_start")] == [2, 4, 6]


def evaluated(tiny_run, command, name):
    """Return what the batch hooks of *command* saw, and the batches."""
    starts, ends = [], []

    def on_start(self, run, batch):
        starts.append(batch)
        batch[0].zero_()

    def on_end(self, run, batch):
        ends.append((batch, run.output.clone(), None if run.loss is None else run.loss.item()))

    on_start.__name__, on_end.__name__ = f"on_{name}_batch_start", f"on_{name}_batch_end"
    task = tiny_task()
    tiny_run([plugin(on_start, on_end)], task=task, commands=(command,))
    return starts, ends, task


def test_on_validation_batch_start_may_change_the_batch(tiny_run):
    starts, ends, task = evaluated(tiny_run, "validate", "validation")
    assert [id(each) for each in starts] == [id(each) for each in task.val_loader()]
    assert torch.equal(ends[0][1], task.model(torch.zeros(6, 4)))


def test_on_validation_batch_end_has_output_and_loss_of_the_batch(tiny_run):
    starts, ends, _ = evaluated(tiny_run, "validate", "validation")
    assert [id(batch) for batch, _, _ in ends] == [id(batch) for batch in starts]
    assert all(loss == pytest.approx(cross_entropy(output, batch[1]).item()) for batch, output, loss in ends)


def test_on_validation_end_may_add_a_figure(tiny_run):
    seen = []

    def on_validation_end(self, run):
        run.log("val/errors", 4)

    def on_metrics(self, metrics):
        seen.append(metrics)

    tiny_run([plugin(on_validation_end, on_metrics)], epochs=1, steps=1, log_every="100 steps")
    assert [sorted(each) for each in seen] == [["train/loss", "val/errors", "val/loss"]]


def test_on_test_start_fires_once_for_a_test(tiny_run, hook_recorder):
    tiny_run([hook_recorder], commands=("fit", "test"))
    assert hook_recorder.count("on_test_start") == hook_recorder.count("on_test_end") == 1
    hook_recorder.assert_order("on_test_start", "run_validation", "on_test_batch_start", "on_test_batch_end")


def test_on_test_batch_start_may_change_the_batch(tiny_run):
    starts, ends, task = evaluated(tiny_run, "test", "test")
    assert [id(each) for each in starts] == [id(each) for each in task.test_loader()]
    assert torch.equal(ends[0][1], task.model(torch.zeros(6, 4)))


def test_on_test_batch_end_has_output_and_loss_of_the_batch(tiny_run):
    starts, ends, _ = evaluated(tiny_run, "test", "test")
    assert [id(batch) for batch, _, _ in ends] == [id(batch) for batch in starts]
    assert all(loss == pytest.approx(cross_entropy(output, batch[1]).item()) for batch, output, loss in ends)


def test_on_test_end_may_add_a_figure(tiny_run):
    def on_test_end(self, run):
        run.log("test/errors", torch.tensor(4))

    result = tiny_run([plugin(on_test_end)], commands=("test",))
    assert result.metrics.keys() == {"test/loss", "test/errors"}
    assert result.metrics["test/errors"] == 4


def test_on_predict_start_fires_once_for_a_prediction(tiny_run, hook_recorder):
    tiny_run([hook_recorder], commands=("predict",))
    assert hook_recorder.count("on_predict_start") == 1
    hook_recorder.assert_order("on_predict_start", "run_predict", "on_predict_batch_start", "run_forward")


def test_on_predict_batch_start_may_change_the_batch(tiny_run):
    starts, ends, task = evaluated(tiny_run, "predict", "predict")
    assert [id(each) for each in starts] == [id(each) for each in task.predict_loader()]
    assert torch.equal(ends[0][1], task.model(torch.zeros(6, 4)))


def test_on_predict_batch_end_gets_the_output_without_a_graph(tiny_run):
    seen = []

    def on_predict_batch_end(self, run, batch, output):
        seen.append((output is run.output, output.grad_fn, torch.equal(output, run.model(batch[0])), run.loss))

    tiny_run([plugin(on_predict_batch_end)], commands=("predict",))
    assert seen == [(True, None, True, None)] * 2


def test_on_predict_end_comes_after_every_batch(tiny_run, hook_recorder):
    tiny_run([hook_recorder], commands=("predict",))
    names = hook_recorder.names
    assert names.index("on_predict_end") > max(i for i, name in enumerate(names) if name == "on_predict_batch_end")


# boundary


def test_on_metrics_gets_plain_floats_of_everything_logged_since_the_last_time(tiny_run):
    seen = []

    def on_batch_end(self, run):
        run.log("train/number", run.batch_index)
        run.log("train/tensor", torch.tensor(float(run.batch_index), requires_grad=True))

    def on_metrics(self, run, metrics):
        assert {type(value) for value in metrics.values()} == {float}
        assert metrics.items() <= run.metrics.items()
        seen.append((run.step, metrics.get("train/number"), metrics.get("train/tensor")))

    plugins = [plugin(on_batch_end, on_metrics)]
    tiny_run(plugins, epochs=1, steps=5, log_every="2 steps", validate_every="never")
    assert seen == [(2, 1.5, 1.5), (4, 3.5, 3.5), (5, 5.0, 5.0)]


def test_decide_comes_after_on_metrics_at_every_boundary(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=2, steps=3)
    assert hook_recorder.count("decide") == 2 * (3 + 1)
    names = hook_recorder.names
    assert names[names.index("decide") - 1 :][:4] == ["on_metrics", "decide", "persist", "report"]


def test_persist_knows_whether_a_save_was_asked_for(tiny_run):
    seen = []

    def on_step_end(self, run):
        if run.step == 2:
            run.request_save("because")

    def persist(self, run):
        seen.append(run.save_requested)

    tiny_run([plugin(on_step_end, persist)], epochs=1, steps=3)
    assert seen == [False, True, False, False]


def test_report_is_last_at_every_boundary(tiny_run, hook_recorder):
    tiny_run([hook_recorder], epochs=1, steps=2)
    names = hook_recorder.names
    assert [names[i - 1] for i, name in enumerate(names) if name == "report"] == ["persist"] * 3


# what is logged


def test_write_rows_gives_the_rows_of_the_log_on_rank_0(tiny_run):  # tests/test_row_log.py has the rest
    given = []

    def write_rows(self, run, rows):
        given.append(([*rows], run.history[: len(rows)]))

    tiny_run([plugin(write_rows)], epochs=1, steps=2, log_every="10 steps")
    ((rows, history),) = given
    assert rows == history
    assert [sorted(row) for row in rows] == [["epoch", "step", "time", "train/loss", "val/loss"]]


# beside numbers: each reaches the plugins that take it, and is not computed where nobody does


def logged(tiny_run, hook, value):
    """Return what a taker of *hook* got for *value*, logged by a function in two steps, and check that only it asks."""
    calls, computed = [], []

    def on_step_end(self, run):
        getattr(run, hook)("a/name", lambda: computed.append(run.step) or value)

    def log_text(self, run, name, text):
        calls.append((run.step, name, text))

    def log_image(self, run, name, image):
        calls.append((run.step, name, image))

    def log_figure(self, run, name, figure):
        calls.append((run.step, name, figure))

    def log_histogram(self, run, name, values):
        calls.append((run.step, name, values))

    methods = {each.__name__: each for each in (log_text, log_image, log_figure, log_histogram)}
    taker = methods.pop(hook)
    asks = plugin(on_step_end, name="Asks")
    tiny_run([asks, plugin(*methods.values(), name="TakesOthers")], epochs=1, steps=2)
    assert (calls, computed) == ([], [])
    tiny_run([asks, plugin(taker, name="Takes")], epochs=1, steps=2)
    assert computed == [1, 2]
    assert [(step, name) for step, name, _ in calls] == [(1, "a/name"), (2, "a/name")]
    return [each for _, _, each in calls]


def test_log_text_is_computed_for_who_takes_it_and_is_what_str_makes_of_it(tiny_run):
    assert logged(tiny_run, "log_text", 7) == ["7", "7"]


def test_log_image_is_computed_for_who_takes_it(tiny_run):
    image, _ = logged(tiny_run, "log_image", torch.ones(2, 3))
    assert torch.equal(image, torch.full((2, 3, 1), 255, dtype=torch.uint8))


def test_log_figure_is_computed_for_who_takes_it(tiny_run):
    assert logged(tiny_run, "log_figure", {"a": "figure"}) == [{"a": "figure"}] * 2


def test_log_histogram_is_computed_for_who_takes_it(tiny_run):
    values, _ = logged(tiny_run, "log_histogram", [1.0, 2.0])
    assert torch.equal(values, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(("given", "name"), [(None, "config.toml"), ("settings", "settings")])
def test_log_artifact_has_a_name_and_a_path_that_exists(tiny_run, given, name):
    seen = []

    def on_fit_start(self, run):
        run.log_artifact(run.directory / "config.toml", given)

    def log_artifact(self, name, path):
        seen.append((name, path.name, path.is_file()))

    tiny_run([plugin(on_fit_start, log_artifact)], epochs=1, steps=1)
    assert seen == [(name, "config.toml", True)]


# checkpoint: whoever saves and loads fires these, as a plugin does


def fired_by_a_plugin(tiny_run, hook, argument, *plugins):
    def persist(self, run):
        if run.epoch == 1:
            getattr(run.plugins.hooks, hook)(run, argument)

    tiny_run([*plugins, plugin(persist, name="Saver")], epochs=1, steps=1)


@pytest.mark.parametrize("hook", ["on_checkpoint_save", "on_checkpoint_load"])
def test_on_checkpoint_save_and_load_may_change_the_dictionary_in_order(tiny_run, hook):
    def change(name):
        def write(self, run, checkpoint):
            checkpoint.setdefault("order", []).append((name, run.step))

        write.__name__ = hook
        return plugin(write, name=name)

    checkpoint = {"model": {}}
    fired_by_a_plugin(tiny_run, hook, checkpoint, change("A"), change("B"))
    assert checkpoint == {"model": {}, "order": [("A", 1), ("B", 1)]}


@pytest.mark.parametrize("hook", ["on_checkpoint_saved", "on_checkpoint_loaded"])
def test_on_checkpoint_saved_and_loaded_get_the_path_in_order(tiny_run, hook):
    seen = []

    def listen(name):
        def hear(self, run, path):
            seen.append((name, path))

        hear.__name__ = hook
        return plugin(hear, name=name)

    fired_by_a_plugin(tiny_run, hook, Path("somewhere"), listen("A"), listen("B"))
    assert seen == [("A", Path("somewhere")), ("B", Path("somewhere"))]


def test_on_checkpoint_load_that_fails_names_the_plugin(tiny_run, failing_plugin):
    with pytest.raises(PluginHookError, match="on_checkpoint_load failed at step 1"):
        fired_by_a_plugin(tiny_run, "on_checkpoint_load", {}, failing_plugin("on_checkpoint_load"))


def test_on_checkpoint_loaded_is_nothing_to_call_when_nobody_listens(tiny_run):
    def on_ready(self, run):
        assert run.plugins.hooks.on_checkpoint_loaded is None

    tiny_run([plugin(on_ready)])


# around


def test_run_fit_lies_between_its_start_and_its_end(tiny_run, hook_recorder):
    def run_fit(self, run):
        assert hook_recorder.names[-2:] == ["on_fit_start", "run_fit"]
        return True

    result = tiny_run([plugin(run_fit), hook_recorder])
    assert (result.outcome, result.step) == ("completed", 0)
    hook_recorder.assert_order("run_fit", "on_fit_end")


def test_run_epoch_may_be_replaced_and_the_epoch_still_counts(tiny_run, hook_recorder):
    def run_epoch(self, run):
        for inputs, targets in run.batches:
            loss = cross_entropy(run.model(inputs), targets)
            run.optimizers[0].zero_grad()
            loss.backward()
            run.optimizers[0].step()
        return True

    result = tiny_run([plugin(run_epoch), hook_recorder], epochs=2, steps=3)
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 0)
    assert hook_recorder.count("on_train_epoch_end") == hook_recorder.count("on_validation_end") == 2
    assert torch.equal(weights(result), weights(tiny_run(epochs=2, steps=3)))


def test_run_epoch_wrapped_may_skip_the_rest_of_it(tiny_run):
    def run_epoch(self, run):
        result = yield
        if run.epoch == 0:
            raise SkipEpoch
        return result

    result = tiny_run([plugin(run_epoch, wrapper=True)], epochs=2, steps=3)
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 6)
    assert sum("val/loss" in row for row in result.history) == 1


def test_run_step_may_be_replaced_and_is_counted_outside(tiny_run, hook_recorder):
    def run_step(self, run):
        ((inputs, targets),) = run.window
        run.optimizers[0].zero_grad()
        cross_entropy(run.model(inputs), targets).backward()
        run.optimizers[0].step()
        return run.batch_index != 1

    result = tiny_run([plugin(run_step), hook_recorder], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)
    assert hook_recorder.count("on_optimizer_step_skipped") == 1
    assert [call.counters["batch_index"] for call in hook_recorder.of("on_step_end")] == [1, 3]


@pytest.mark.parametrize("place", ["before", "after"])
def test_run_step_wrapped_may_drop_the_update(tiny_run, place):
    def run_step(self, run):
        if place == "before" and run.batch_index == 0:
            raise SkipStep
        result = yield
        if place == "after" and run.batch_index == 1:
            raise SkipStep
        return result

    result = tiny_run([plugin(run_step, wrapper=True)], epochs=1, steps=3)
    assert (result.step, result.samples) == (2, 18)


def test_run_forward_may_be_replaced_in_every_stage(tiny_run):
    stages = []

    def run_forward(self, run, batch):
        stages.append(run.stage)
        output = run.model(batch[0])
        return output, mse_loss(output, torch.zeros_like(output)) if run.stage != "predict" else None

    result = tiny_run([plugin(run_forward)], epochs=1, steps=1, commands=("fit", "test", "predict"))
    assert stages == ["train"] + ["validate"] * 2 + ["test"] * 2 + ["predict"] * 2
    assert tiny_run.results["test"].metrics["test/loss"] < 1
    assert result.outcome == "completed"


def test_run_forward_may_skip_the_micro_batch(tiny_run):
    def run_forward(self, run, batch):
        if run.stage == "train" and run.batch_index == 1:
            raise SkipBatch

    assert tiny_run([plugin(run_forward)], epochs=1, steps=3).step == 2


def test_run_backward_may_be_replaced_or_left_out(tiny_run):
    def run_backward(self, run, loss):
        if run.batch_index == 1:
            raise SkipBackward
        (2 * loss).backward()
        return True

    double = tiny_run([plugin(run_backward)], epochs=1, steps=2, **SGD)
    assert (double.step, double.samples) == (1, 12)
    by_rate = tiny_run(
        [DropsTheUpdateOf(1)], epochs=1, steps=2, optimizer=lambda params: torch.optim.SGD(params, lr=0.2)
    )
    assert torch.allclose(weights(double), weights(by_rate))


def test_run_optimizer_step_may_be_replaced_or_left_out(tiny_run):
    def run_optimizer_step(self, run):
        if run.batch_index == 2:
            raise SkipStep
        if run.batch_index == 3:
            return False
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.step()
        return True

    twice = tiny_run([plugin(run_optimizer_step)], task=lambda: tiny_task(3), epochs=1, **SGD)
    plugins = [DropsTheUpdateOf(1, 2)]
    by_rate = tiny_run(plugins, epochs=1, steps=3, optimizer=lambda params: torch.optim.SGD(params, lr=0.2))
    assert (twice.step, twice.samples) == (by_rate.step, by_rate.samples) == (1, 18)
    assert torch.allclose(weights(twice), weights(by_rate))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_run_validation_may_be_replaced_for_both_stages(tiny_run, hook_recorder, command):
    def run_validation(self, run):
        assert (run.model.training, torch.is_grad_enabled()) == (False, False)
        run.log(f"{run.stage}/mine", 1.0)
        return True

    result = tiny_run([plugin(run_validation), hook_recorder], commands=(command,))
    assert result.metrics == {f"{command}/mine": 1.0}
    name = "validation" if command == "validate" else "test"
    hook_recorder.assert_order(f"on_{name}_start", "run_validation", f"on_{name}_end")


def test_run_validation_wrapped_may_draw_random_numbers_that_are_put_back(tiny_run):
    def run_validation(self, run):
        torch.manual_seed(0)
        return (yield)

    def task():
        return tiny_task(dropout=0.5)

    assert torch.equal(
        weights(tiny_run([plugin(run_validation, wrapper=True)], task=task)), weights(tiny_run(task=task))
    )


def test_run_predict_may_be_replaced(tiny_run, hook_recorder):
    def run_predict(self, run):
        assert (run.model.training, torch.is_grad_enabled()) == (False, False)
        return True

    tiny_run([plugin(run_predict), hook_recorder], commands=("predict",))
    assert hook_recorder.count("run_forward") == 0
    hook_recorder.assert_order("on_predict_start", "run_predict", "on_predict_end")
