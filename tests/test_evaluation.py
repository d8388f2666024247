"""An evaluation leaves no trace in the training: modes, random numbers, the batch, and nothing half done."""

import os
import signal

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from hookloop import PluginHookError, SkipBatch, SupervisedTask, hookimpl
from hookloop.testing import tiny_task


def plugin(*methods, role="actor", name="Local", **marks):
    """Return a plugin whose hooks are *methods*, by their names."""
    return type(name, (), {"role": role, **{each.__name__: hookimpl(**marks)(each) for each in methods}})()


def weights(result):
    return torch.cat([each.flatten().double() for each in result.state["model"].values()])


def shuffled(count=12, **keywords):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 4, generator=generator)
    return DataLoader(TensorDataset(inputs, torch.arange(count) % 3), batch_size=4, shuffle=True, **keywords)


def dropout_task(*, val):
    def make():
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))
        return SupervisedTask(model, train=shuffled(), val=shuffled() if val else None)

    return make


@pytest.mark.parametrize("every", ["1 epoch", "1 step", "5 samples"])
def test_validation_moves_no_random_numbers(tiny_run, every):
    with_validation = tiny_run(task=dropout_task(val=True), epochs=3, validate_every=every)
    without = tiny_run(task=dropout_task(val=False), epochs=3)
    assert "val/loss" in with_validation.metrics
    assert torch.equal(weights(with_validation), weights(without))


def test_validation_moves_no_random_numbers_of_numpy_and_python(tiny_run):
    import random

    import numpy as np

    drawn = []

    def on_validation_batch_end(self):
        random.random(), np.random.random()

    def on_step_end(self):
        drawn.append((random.random(), np.random.random()))

    tiny_run([plugin(on_step_end)], epochs=2)
    alone = drawn.copy()
    drawn.clear()
    tiny_run([plugin(on_step_end, on_validation_batch_end)], epochs=2)
    assert drawn == alone


# the model's modes


def normalised():
    layers = torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, 3))


def test_a_layer_that_was_frozen_in_evaluation_mode_stays_frozen(tiny_run):
    modes = []

    def make():
        model = normalised()
        model[1].eval().requires_grad_(False)
        return SupervisedTask(model, train=tiny_task().train_loader(), val=tiny_task().val_loader())

    def on_step_start(self, run):
        modes.append([module.training for module in run.model.modules()])

    result = tiny_run([plugin(on_step_start)], task=make, epochs=2, validate_every="1 step")
    assert modes == [[True, True, False, True, True, True]] * 6
    assert result.state["model"]["1.running_mean"].count_nonzero() == 0
    assert result.state["model"]["3.running_mean"].count_nonzero() == 4


def test_a_layer_that_is_frozen_during_the_fit_stays_frozen(tiny_run):
    def on_fit_start(self, run):
        run.model[1].eval()

    def on_step_start(self, run):
        assert not run.model[1].training

    make = lambda: SupervisedTask(normalised(), train=tiny_task().train_loader(), val=tiny_task().val_loader())  # noqa: E731
    assert tiny_run([plugin(on_fit_start, on_step_start)], task=make, epochs=3).outcome == "completed"


@pytest.mark.parametrize("part", [slice(0, None), slice(0, 3)], ids=["all", "a pretrained part"])
def test_a_model_that_comes_in_evaluation_mode_is_trained(tiny_run, part):
    task = tiny_task(dropout=0.5)
    task.model[part].eval()

    def on_step_start(self, run):
        assert all(module.training for module in run.model.modules())

    assert tiny_run([plugin(on_step_start)], task=task).outcome == "completed"


@pytest.mark.parametrize(
    "hook", ["on_validation_start", "on_validation_batch_end", "run_validation", "on_validation_end"]
)
def test_modes_are_put_back_after_an_error_in_validation(tiny_run, failing_plugin, hook):
    task = SupervisedTask(normalised(), train=tiny_task().train_loader(), val=tiny_task().val_loader())
    task.model[1].eval().requires_grad_(False)
    before = torch.is_grad_enabled()
    with pytest.raises(PluginHookError):
        tiny_run([failing_plugin(hook)], task=task)
    assert [module.training for module in task.model] == [True, False, True, True, True]
    assert torch.is_grad_enabled() is before


