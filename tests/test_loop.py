"""The loop computes what a loop written by hand computes, whatever is skipped, replaced or accumulated."""

import threading
import weakref

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from hookloop import (
    Engine,
    HookloopError,
    PluginHookError,
    SkipBackward,
    SkipBatch,
    SkipEpoch,
    SkipStep,
    SupervisedTask,
    Task,
    hookimpl,
)
from hookloop.testing import tiny_task
from hookloop.testing.recorder import SPECS

MOMENTUM = {"lr": 0.1, "momentum": 0.9}
OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, **MOMENTUM),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01),
}


def plugin(*methods, role="actor", name="Local", **marks):
    """Return a plugin whose hooks are *methods*, by their names."""
    return type(name, (), {"role": role, **{each.__name__: hookimpl(**marks)(each) for each in methods}})()


def weights(result):
    return list(result.state["model"].values())


def same(one, other):
    return all(map(torch.equal, one, other))


def batches_of(sizes):
    """Return float64 inputs of shape (size, 4) and targets of shape (size, 2), without touching the global stream."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(size, 6, generator=generator, dtype=torch.float64) for size in sizes]
    return [(each[:, :4].contiguous(), each[:, 4:].contiguous()) for each in rows]


class Regression(Task):
    """A float64 regression on batches of the given sizes, validated on another."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()

    def train_loader(self):
        return batches_of(self.sizes)

    def val_loader(self):
        return batches_of([4])

    def loss(self, output, batch):
        return mse_loss(output, batch[1])


def by_hand(updates, *, optimizer="sgd", epochs=1):
    """Train as `Regression` does, one update for each list of ``(batch, share)`` in *updates*; return the weights."""
    torch.manual_seed(0)
    model = Regression([]).model
    stepper = OPTIMIZERS[optimizer](model.parameters())
    for _ in range(epochs):
        for window in updates:
            stepper.zero_grad()
            for (inputs, targets), share in window:
                loss = mse_loss(model(inputs), targets)
                (loss * share if share != 1.0 else loss).backward()
            stepper.step()
    return [each.detach() for each in model.parameters()]


def one_by_one(batches):
    return [[(batch, 1.0)] for batch in batches]


def trained(tiny_run, sizes, plugins=(), *, optimizer="sgd", task=None, **keywords):
    keywords = {"epochs": 1, "loss": None, **keywords}
    return tiny_run(plugins, task=task or (lambda: Regression(sizes)), optimizer=OPTIMIZERS[optimizer], **keywords)


# the arithmetic


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_bit_identical_to_a_loop_by_hand(tiny_run, optimizer):
    result = trained(tiny_run, [4] * 5, optimizer=optimizer, epochs=3)
    assert same(weights(result), by_hand(one_by_one(batches_of([4] * 5)), optimizer=optimizer, epochs=3))
    assert (result.step, result.samples) == (15, 60)


def test_several_optimizers_are_each_stepped_once(tiny_run):
    class Companions(Regression):
        def optimizers(self):
            return self.pair(self.model)

        @staticmethod
        def pair(model):
            return torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.AdamW(model[2].parameters(), lr=0.01)

    result = tiny_run(task=lambda: Companions([4] * 3), epochs=2, loss=None, optimizer=None)
    torch.manual_seed(0)
    model = Regression([]).model
    pair = Companions.pair(model)
    for inputs, targets in batches_of([4] * 3) * 2:
        for each in pair:
            each.zero_grad()
        mse_loss(model(inputs), targets).backward()
        for each in pair:
            each.step()
    assert same(weights(result), model.parameters())


SIZES = [3, 5, 2, 7, 1]


def windows_of(batches, accumulate):
    return [batches[start : start + accumulate] for start in range(0, len(batches), accumulate)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [2, 3, 5, 9])