def test_training_goes_on_where_it_was_after_a_validation_within_an_epoch(tiny_run):
    seen = []

    def on_step_end(self, run):
        self.there = (run.stage, run.batch, run.output, run.loss)

    def persist(self, run):
        now = (run.stage, run.batch, run.output, run.loss)
        seen.append(all(one is other for one, other in zip(self.there, now, strict=True)))

    tiny_run([plugin(on_step_end, persist)], epochs=1, steps=3, validate_every="1 step")
    assert seen == [True] * 4


def test_a_stop_request_waits_for_the_end_of_a_validation(tiny_run, hook_recorder):
    def on_validation_batch_start(self, run):
        run.request_stop("seen enough")

    result = tiny_run([plugin(on_validation_batch_start), hook_recorder], epochs=5)
    assert (result.outcome, result.epoch) == ("stopped", 1)
    assert hook_recorder.count("on_validation_batch_end") == 2
    assert "val/loss" in result.metrics


# what it computes


def test_the_loss_is_the_mean_over_samples_not_over_batches(tiny_run):
    inputs, classes = torch.randn(9, 4), torch.arange(9) % 3
    batches = list(zip(inputs.split([7, 2]), classes.split([7, 2]), strict=True))
    task = SupervisedTask(torch.nn.Linear(4, 3), val=batches, test=batches)
    expected = cross_entropy(task.model(inputs), classes).item()
    assert tiny_run(task=task, commands=("validate",)).metrics["val/loss"] == pytest.approx(expected, rel=1e-6)
    assert tiny_run(task=task, commands=("test",)).metrics["test/loss"] == pytest.approx(expected, rel=1e-6)


def test_a_validation_without_a_loss_is_one_with_metrics_alone(tiny_run):
    class Unlabelled(SupervisedTask):
        def validation_step(self, batch):
            return self.forward(batch), None

    task = Unlabelled(torch.nn.Linear(4, 3), val=tiny_task().val_loader())
    result = tiny_run(task=task, commands=("validate",), metrics={"accuracy": {}})
    assert result.metrics.keys() == {"val/accuracy"}


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_step_that_gives_no_pair_says_what_it_gave(tiny_run, command):
    class Bare(SupervisedTask):
        def validation_step(self, batch):
            return self.forward(batch)[:2]  # two rows, which would come apart like a pair

    task = Bare(torch.nn.Linear(4, 3), val=tiny_task().val_loader(), test=tiny_task().test_loader())
    with pytest.raises(
        TypeError, match=r"Bare.validation_step .* returned a Tensor; it must return the pair .* or None"
    ):
        tiny_run(task=task, commands=(command,))


def test_a_pair_may_have_names(tiny_run):
    from typing import NamedTuple

    class Step(NamedTuple):
        output: torch.Tensor
        loss: torch.Tensor

    class Named(SupervisedTask):
        def train_step(self, batch):
            return Step(*super().train_step(batch))

        def validation_step(self, batch):
            return Step(*super().validation_step(batch))

    train, val = tiny_task().train_loader(), tiny_task().val_loader()
    named = tiny_run(task=lambda: Named(torch.nn.Linear(4, 3), train=train, val=val))
    plain = tiny_run(task=lambda: SupervisedTask(torch.nn.Linear(4, 3), train=train, val=val))
    assert named.metrics == plain.metrics


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_the_output_of_a_batch_is_freed_before_the_next_is_computed(tiny_run, command):
    import weakref

    class Watched(SupervisedTask):
        last = None

        def forward(self, batch):
            assert self.last is None or self.last() is None, "the outputs of two batches are alive at once"
            output = super().forward(batch)
            self.last = weakref.ref(output)
            return output

    batches = tiny_task(4).train_loader()
    task = Watched(torch.nn.Linear(4, 3), val=batches, test=batches, predict=batches)
    assert tiny_run(task=task, commands=(command,)).outcome == "completed"


def test_a_skip_in_an_evaluation_is_an_error(tiny_run):
    class Choosy(SupervisedTask):
        def validation_step(self, batch):
            raise SkipBatch

    task = Choosy(torch.nn.Linear(4, 3), val=tiny_task().val_loader())
    with pytest.raises(Exception, match=r"SkipBatch was raised in validation_step .* nothing to leave out"):
        tiny_run(task=task, commands=("validate",))


# signals