def test_accumulated_batches_are_one_big_batch(tiny_run, accumulate, optimizer):
    result = trained(tiny_run, SIZES, accumulate=accumulate, optimizer=optimizer, epochs=2)
    windows = windows_of(batches_of(SIZES), accumulate)
    big = [tuple(map(torch.cat, zip(*window, strict=True))) for window in windows]
    expected = by_hand(one_by_one(big), optimizer=optimizer, epochs=2)
    assert result.step == 2 * len(windows)
    for one, other in zip(weights(result), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulation_is_bit_identical_to_the_weighted_sum_by_hand(tiny_run, accumulate):
    result = trained(tiny_run, SIZES, accumulate=accumulate, epochs=2)
    updates = [
        [(batch, len(batch[0]) / sum(len(inputs) for inputs, _ in window)) for batch in window]
        for window in windows_of(batches_of(SIZES), accumulate)
    ]
    assert same(weights(result), by_hand(updates, epochs=2))


def test_what_a_task_calls_the_size_of_a_batch_is_its_weight(tiny_run):
    class ByTokens(Regression):
        def batch_size(self, batch):
            return 10 * super().batch_size(batch)

    result = trained(tiny_run, SIZES, task=lambda: ByTokens(SIZES), accumulate=2)
    assert same(weights(result), weights(trained(tiny_run, SIZES, accumulate=2)))
    assert result.samples == 10 * sum(SIZES)


@pytest.mark.parametrize("skip", [SkipBatch, SkipBackward])
def test_a_skipped_micro_batch_leaves_the_mean_of_the_others(tiny_run, skip):
    def on_backward_start(self, run):
        if run.batch_index == 1:
            raise skip

    result = trained(tiny_run, SIZES, [plugin(on_backward_start)], accumulate=3)
    batches = batches_of(SIZES)
    kept = [tuple(map(torch.cat, zip(*each, strict=True))) for each in ([batches[0], batches[2]], batches[3:])]
    for one, other in zip(weights(result), by_hand(one_by_one(kept)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    assert (result.step, result.samples) == (2, sum(SIZES))


@pytest.mark.parametrize(("skip", "logged"), [(SkipBatch, [0, 2]), (SkipBackward, [0, 1, 2])])
def test_the_loss_of_a_batch_that_is_left_out_late_is_not_logged_and_that_of_one_without_backward_is(
    tiny_run, skip, logged
):
    losses = []

    def on_backward_start(self, run, loss):
        losses.append(run.loss_value)
        assert run.loss_value == run.loss.item() == pytest.approx(3 * loss.item())
        if run.batch_index == 1:
            raise skip

    result = trained(tiny_run, [4] * 3, [plugin(on_backward_start)], accumulate=3, log_every="1 step")
    assert result.history[0]["train/loss"] == pytest.approx(sum(losses[each] for each in logged) / len(logged))


def test_an_update_all_of_whose_micro_batches_were_skipped_is_dropped(tiny_run, hook_recorder):
    def on_batch_start(self, run):
        if run.batch_index in (2, 3):
            raise SkipBatch

    result = trained(tiny_run, [4] * 6, [plugin(on_batch_start), hook_recorder], accumulate=2, optimizer="adamw")
    batches = batches_of([4] * 6)
    updates = [[(batch, 0.5) for batch in window] for window in (batches[:2], batches[4:])]
    assert same(weights(result), by_hand(updates, optimizer="adamw"))
    assert (result.step, result.samples) == (2, 24)
    assert hook_recorder.count("on_optimizer_step_skipped") == 1


def test_the_loss_is_reported_undivided_and_weighted_by_samples(tiny_run):
    losses = []

    def on_batch_end(self, run):
        losses.append(run.loss.item())

    keywords = {"accumulate": 5, "log_every": "1 step", "epochs": 1}
    result = trained(tiny_run, SIZES, [plugin(on_batch_end)], **keywords)
    torch.manual_seed(0)
    model, batches = Regression([]).model, batches_of(SIZES)
    with torch.no_grad():
        expected = [mse_loss(model(inputs), targets).item() for inputs, targets in batches]
    assert losses == pytest.approx(expected, abs=1e-12)
    mean = sum(loss * size for loss, size in zip(expected, SIZES, strict=True)) / sum(SIZES)
    assert result.metrics["train/loss"] == pytest.approx(mean, abs=1e-12)


def test_the_gradients_of_a_partial_window_do_not_leak_into_the_next_epoch(tiny_run):
    seen = []

    def on_forward_start(self, run):
        if run.micro_batch == 0:
            seen.append([parameter.grad for parameter in run.model.parameters()])

    trained(tiny_run, SIZES, [plugin(on_forward_start)], accumulate=2, epochs=2)
    assert len(seen) == 6
    assert all(each is None for gradients in seen for each in gradients)


def test_clipping_is_that_of_the_whole_update(tiny_run):
    clipped = trained(tiny_run, SIZES, accumulate=5, clip_grad_norm=0.01)
    torch.manual_seed(0)
    model = Regression([]).model
    stepper = OPTIMIZERS["sgd"](model.parameters())
    inputs, targets = map(torch.cat, zip(*batches_of(SIZES), strict=True))
    mse_loss(model(inputs), targets).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    stepper.step()
    for one, other in zip(weights(clipped), model.parameters(), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-12)


# skips

DROPS_ONE_BATCH = [
    ("on_batch_start", SkipBatch),
    ("on_forward_start", SkipBatch),
    ("run_forward", SkipBatch),
    ("on_forward_end", SkipBatch),
    ("on_forward_end", SkipBackward),
    ("transform_batch", SkipBatch),
    ("transform_loss", SkipBatch),
    ("transform_loss", SkipBackward),
    ("on_backward_start", SkipBackward),
    ("run_backward", SkipBackward),
    ("on_step_start", SkipStep),
    ("on_batch_start", SkipStep),
    ("on_forward_end", SkipStep),
    ("run_backward", SkipStep),
    ("on_gradients_ready", SkipStep),
    ("on_optimizer_step_start", SkipStep),
    ("run_optimizer_step", SkipStep),
    ("run_step", SkipStep),
]


def skipping(hook, skip, when):
    """Return a plugin that raises *skip* in *hook* when *when* is true of the run."""

    def raising(self, run):
        if when(run):
            raise skip

    raising.__name__ = "transfer_batch" if hook == "transform_batch" else hook
    return plugin(raising)


@pytest.mark.parametrize(("hook", "skip"), DROPS_ONE_BATCH)
def test_a_skip_in_a_hook_leaves_out_one_batch_and_nothing_else(tiny_run, hook, skip):
    second = skipping(hook, skip, lambda run: run.window is run.task.marked)
    result = trained(tiny_run, [4] * 4, [marking(1), second], optimizer="adamw", epochs=2)
    expected = [batch for number, batch in enumerate(batches_of([4] * 4)) if number != 1]
    assert same(weights(result), by_hand(one_by_one(expected), optimizer="adamw", epochs=2))
    assert (result.outcome, result.step, result.samples, result.epoch) == ("completed", 6, 32, 2)
    assert result.state["counters"]["batch_index"] == 4


def marking(number):
    """Return a plugin that lets others know the update of batch *number*, also when it is counted already."""

    def on_step_start(self, run):
        run.task.marked = run.window if run.batch_index == number else None

    return plugin(on_step_start, name="Aaa")


@pytest.mark.parametrize("method", ["train_step", "forward", "loss"])
@pytest.mark.parametrize("skip", [SkipBatch, SkipBackward, SkipStep])
def test_a_skip_in_the_task_leaves_out_one_batch_and_nothing_else(tiny_run, method, skip):
    class Choosy(Regression):
        pass

    def choose(self, *given):
        if self.run.stage == "train" and self.run.batch_index == 1:
            raise skip
        return getattr(super(Choosy, self), method)(*given)

    setattr(Choosy, method, choose)
    result = trained(tiny_run, [4] * 4, task=lambda: Choosy([4] * 4), optimizer="adamw")
    batches = batches_of([4] * 4)
    assert same(weights(result), by_hand(one_by_one([batches[0], *batches[2:]]), optimizer="adamw"))
    assert (result.step, result.samples) == (3, 16)


@pytest.mark.parametrize("hook", ["on_batch_start", "on_backward_start", "on_batch_end", "on_gradients_ready"])
def test_a_dropped_update_drops_all_of_its_micro_batches(tiny_run, hook):
    second = skipping(hook, SkipStep, lambda run: run.window is run.task.marked)
    result = trained(tiny_run, [4] * 6, [marking(2), second], accumulate=2, optimizer="adamw")
    batches = batches_of([4] * 6)
    updates = [[(batch, 0.5) for batch in window] for window in (batches[:2], batches[4:])]
    assert same(weights(result), by_hand(updates, optimizer="adamw"))
    assert (result.step, result.samples, result.state["counters"]["batch_index"]) == (2, 24, 6)


SKIPS_AN_EPOCH = [
    "on_fetch_start",
    "on_fetch_end",
    "on_step_start",
    "on_zero_grad",
    "on_batch_start",
    "on_forward_end",
    "on_backward_end",
    "on_gradients_ready",
    "on_optimizer_step_start",
    "run_step",
]


@pytest.mark.parametrize("hook", SKIPS_AN_EPOCH)
def test_skip_epoch_in_a_hook_leaves_the_rest_of_the_epoch(tiny_run, hook_recorder, hook):
    def when(run):
        return run.epoch == 0 and run.step == 2

    plugins = [skipping(hook, SkipEpoch, when), hook_recorder]
    result = trained(tiny_run, [4] * 4, plugins, optimizer="adamw", epochs=2)
    batches = batches_of([4] * 4)
    assert same(weights(result), by_hand(one_by_one(batches[:2] + batches), optimizer="adamw"))
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 6)
    assert hook_recorder.count("on_validation_start") == 1
    assert hook_recorder.count("on_train_epoch_end") == 1
    assert hook_recorder.count("on_epoch_end") == 2


@pytest.mark.parametrize("hook", ["on_optimizer_step_end", "on_step_end", "on_metrics", "decide", "persist", "report"])
def test_skip_epoch_after_an_update_keeps_the_update(tiny_run, hook):
    def when(run):
        return run.epoch == 0 and run.batch_index == 2

    result = trained(tiny_run, [4] * 4, [skipping(hook, SkipEpoch, when)], epochs=2)
    batches = batches_of([4] * 4)
    assert same(weights(result), by_hand(one_by_one(batches[:2] + batches)))
    assert (result.epoch, result.step) == (2, 5 if hook == "on_optimizer_step_end" else 6)


def test_skip_epoch_in_the_task_leaves_the_rest_of_the_epoch(tiny_run):
    class Short(Regression):
        def train_step(self, batch):
            if self.run.batch_index == 2:
                raise SkipEpoch
            return super().train_step(batch)

    result = trained(tiny_run, [], task=lambda: Short([4] * 4), epochs=3)
    assert (result.epoch, result.step) == (3, 6)


@pytest.mark.parametrize(
    ("hook", "skip"),
    [
        ("on_step_start", SkipBatch),
        ("on_fetch_end", SkipStep),
        ("on_step_end", SkipStep),
        ("on_validation_batch_end", SkipBatch),
        ("on_validation_start", SkipEpoch),
        ("on_epoch_start", SkipStep),
        ("on_fit_start", SkipEpoch),
        ("on_ready", SkipBatch),
    ],
)
def test_a_skip_where_nothing_can_be_skipped_is_an_error_that_says_so(tiny_run, hook, skip):
    with pytest.raises(HookloopError, match=rf"{skip.__name__} .*docs/hooks.md") as caught:
        tiny_run([skipping(hook, skip, lambda run: True)])
    assert isinstance(caught.value.__cause__, skip)


# StopIteration

ELSEWHERE = ("provide_", "add_", "log_", "on_test_", "on_predict_", "run_predict", "on_checkpoint_", "on_interrupt")
UNUSUAL = ("on_preempted", "on_stop_requested", "on_exception", "on_schedule_step", "on_optimizer_step_skipped")
IN_A_FIT = [hook for hook in SPECS if not hook.startswith(ELSEWHERE) and hook not in UNUSUAL]


@pytest.mark.parametrize("hook", IN_A_FIT)
def test_stop_iteration_in_a_hook_is_an_error_of_the_plugin(tiny_run, failing_plugin, hook):
    with pytest.raises(PluginHookError, match=f"{hook} failed") as caught:
        tiny_run([failing_plugin(hook, StopIteration("mine"))])
    assert str(caught.value.__cause__) == "mine"


def test_stop_iteration_in_validation_transfer_is_an_error_of_the_plugin(tiny_run):
    def transfer_batch(self, run):
        if run.stage == "validate":
            raise StopIteration

    with pytest.raises(PluginHookError, match="transfer_batch failed"):
        tiny_run([plugin(transfer_batch)])


@pytest.mark.parametrize("method", ["train_step", "forward", "loss", "validation_step", "batch_size", "train_loader"])
def test_stop_iteration_in_the_task_is_an_error(tiny_run, method):
    def fail(self, *given):
        raise StopIteration("mine")

    broken = type("Broken", (Regression,), {method: fail})
    with pytest.raises(StopIteration, match="mine"):
        trained(tiny_run, [], task=lambda: broken([4] * 3))


def test_stop_iteration_in_a_wrapper_is_an_error(tiny_run):
    def run_step(self, run):
        yield
        raise StopIteration

    with pytest.raises(PluginHookError, match="run_step failed"):
        tiny_run([plugin(run_step, wrapper=True)])


# replaced parts


class SharpnessAware:
    """Two forward and backward passes to an update, as Foret et al. (2021) do."""

    role = "actor"

    @hookimpl
    def run_step(self, run):
        ((inputs, targets),) = run.window
        (optimizer,) = run.optimizers
        optimizer.zero_grad()
        mse_loss(run.model(inputs), targets).backward()
        steps = self.climb(run.model)
        optimizer.zero_grad()
        run.loss = mse_loss(run.model(inputs), targets)
        run.loss.backward()
        self.descend(run.model, steps)
        optimizer.step()
        return True

    @staticmethod
    @torch.no_grad()
    def climb(model):
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        steps = [0.05 * p.grad / norm for p in model.parameters()]
        for parameter, step in zip(model.parameters(), steps, strict=True):
            parameter.add_(step)
        return steps

    @staticmethod
    @torch.no_grad()
    def descend(model, steps):
        for parameter, step in zip(model.parameters(), steps, strict=True):
            parameter.sub_(step)


def test_a_replaced_step_with_two_passes_counts_each_batch_once(tiny_run, hook_recorder):
    result = trained(tiny_run, SIZES, [SharpnessAware(), hook_recorder], epochs=2)
    assert (result.step, result.samples, result.epoch) == (10, 2 * sum(SIZES), 2)
    seen = [(each.counters["batch_index"], each.counters["samples"]) for each in hook_recorder.of("on_step_end")]
    assert seen[:5] == [(1, 3), (2, 8), (3, 10), (4, 17), (5, 18)]

    torch.manual_seed(0)
    model = Regression([]).model
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    for inputs, targets in batches_of(SIZES) * 2:
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        steps = SharpnessAware.climb(model)
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        SharpnessAware.descend(model, steps)
        optimizer.step()
    assert same(weights(result), model.parameters())


def test_a_replaced_step_counts_every_micro_batch_of_its_window(tiny_run):
    def run_step(self, run):
        return True

    result = trained(tiny_run, SIZES, [plugin(run_step)], accumulate=2)
    assert (result.step, result.samples, result.state["counters"]["batch_index"]) == (3, sum(SIZES), 5)


def test_a_step_that_gives_no_pair_says_what_it_gave(tiny_run):
    class Bare(Regression):
        def train_step(self, batch):
            return self.forward(batch)

    with pytest.raises(TypeError, match=r"Bare.train_step .* returned a Tensor; it must return the pair"):
        trained(tiny_run, [], task=lambda: Bare([2]))


def test_the_output_of_a_step_is_freed_before_the_next_forward(tiny_run):
    class Watched(Regression):
        last = None

        def train_step(self, batch):
            assert self.last is None or self.last() is None, "the activations of two steps are alive at once"
            output, loss = super().train_step(batch)
            self.last = weakref.ref(output)
            return output, loss

    assert trained(tiny_run, [], task=lambda: Watched([4] * 4), accumulate=2, epochs=2).step == 4


# the process


def test_several_fits_in_one_process_are_the_same(tiny_run):
    one, other = tiny_run(), tiny_run()
    assert same(weights(one), weights(other))
    assert one.history != [] != other.history


def test_an_engine_fits_again_from_the_start(tmp_path):
    engine = Engine(
        lambda: tiny_task(3), loss="cross_entropy", optimizer="adamw", max_epochs=2, device="cpu", runs_dir=tmp_path
    )
    one, other = engine.fit(), engine.fit()
    assert same(weights(one), weights(other))
    assert one.directory != other.directory


def test_a_fit_in_another_thread_is_the_same(tiny_run):
    results = []
    thread = threading.Thread(target=lambda: results.append(tiny_run()))
    thread.start()
    thread.join()
    assert same(weights(results[0]), weights(tiny_run()))


def test_a_supervised_task_trains_like_the_same_loop_by_hand(tiny_run):
    result = tiny_run(epochs=2, steps=3, optimizer=OPTIMIZERS["adamw"])
    torch.manual_seed(0)
    task = tiny_task(3)
    optimizer = OPTIMIZERS["adamw"](task.model.parameters())
    for inputs, targets in list(task.train_loader()) * 2:
        optimizer.zero_grad()
        cross_entropy(task.model(inputs), targets).backward()
        optimizer.step()
    assert same(weights(result), task.model.parameters())


def test_a_plugin_may_come_and_go_while_a_run_is_running(tiny_run, hook_recorder):
    from hookloop.loading import LoadedPlugin

    class Guest:
        steps = 0

        @hookimpl
        def on_step_end(self):
            self.steps += 1

    guest = Guest()

    def on_epoch_start(self, run):
        if run.epoch == 1:
            run.plugins.register(LoadedPlugin("guest", guest))
        if run.epoch == 2:
            run.plugins.unregister("guest")

    tiny_run([plugin(on_epoch_start)], epochs=3, steps=3)
    assert guest.steps == 3


def test_a_task_that_is_no_supervised_one_needs_only_what_it_uses(tiny_run):
    class Autoencoder(Task):
        def __init__(self):
            self.model = torch.nn.Linear(4, 4)

        def train_loader(self):
            return [torch.ones(3, 4)] * 2

        def optimizers(self):
            return torch.optim.SGD(self.model.parameters(), lr=0.1)

        def loss(self, output, batch):
            return mse_loss(output, batch)

    result = tiny_run(task=Autoencoder, loss=None, optimizer=None, epochs=2)
    assert (result.step, result.samples) == (4, 12)
    assert "val/loss" not in result.metrics


def test_supervised_task_is_importable_from_the_top():
    assert issubclass(SupervisedTask, Task)