def pressing(number=signal.SIGINT, *, hook="on_validation_batch_start", when=lambda run: True):
    """Return a plugin that sends the process a signal, once."""

    def press(self, run):
        if when(run) and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), number)

    press.__name__ = hook
    made = plugin(press, name="Presser")
    made.pressed = False
    return made


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "preempted"), (signal.SIGUSR1, "preempted")],
)
def test_a_signal_abandons_a_validation_and_the_boundary_saves(tiny_run, hook_recorder, number, outcome):
    saves = []

    def persist(self, run):
        saves.append((run.step, run.save_requested))

    plugins = [plugin(persist), pressing(number), hook_recorder]
    result = tiny_run(plugins, epochs=2, steps=3, metrics={"accuracy": {}})
    assert (result.outcome, result.step) == (outcome, 3)
    assert hook_recorder.count("on_validation_batch_end") == 1
    assert hook_recorder.count("on_validation_end") == 0
    assert not any(name.startswith("val/") for row in result.history for name in row)
    assert saves[-1] == (3, True)


def test_a_signal_within_an_epoch_abandons_the_validation_too(tiny_run, hook_recorder):
    result = tiny_run([pressing(), hook_recorder], epochs=2, steps=3, validate_every="2 steps")
    assert (result.outcome, result.step, result.epoch) == ("interrupted", 2, 0)
    assert hook_recorder.count("on_validation_end") == 0
    assert "val/loss" not in result.metrics


@pytest.mark.parametrize("hook", ["on_step_start", "on_epoch_start"])
def test_no_validation_begins_after_a_signal(tiny_run, hook_recorder, hook):
    result = tiny_run([pressing(hook=hook), hook_recorder], epochs=2, steps=1)
    assert (result.outcome, result.step, result.epoch) == ("interrupted", 1, 0)
    assert hook_recorder.count("on_validation_batch_start") == 0


def test_a_resumed_run_makes_up_for_the_validation_that_was_abandoned(tiny_run):
    whole = tiny_run(epochs=2, steps=4)
    half = tiny_run([pressing()], epochs=2, steps=4)
    rest = tiny_run(epochs=2, steps=4, resume=half.state)
    losses = [[row["val/loss"] for row in each.history if "val/loss" in row] for each in (whole, rest)]
    assert (half.outcome, half.epoch, rest.outcome) == ("interrupted", 1, "completed")
    assert losses[0] == losses[1]
    assert torch.equal(weights(whole), weights(rest))


def test_a_resumed_run_makes_up_for_the_last_validation_of_all(tiny_run):
    half = tiny_run([pressing()], epochs=1, steps=3)
    rest = tiny_run(epochs=1, steps=3, resume=half.state)
    assert (half.outcome, rest.outcome, rest.step) == ("interrupted", "completed", 3)
    assert rest.metrics["val/loss"] == tiny_run(epochs=1, steps=3).metrics["val/loss"]


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_signal_ends_every_command(tiny_run, hook_recorder, command):
    name = {"validate": "validation"}.get(command, command)
    result = tiny_run([pressing(hook=f"on_{name}_batch_start"), hook_recorder], commands=(command,))
    assert result.outcome == "interrupted"
    assert hook_recorder.count(f"on_{name}_batch_end") == 1
    assert result.metrics == {}
    hook_recorder.assert_order("on_interrupt", "persist", "on_run_end")


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_second_ctrl_c_breaks_off_at_once(tiny_run, hook_recorder, command):
    def press_twice(self):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    name = {"validate": "validation"}.get(command, command)
    press_twice.__name__ = f"on_{name}_batch_start"
    with pytest.raises(KeyboardInterrupt):
        tiny_run([plugin(press_twice), hook_recorder], commands=(command,))
    assert hook_recorder.names[-3:] == ["on_interrupt", "on_exception", "on_run_end"]


def test_predictions_of_a_regression_need_no_loss(tiny_run):
    outputs = []

    def on_predict_batch_end(self, output):
        outputs.append(output.shape)

    task = SupervisedTask(torch.nn.Linear(4, 1), predict=[torch.zeros(3, 4), torch.zeros(2, 4)])
    result = tiny_run([plugin(on_predict_batch_end)], task=task, commands=("predict",), loss=mse_loss)
    assert (result.outcome, outputs) == ("completed", [(3, 1), (2, 1)])
