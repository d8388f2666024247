"""The hooks of hookloop: one class a group, in the order in which a run meets them.

This file is the reference, and `docs/hooks.md` is rendered from it (`python -m hookloop.reference --write`). Every
docstring has one grammar: when the hook fires, how often, what is already true of `run`, what an implementation may
change, what its return value means, which skip it may raise, on which ranks it is called, since which version, and an
example: a method of a plugin class, which may leave out any argument that it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookloop.markers import hookspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
    from pathlib import Path
    from typing import Any

    import torch
    from cyclopts import App

    from hookloop.control import Outcome
    from hookloop.run import Run, Stage
    from hookloop.scheduling import Stepper
    from hookloop.task import Task

    LossFactory = Callable[..., Callable[[Any, Any], torch.Tensor]]
    ScheduleFactory = Callable[..., Callable[[int, float], float] | Stepper]
    MetricFactory = Callable[..., Any]
    OptimizerFactory = Callable[..., torch.optim.Optimizer]
    TaskFactory = Callable[..., Task]


class ProvideHooks:
    """What a plugin offers by name, for the configuration to use, and the commands that it adds."""

    @hookspec("collect")
    def provide_losses(self, run: Run) -> Mapping[str, LossFactory] | None:
        """Asks for the losses that `[loss] use = "NAME"` may name.

        How often: once, while the run is set up.
        Already true: `run.config` is validated; nothing is built yet.
        May change: nothing. A name of the engine's own is replaced; one that two plugins offer is an error naming both.
        Returns: name -> factory. `factory(**options)`, with the other keys of the table, gives
            `callable(output, target)` -> scalar tensor.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def provide_losses(self, run):
                return {"poisson_nll": torch.nn.PoissonNLLLoss}
        """

    @hookspec("collect")
    def provide_schedules(self, run: Run) -> Mapping[str, ScheduleFactory] | None:
        """Asks for the learning rate schedules that `[schedule] use = "NAME"` may name.

        How often: once, while the run is set up.
        Already true: `run.config` is validated; nothing is built yet.
        May change: nothing. A name of the engine's own is replaced; one that two plugins offer is an error naming both.
        Returns: name -> factory. `factory(**options)` gives `callable(progress, lr)` -> learning rate, where progress
            counts the completed steps or epochs, as the table's `unit` says, and lr is the parameter group's own.
            An option `period` that is not given is the run's length. A factory, or what it gives, whose first parameter
            is `optimizer` is called with each optimizer instead, and gives what sets its rates itself: `step()`,
            called once each counted step or epoch, `state_dict()` and `load_state_dict(state)`, as torch's schedulers
            have them. One with `step(value)`, or `observe(value)` beside it, follows the metric that the table's
            `monitor` names, `val/loss` by default.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def provide_schedules(self, run):
                def inverse_sqrt(warmup):
                    return lambda t, lr: lr * min((t + 1) / warmup, (warmup / (t + 1)) ** 0.5)
                return {"inverse_sqrt": inverse_sqrt}
        """

    @hookspec("collect")
    def provide_metrics(self, run: Run) -> Mapping[str, MetricFactory] | None:
        """Asks for the metrics that a table `[metrics.NAME]` may name.

        How often: once, while the run is set up.
        Already true: `run.config` is validated; nothing is built yet.
        May change: nothing. A name of the engine's own is replaced; one that two plugins offer is an error naming both.
        Returns: name -> factory. `factory(**options)` gives an object with `update(output, target)`, `compute()` and
            `reset()`, or a function `(output, target)` -> number or scalar tensor, averaged over the samples.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def provide_metrics(self, run):
                def top_k(k=5):
                    return lambda output, target: (output.topk(k).indices == target[:, None]).any(1).float().mean()
                return {"top_k": top_k}
        """

    @hookspec("collect")
    def provide_optimizers(self, run: Run) -> Mapping[str, OptimizerFactory] | None:
        """Asks for the optimizers that `[optimizer] use = "NAME"` may name.

        How often: once, while the run is set up.
        Already true: `run.config` is validated; nothing is built yet.
        May change: nothing. A name of the engine's own is replaced; one that two plugins offer is an error naming both.
        Returns: name -> factory. `factory(params, **options)` gives a `torch.optim.Optimizer`.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def provide_optimizers(self, run):
                return {"nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True)}
        """

    @hookspec("collect")
    def provide_tasks(self, run: Run) -> Mapping[str, TaskFactory] | None:
        """Asks for the tasks that `[task] use = "NAME"` may name.

        How often: once, while the run is set up.
        Already true: `run.config` is validated; nothing is built yet.
        May change: nothing. A name of the engine's own is replaced; one that two plugins offer is an error naming both.
        Returns: name -> factory. `factory(**options)` gives a `Task`.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def provide_tasks(self, run):
                def summing(features=8):
                    batches = [(x, x.sum(1, keepdim=True)) for x in torch.randn(32, 16, features)]
                    return hookloop.SupervisedTask(model=torch.nn.Linear(features, 1), train=batches, val=None)
                return {"summing": summing}
        """

    @hookspec("event")
    def add_commands(self, app: App) -> None:
        """Fires when the command line is put together, before it is parsed.

        How often: once a command line; there is no run yet, which makes this the one hook without it.
        Already true: the engine's own commands stand in `app`, a `cyclopts.App`.
        May change: `app`. Import what is slow inside the command, so that `--help` stays quick.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def add_commands(self, app):
                @app.command
                def last_row(directory: str) -> None:
                    "Print the newest row of a run's metrics."
                    print(pathlib.Path(directory, "metrics.jsonl").read_text().splitlines()[-1])
        """


class RunHooks:
    """The beginning and the end of a run, and the ways in which it may end early."""

    @hookspec("event")
    def on_run_start(self, run: Run) -> None:
        """Fires when a run begins, whichever command started it.

        How often: once a run.
        Already true: `run.config`, `run.rank` and `run.world_size` are set and `run.directory` exists; nothing is
            built, so `run.model` cannot be read yet.
        May change: nothing of the run; the plugin's own files and connections are opened here.
        Returns: nothing.
        Ranks: all; one writer of a file asks for `run.rank == 0`.
        Since: 0.1

        Example::

            @hookimpl
            def on_run_start(self, run):
                self.notes = (run.directory / f"notes-{run.rank}.txt").open("a")
                print(socket.gethostname(), file=self.notes)
        """

    @hookspec("ending")
    def on_run_end(self, run: Run, outcome: Outcome) -> None:
        """Fires when a run ends, in whatever way: the place to let go of what `on_run_start` took.

        How often: once a run, always, also when something failed before `on_fit_start`.
        Already true: outcome is "completed", "stopped", "interrupted", "preempted" or "failed"; what was not built yet
            when the run failed is missing.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_run_end(self, run, outcome):
                print(f"{outcome} after {run.step} steps", file=self.notes)
                self.notes.close()
        """

    @hookspec("ending")
    def on_exception(self, run: Run, error: BaseException) -> None:
        """Fires when an error is about to end the run as "failed", or a KeyboardInterrupt as "interrupted".

        How often: at most once a run, before `on_fit_end` and `on_run_end`.
        Already true: the counters, `run.batch`, `run.output` and `run.loss` stand where the error struck; a plugin's
            error names the plugin in its notes.
        May change: nothing; the error goes on its way afterwards.
        Returns: nothing.
        Ranks: all on which the error was raised.
        Since: 0.1

        Example::

            @hookimpl
            def on_exception(self, run, error):
                text = "".join(traceback.format_exception(error))
                (run.directory / f"crash-{run.rank}.txt").write_text(f"step {run.step}: {text}")
        """

    @hookspec("event")
    def on_interrupt(self, run: Run) -> None:
        """Fires when Ctrl-C ends the run: at the step boundary where the ranks agreed on it, or on KeyboardInterrupt.

        How often: at most once a run.
        Already true: at a boundary, the step is complete and `persist` is still to come; a KeyboardInterrupt (a second
            Ctrl-C) breaks off in the middle of a step instead, and goes straight to `on_fit_end`.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_interrupt(self, run):
                if run.rank == 0:
                    print(f"interrupted at step {run.step}; the log is in {run.directory}")
        """

    @hookspec("event")
    def on_stop_requested(self, run: Run, reason: str) -> None:
        """Fires when the ranks have agreed to stop, at the boundary after somebody called `run.request_stop(reason)`.

        How often: at most once a run, after `decide` and before `persist`.
        Already true: the step is complete; the run is going to end as "stopped".
        May change: nothing; the stop is settled.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_stop_requested(self, run, reason):
                logging.getLogger(__name__).info("stopping after step %d: %s", run.step, reason)
        """

    @hookspec("event")
    def on_preempted(self, run: Run, signal: int) -> None:
        """Fires when the ranks have agreed to give way to a SIGTERM or SIGUSR1, at the next boundary.

        How often: at most once a run, before `persist`, so that savers see it.
        Already true: the step is complete; `signal` is the signal's number. The scheduler's grace period is running.
        May change: nothing; keep it short.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_preempted(self, run, signal):
                if run.rank == 0:
                    (run.directory / "requeue").write_text(f"signal {signal} at step {run.step}")
        """


class BuildHooks:
    """What is built between `on_run_start` and the first epoch passes through here."""

    @hookspec("chain")
    def prepare_model(self, run: Run, model: torch.nn.Module) -> torch.nn.Module | None:
        """Passes the model on its way from the task to the optimizer: wrap it, compile it, shard it.

        How often: once a run.
        Already true: `run.task` and `run.device` are set; no optimizer exists, so parameters may be replaced.
        May change: the model.
        Returns: the model to go on with, or None to leave it as it is.
        Ranks: all, in the same order; collective calls are safe here.
        Since: 0.1

        Example::

            @hookimpl
            def prepare_model(self, run, model):
                return torch.nn.SyncBatchNorm.convert_sync_batchnorm(model) if run.world_size > 1 else None
        """

    @hookspec("chain")
    def prepare_loader(self, run: Run, loader: Iterable[Any], stage: Stage) -> Iterable[Any] | None:
        """Passes each loader on its way from the task to the loop.

        How often: once a loader; stage is "train", "validate", "test" or "predict".
        Already true: nothing has been read from the loader.
        May change: the loader. What it returns is iterated anew each epoch, so it must not be a one-shot iterator.
        Returns: the loader to go on with, or None to leave it as it is.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def prepare_loader(self, run, loader, stage):
                return list(itertools.islice(loader, 10)) if stage == "train" else None  # can it overfit ten batches?
        """

    @hookspec("chain")
    def prepare_optimizer(self, run: Run, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer | None:
        """Passes each optimizer on its way from the configuration to the loop.

        How often: once an optimizer; there are several where one needs a companion.
        Already true: `run.model` is the prepared model, and the optimizer holds its parameters.
        May change: the optimizer and its parameter groups.
        Returns: the optimizer to go on with, or None to leave it as it is.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def prepare_optimizer(self, run, optimizer):
                for group in optimizer.param_groups:
                    group["lr"] *= run.world_size  # the linear scaling rule
        """

    @hookspec("event")
    def on_ready(self, run: Run) -> None:
        """Fires when everything is built and a resumed state is loaded.

        How often: once a run.
        Already true: `run.model`, `run.optimizers`, `run.schedules` and the counters are those training goes on with.
        May change: weights, in place; objects are replaced in the `prepare_` hooks.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_ready(self, run):
                self.initial = [p.detach().clone() for p in run.model.parameters()]
        """


class FitHooks:
    """The fit and its epochs."""

    @hookspec("event")
    def on_fit_start(self, run: Run) -> None:
        """Fires when training begins.

        How often: once a fit; not for `validate`, `test` and `predict`.
        Already true: `on_ready` has fired; a resumed run's counters stand where it left off.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_fit_start(self, run):
                trainable = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
                print(f"{trainable:,} trainable parameters from step {run.step}")
        """

    @hookspec("ending")
    def on_fit_end(self, run: Run) -> None:
        """Fires when training ends, in whatever way.

        How often: once a fit, whenever `on_fit_start` fired.
        Already true: `run.outcome` says how it ended; look at it before treating the weights as a success.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_fit_end(self, run):
                if run.outcome in ("completed", "stopped") and run.rank == 0:
                    torch.save(run.model.state_dict(), run.directory / "final.pt")
        """

    @hookspec("event")
    def on_epoch_start(self, run: Run) -> None:
        """Fires when an epoch begins, before its first batch is fetched.

        How often: once an epoch; not again for the rest of one that a resumed run was stopped in.
        Already true: `run.epoch` counts the epochs completed, so it is 0 in the first; `run.batch_index` is 0.
        May change: weights in place, and what is trained.
        Returns: nothing.
        May raise: `SkipEpoch`, to leave it out; it is counted, without a validation.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_epoch_start(self, run):
                run.model.get_submodule("backbone").requires_grad_(run.epoch >= 3)
        """

    @hookspec("event")
    def on_train_epoch_end(self, run: Run) -> None:
        """Fires when the training part of an epoch is complete, before its validation.

        How often: once a complete epoch; not after a stop in the middle of one, and not after `SkipEpoch`.
        Already true: all batches of the epoch were seen; `run.epoch` does not count it yet: it does in the validation.
        May change: weights, in place: validation sees them.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_train_epoch_end(self, run):
                self.trained = copy.deepcopy(run.model.state_dict())
                run.model.load_state_dict(self.average)
        """

    @hookspec("event")
    def on_epoch_end(self, run: Run) -> None:
        """Fires when an epoch is complete, after its validation and before its boundary.

        How often: once a counted epoch, also one that `SkipEpoch` cut short; not after a stop in the middle of one.
        Already true: `run.epoch` counts it; `run.batch_index` stays readable until the next `on_epoch_start`.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_epoch_end(self, run):
                run.model.load_state_dict(self.trained)
        """


class BatchHooks:
    """The micro-batches of training.

    All micro-batches of an update are fetched before its step starts, so that each can be weighted by its share of the
    samples.
    """

    @hookspec("event")
    def on_fetch_start(self, run: Run) -> None:
        """Fires when the loop asks the loader for a micro-batch.

        How often: once a micro-batch, and once more where the loader turns out to be exhausted.
        Already true: the step that the micro-batch belongs to has not started.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_fetch_start(self, run):
                self.asked_at = time.perf_counter()
        """

    @hookspec("event")
    def on_fetch_end(self, run: Run, batch: Any) -> None:
        """Fires when the loader has handed over a micro-batch.

        How often: once a micro-batch.
        Already true: `batch` is as the loader gave it, before `transfer_batch`.
        May change: the batch, in place.
        Returns: nothing.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_fetch_end(self, run):
                run.log("time/fetch_seconds", time.perf_counter() - self.asked_at)
        """

    @hookspec("event")
    def on_data_exhausted(self, run: Run) -> None:
        """Fires when the loader has no more micro-batches for this epoch, instead of `on_fetch_end`.

        How often: once an epoch whose data was read to the end.
        Already true: micro-batches fetched before it may still wait for their update, which is smaller then.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_data_exhausted(self, run):
                self.passes_over_data += 1
        """

    @hookspec("chain")
    def transfer_batch(self, run: Run, batch: Any) -> Any:
        """Passes each batch on its way to the device.

        How often: once a batch in every stage: a micro-batch in training, a batch elsewhere; `run.stage` tells.
        Already true: the engine has moved the batch to `run.device`, unless the implementation is `tryfirst`.
        May change: the batch.
        Returns: the batch to go on with, or None to leave it as it is.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def transfer_batch(self, run, batch):
                images, labels = batch
                return images.contiguous(memory_format=torch.channels_last), labels
        """

    @hookspec("event")
    def on_batch_start(self, run: Run, batch: Any) -> None:
        """Fires when the work on a micro-batch begins.

        How often: `run.config.accumulate` times a step, or fewer at the end of an epoch.
        Already true: `batch` is on the device; `run.batch_index` counts the micro-batches before it.
        May change: the batch, in place.
        Returns: nothing.
        May raise: `SkipBatch`, to leave this micro-batch out; `SkipEpoch`, to leave out the rest of the epoch.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_batch_start(self, run, batch):
                if len(batch[0]) < 2:
                    raise hookloop.SkipBatch("batch normalisation needs two samples")
        """

    @hookspec("event")
    def on_batch_end(self, run: Run) -> None:
        """Fires when the work on a micro-batch is complete; its update may be still to come.

        How often: once a micro-batch, also one that `SkipBatch` or `SkipBackward` cut short.
        Already true: `run.batch_index` and `run.samples` count it; `run.batch`, `run.output`, `run.loss` are its own.
        May change: nothing.
        Returns: nothing.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_batch_end(self, run):
                if run.samples >= self.budget_samples:
                    run.request_stop(f"{run.samples} samples seen")
        """


class StepHooks:
    """The optimizer update, which takes one micro-batch or several."""

    @hookspec("event")
    def on_step_start(self, run: Run) -> None:
        """Fires when the work on an optimizer update begins.

        How often: once an update, skipped ones included.
        Already true: `run.window` holds its micro-batches; gradients are still those of the update before.
        May change: weights, in place.
        Returns: nothing.
        May raise: `SkipStep`, to leave its micro-batches out; `SkipEpoch`, to leave out the rest of the epoch.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_step_start(self, run):
                if run.step == 20:
                    self.profiler.start()
        """

    @hookspec("event")
    def on_zero_grad(self, run: Run) -> None:
        """Fires just before the gradients are cleared, at the start of a step.

        How often: once a step.
        Already true: gradients are still those of the update before: they stay readable through its `on_step_end` and
            its boundary.
        May change: gradients, in vain; copy those that are to be kept.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_zero_grad(self, run):
                self.previous = [p.grad.clone() for p in run.model.parameters() if p.grad is not None]
        """

    @hookspec("event")
    def on_forward_start(self, run: Run, batch: Any) -> None:
        """Fires just before the model sees a micro-batch.

        How often: once a micro-batch of training.
        Already true: `batch` is on the device.
        May change: the batch, in place.
        Returns: nothing.
        May raise: `SkipBatch`, to leave this micro-batch out.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_forward_start(self, run, batch):
                inputs, _ = batch
                inputs.add_(torch.randn_like(inputs), alpha=0.05)
        """

    @hookspec("event")
    def on_forward_end(self, run: Run, output: Any) -> None:
        """Fires when the model has answered, before `transform_loss`.

        How often: once a micro-batch of training.
        Already true: `run.output` is `output`, with its graph.
        May change: nothing.
        Returns: nothing.
        May raise: `SkipBatch`, to leave this micro-batch out; `SkipBackward`, to do without its gradient.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_forward_end(self, run, output):
                run.log("train/confidence", output.detach().softmax(-1).amax(-1).mean())
        """

    @hookspec("chain")
    def transform_loss(self, run: Run, loss: torch.Tensor) -> torch.Tensor | None:
        """Passes the loss of a micro-batch on its way to the backward pass: add a penalty, reweight it.

        How often: once a micro-batch of training.
        Already true: `loss` is a scalar with its graph, the mean of the micro-batch; `run.output` is what it came from.
        May change: the loss.
        Returns: the loss to go on with, or None to leave it as it is.
        May raise: `SkipBatch`, to leave this micro-batch out; `SkipBackward`, to do without its gradient.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def transform_loss(self, run, loss):
                return loss + 1e-5 * sum(p.abs().sum() for p in run.model.parameters())
        """

    @hookspec("event")
    def on_backward_start(self, run: Run, loss: torch.Tensor) -> None:
        """Fires just before the backward pass of a micro-batch.

        How often: once a micro-batch with a backward pass.
        Already true: `loss` is what `transform_loss` left, times the micro-batch's share of the update's samples.
        May change: nothing; the graph may be given tensor hooks.
        Returns: nothing.
        May raise: `SkipBatch`, to leave this micro-batch out, its loss with it; `SkipBackward`, to do without this
            gradient.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_backward_start(self, run, loss):
                self.recent_losses.append(loss.detach())
        """

    @hookspec("event")
    def on_backward_end(self, run: Run) -> None:
        """Fires when the gradients of a micro-batch are added up.

        How often: once a micro-batch with a backward pass.
        Already true: gradients hold the sum of the micro-batches so far; under fp16 they are still scaled.
        May change: gradients, in place; for the complete sum see `on_gradients_ready`.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_backward_end(self, run):
                run.model.get_parameter("embedding.weight").grad[0].zero_()  # row 0 is padding
        """

    @hookspec("event")
    def on_gradients_ready(self, run: Run) -> None:
        """Fires when the gradients of an update are complete, before they are clipped.

        How often: once a step.
        Already true: gradients are the mean over the update's samples, unscaled and not clipped: the engine clips here,
            after the plugins, as `trylast`.
        May change: gradients, in place.
        Returns: nothing.
        May raise: `SkipStep`, to drop the update.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_gradients_ready(self, run):
                largest = [p.grad.abs().max() for p in run.model.parameters() if p.grad is not None]
                run.log("train/grad_max", torch.stack(largest).max())
        """

    @hookspec("event")
    def on_optimizer_step_start(self, run: Run) -> None:
        """Fires just before the optimizers update the weights, after clipping.

        How often: once a step.
        Already true: gradients are what the optimizers are going to use.
        May change: gradients and parameter groups, in place.
        Returns: nothing.
        May raise: `SkipStep`, to drop the update.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_optimizer_step_start(self, run):
                for p in run.model.parameters():
                    if p.grad is not None:
                        p.grad.add_(torch.randn_like(p.grad), alpha=0.01 / (1 + run.step) ** 0.55)
        """

    @hookspec("event")
    def on_optimizer_step_end(self, run: Run) -> None:
        """Fires when the optimizers have updated the weights.

        How often: once an update that was not skipped.
        Already true: the weights are new; gradients are those they were updated with.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_optimizer_step_end(self, run):
                with torch.no_grad():
                    for p in run.model.parameters():
                        p.clamp_(-0.01, 0.01)
        """

    @hookspec("event")
    def on_optimizer_step_skipped(self, run: Run) -> None:
        """Fires when an update was dropped: by overflow under fp16, by `SkipStep`, or when all its micro-batches were.

        How often: once a dropped update, instead of `on_optimizer_step_end` and instead of `on_step_end`.
        Already true: the weights are unchanged; `run.batch_index` counts the micro-batches, `run.step` not the step,
            and no boundary follows: proposals are agreed on, metrics and `persist` wait for the next step.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_optimizer_step_skipped(self, run):
                self.skipped += 1
                if self.skipped > 100:
                    run.request_stop(f"{self.skipped} updates were dropped")
        """

    @hookspec("event")
    def on_schedule_step(self, run: Run) -> None:
        """Fires when the schedules have set the learning rates of the next step or epoch.

        How often: once a counted step where a schedule counts steps, once an epoch where one counts epochs.
        Already true: the step or epoch is counted; the parameter groups of `run.optimizers` hold the new rates.
        May change: the parameter groups, in place; the schedule sets the learning rate afresh next time.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_schedule_step(self, run):
                for optimizer in run.optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = max(group["lr"], 1e-6)
        """

    @hookspec("event")
    def on_step_end(self, run: Run) -> None:
        """Fires when an optimizer update is complete, before its boundary.

        How often: once a counted step; not for a skipped one.
        Already true: `run.step` counts it; the weights are new, gradients and `run.loss` are still readable.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_step_end(self, run):
                for average, weight in zip(self.averages, run.model.parameters(), strict=True):
                    average.lerp_(weight.detach(), 0.001)
        """


class EvaluateHooks:
    """Validation, test and prediction."""

    @hookspec("event")
    def on_validation_start(self, run: Run) -> None:
        """Fires when a validation begins.

        How often: once a validation: during a fit as `validate_every` says, and once for `hookloop validate`.
        Already true: `run.stage` is "validate"; the model is in evaluation mode, and gradients are off.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_validation_start(self, run):
                self.errors = torch.zeros((), device=run.device)
        """

    @hookspec("event")
    def on_validation_batch_start(self, run: Run, batch: Any) -> None:
        """Fires when the work on a validation batch begins.

        How often: once a validation batch.
        Already true: `batch` is on the device.
        May change: the batch, in place.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_validation_batch_start(self, run, batch):
                self.longest = max(self.longest, batch[0].shape[-1])
        """

    @hookspec("event")
    def on_validation_batch_end(self, run: Run, batch: Any) -> None:
        """Fires when the work on a validation batch is complete.

        How often: once a validation batch.
        Already true: `run.output` and `run.loss` are those of `batch`.
        May change: nothing.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_validation_batch_end(self, run, batch):
                self.errors += (run.output.argmax(-1) != batch[1]).sum()
        """

    @hookspec("event")
    def on_validation_end(self, run: Run) -> None:
        """Fires when a validation is complete; `on_metrics` follows with its figures.

        How often: once a validation that no signal cut short.
        Already true: every validation batch was seen.
        May change: nothing; `run.log` adds a figure to those that `on_metrics` is going to see.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_validation_end(self, run):
                run.log("val/errors", self.errors)
        """

    @hookspec("event")
    def on_test_start(self, run: Run) -> None:
        """Fires when a test begins.

        How often: once for `hookloop test`.
        Already true: `run.stage` is "test"; the model is in evaluation mode, and gradients are off.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_test_start(self, run):
                self.confusion = collections.Counter()
        """

    @hookspec("event")
    def on_test_batch_start(self, run: Run, batch: Any) -> None:
        """Fires when the work on a test batch begins.

        How often: once a test batch.
        Already true: `batch` is on the device.
        May change: the batch, in place.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_test_batch_start(self, run, batch):
                batch[0].masked_fill_(torch.rand_like(batch[0]) < 0.1, 0.0)  # how robust is it to missing features?
        """

    @hookspec("event")
    def on_test_batch_end(self, run: Run, batch: Any) -> None:
        """Fires when the work on a test batch is complete.

        How often: once a test batch.
        Already true: `run.output` and `run.loss` are those of `batch`.
        May change: nothing.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_test_batch_end(self, run, batch):
                guesses = run.output.argmax(-1).tolist()
                self.confusion.update(zip(batch[1].tolist(), guesses, strict=True))
        """

    @hookspec("event")
    def on_test_end(self, run: Run) -> None:
        """Fires when a test is complete; `on_metrics` follows with its figures.

        How often: once a test that no signal cut short.
        Already true: every test batch was seen.
        May change: nothing; `run.log` adds a figure to those that `on_metrics` is going to see.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_test_end(self, run):
                rows = [{"target": t, "guess": g, "count": n} for (t, g), n in self.confusion.items()]
                (run.directory / f"confusion-{run.rank}.json").write_text(json.dumps(rows))
        """

    @hookspec("event")
    def on_predict_start(self, run: Run) -> None:
        """Fires when a prediction begins.

        How often: once for `hookloop predict`.
        Already true: `run.stage` is "predict"; the model is in evaluation mode, and gradients are off.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_predict_start(self, run):
                self.table = (run.directory / f"classes-{run.rank}.csv").open("w", newline="")
                self.rows = csv.writer(self.table)
        """

    @hookspec("event")
    def on_predict_batch_start(self, run: Run, batch: Any) -> None:
        """Fires when the work on a batch to predict begins.

        How often: once a batch.
        Already true: `batch` is on the device.
        May change: the batch, in place.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_predict_batch_start(self, run, batch):
                self.began_at = time.perf_counter()
        """

    @hookspec("event")
    def on_predict_batch_end(self, run: Run, batch: Any, output: Any) -> None:
        """Fires when a batch is predicted.

        How often: once a batch.
        Already true: `output` is the model's answer to `batch`, on the device and without a graph.
        May change: nothing.
        Returns: nothing.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def on_predict_batch_end(self, run, output):
                self.rows.writerows([guess] for guess in output.argmax(-1).tolist())
        """

    @hookspec("event")
    def on_predict_end(self, run: Run) -> None:
        """Fires when a prediction is complete.

        How often: once a prediction that did not fail; what must be closed in any case, close in `on_run_end`.
        Already true: every batch was predicted, unless a signal cut it short.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_predict_end(self, run):
                self.table.close()
        """


class BoundaryHooks:
    """What happens after a step and after an epoch, always in this order: metrics, decisions, saving, reporting.

    Between `decide` and `persist` the engine agrees on the proposals across ranks.
    """

    @hookspec("event")
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Fires when metrics were fetched from the device, first of all at a boundary.

        How often: at a boundary where they are due: by `log_every`, after a validation, and at the end of an epoch.
        Already true: `metrics` holds plain floats, of everything logged since the last time. `run.fresh_metrics` is the
            same mapping in all phases of this boundary, for a plugin that needs it in a later one alone.
        May change: nothing.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_metrics(self, run, metrics):
                if "val/loss" in metrics:
                    self.best = min(self.best, metrics["val/loss"])
        """

    @hookspec("event")
    def decide(self, run: Run) -> None:
        """Fires when it is time to propose: `run.request_stop(reason)`, `run.request_save(reason)`.

        How often: at every boundary.
        Already true: `on_metrics` has fired, if metrics were due; `run.fresh_metrics` has them, and is empty if not.
        May change: nothing but the proposals, on which the engine agrees across ranks right after.
        Returns: nothing.
        Ranks: all; a proposal of one rank is enough.
        Since: 0.1

        Example::

            @hookimpl
            def decide(self, run):
                if (run.directory / "stop").exists():
                    run.request_stop("somebody created the file 'stop'")
        """

    @hookspec("event")
    def persist(self, run: Run) -> None:
        """Fires when it is time to save.

        How often: at every boundary.
        Already true: the decisions are made, the same on all ranks; `run.save_requested` tells whether somebody asked.
        May change: nothing.
        Returns: nothing.
        Ranks: all, so that savers of sharded state can take part together.
        Since: 0.1

        Example::

            @hookimpl
            def persist(self, run):
                if run.save_requested and run.rank == 0:
                    torch.save(run.model.state_dict(), run.directory / f"weights-{run.step}.pt")
        """

    @hookspec("event", scope="rank0")
    def report(self, run: Run) -> None:
        """Fires when it is time to tell people, last of all at a boundary.

        How often: at every boundary; a display limits its own rate. Once more where a run is stopped between two
            logging boundaries, for what was logged since the last one.
        Already true: metrics are there, decisions made, saves done.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only; no collective calls here.
        Since: 0.1

        Example::

            @hookimpl
            def report(self, run):
                print(f"step {run.step}: {run.metrics}", file=sys.stderr)
        """


class LogHooks:
    """What is logged: rows of numbers, and what no number says, which is not computed where no plugin takes it."""

    @hookspec("deferred", scope="rank0")
    def write_rows(self, run: Run, rows: Sequence[Mapping[str, float]]) -> None:
        """Fires when rows of metrics are to be written, after they were written to `metrics.jsonl`.

        How often: at a logging boundary, right before `on_metrics`; where these follow each other fast, ten times a
            second, with the rows of all that were passed. At least once more before a checkpoint, and before the run
            ends; at any time when a plugin calls `run.flush_rows()`.
        Already true: each row has `step`, `epoch` and `time`, in seconds since 1970, and the metrics by their names;
            they come in order, each once. `run` may be some steps further: this may be called on another thread while
            the training goes on, but never twice at once.
        May change: nothing, and rows may be kept. What is raised is raised in the training soon after.
        Returns: nothing.
        Ranks: rank 0 only; no collective calls here.
        Since: 0.1

        Example::

            @hookimpl
            def write_rows(self, run, rows):
                with (run.directory / "losses.txt").open("a") as file:
                    for row in rows:
                        print(row["step"], row.get("train/loss"), file=file)
        """

    @hookspec("event", scope="rank0")
    def log_text(self, run: Run, name: str, text: str) -> None:
        """Fires when somebody calls `run.log_text(name, text)`.

        How often: whenever that is.
        Already true: `run.step` is the step that it belongs to.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only.
        Since: 0.1

        Example::

            @hookimpl
            def log_text(self, run, name, text):
                (run.directory / f"{run.step}.txt").write_text(text)
        """

    @hookspec("event", scope="rank0")
    def log_image(self, run: Run, name: str, image: torch.Tensor) -> None:
        """Fires when somebody calls `run.log_image(name, image)`.

        How often: whenever that is.
        Already true: `image` is uint8 on the CPU, of shape `(H, W, C)` with 1, 3 or 4 channels.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only.
        Since: 0.1

        Example::

            @hookimpl
            def log_image(self, run, name, image):
                self.sizes[name] = tuple(image.shape[:2])
        """

    @hookspec("event", scope="rank0")
    def log_figure(self, run: Run, name: str, figure: Any) -> None:
        """Fires when somebody calls `run.log_figure(name, figure)`.

        How often: whenever that is.
        Already true: `figure` is a `matplotlib.figure.Figure`, which others may want after you: do not close it.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only.
        Since: 0.1

        Example::

            @hookimpl
            def log_figure(self, run, name, figure):
                figure.savefig(run.directory / f"{run.step}.png")
        """

    @hookspec("event", scope="rank0")
    def log_histogram(self, run: Run, name: str, values: torch.Tensor) -> None:
        """Fires when somebody calls `run.log_histogram(name, values)`.

        How often: whenever that is.
        Already true: `values` has any shape, no graph, and may be on a device: to read it there waits for the device.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only.
        Since: 0.1

        Example::

            @hookimpl
            def log_histogram(self, run, name, values):
                self.medians[name] = values.float().median().item()
        """

    @hookspec("event", scope="rank0")
    def log_artifact(self, run: Run, name: str, path: Path) -> None:
        """Fires when somebody calls `run.log_artifact(path, name)`.

        How often: whenever that is.
        Already true: `path` is a file or a directory that exists; it may change after you returned.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only.
        Since: 0.1

        Example::

            @hookimpl
            def log_artifact(self, run, name, path):
                self.artifacts[name] = path.stat().st_size
        """


class CheckpointHooks:
    """Saving and loading, whoever does it."""

    @hookspec("event")
    def on_checkpoint_save(self, run: Run, checkpoint: MutableMapping[str, Any]) -> None:
        """Fires when a checkpoint is about to be written.

        How often: once a checkpoint.
        Already true: `checkpoint` holds all that is going to be saved, the plugins' `state_dict()` included.
        May change: the dictionary. Tensors, numbers, strings, lists and dictionaries can be saved; nothing is pickled.
        Returns: nothing.
        Ranks: all, each with its own part.
        Since: 0.1

        Example::

            @hookimpl
            def on_checkpoint_save(self, run, checkpoint):
                checkpoint["vocabulary"] = list(self.vocabulary)
        """

    @hookspec("event", scope="rank0")
    def on_checkpoint_saved(self, run: Run, path: Path) -> None:
        """Fires when a checkpoint is durable: written, synchronised and renamed into place.

        How often: once a checkpoint that was written; it may be later than the step it holds.
        Already true: `path` is valid and can be resumed from.
        May change: nothing.
        Returns: nothing.
        Ranks: rank 0 only, which writes; no collective calls here.
        Since: 0.1

        Example::

            @hookimpl
            def on_checkpoint_saved(self, run, path):
                shutil.copytree(path, self.mirror / path.name)
        """

    @hookspec("event")
    def on_checkpoint_load(self, run: Run, checkpoint: MutableMapping[str, Any]) -> None:
        """Fires when a checkpoint is read, before anything is taken from it.

        How often: once a load.
        Already true: everything is built; `checkpoint` is what was saved, verified.
        May change: the dictionary, which is what is loaded afterwards: the place to adapt an old one.
        Returns: nothing.
        Ranks: all, each with its own part.
        Since: 0.1

        Example::

            @hookimpl
            def on_checkpoint_load(self, run, checkpoint):
                self.vocabulary = checkpoint.get("vocabulary", self.vocabulary)
        """

    @hookspec("event")
    def on_checkpoint_loaded(self, run: Run, path: Path) -> None:
        """Fires when the state of a checkpoint is in place.

        How often: once a load, before `on_ready` where a run is resumed.
        Already true: model, optimizers, schedules, counters and the plugins' states are those of the checkpoint.
        May change: weights, in place.
        Returns: nothing.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def on_checkpoint_loaded(self, run, path):
                logging.getLogger(__name__).info("going on from %s: epoch %d, step %d", path, run.epoch, run.step)
        """


class AroundHooks:
    """The actions themselves. The engine's own implementation comes last: replace it, or wrap it.

    Each lies between the `_start` and the `_end` event of its action, so these fire for a replacement as well. A
    replacement must return something that is not None, or the engine's own runs as well; a wrapper must hand on what it
    got: `return (yield)`.
    """

    @hookspec("around")
    def run_fit(self, run: Run) -> bool | None:
        """Runs all epochs of a fit.

        How often: once a fit, between `on_fit_start` and `on_fit_end`.
        Already true: everything is built.
        May change: how the fit is run.
        Returns: True.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl(wrapper=True)
            def run_fit(self, run):
                with torch.autograd.set_detect_anomaly(True):
                    return (yield)
        """

    @hookspec("around")
    def run_epoch(self, run: Run) -> bool | None:
        """Runs the training part of one epoch: its steps, with the boundary after each.

        How often: once an epoch, between `on_epoch_start` and `on_train_epoch_end`.
        Already true: `run.epoch` counts the epochs before it.
        May change: how the epoch is run.
        Returns: True.
        May raise: `SkipEpoch`, to leave out the rest of the epoch.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl(wrapper=True)
            def run_epoch(self, run):
                started = time.perf_counter()
                result = yield
                self.epoch_seconds.append(time.perf_counter() - started)
                return result
        """

    @hookspec("around")
    def run_step(self, run: Run) -> bool | None:
        """Runs one optimizer update: forward and backward of its micro-batches, then the optimizers.

        How often: once an update, skipped ones included, between `on_step_start` and `on_step_end`.
        Already true: `run.window` holds its micro-batches, as the loader gave them; `run.step` is counted outside.
        May change: how the update is made.
        Returns: True if the weights were updated, False if the update was skipped.
        May raise: `SkipStep`, to drop the update.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl(wrapper=True)
            def run_step(self, run):
                with torch.profiler.record_function(f"step {run.step}"):
                    return (yield)
        """

    @hookspec("around")
    def run_forward(self, run: Run, batch: Any) -> tuple[Any, torch.Tensor | None] | None:
        """Runs the model and the loss on one batch, in every stage.

        How often: once a batch, in training a micro-batch; `run.stage` tells the stage.
        Already true: `batch` is on the device.
        May change: how output and loss are computed.
        Returns: the pair (output, loss); loss is a scalar tensor, or None when predicting.
        May raise: `SkipBatch`, in training, to leave this micro-batch out.
        Ranks: all, each with a batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def run_forward(self, run, batch):
                inputs, targets = batch
                output = torch.utils.checkpoint.checkpoint(run.model, inputs, use_reentrant=False)
                return output, torch.nn.functional.cross_entropy(output, targets)
        """

    @hookspec("around")
    def run_backward(self, run: Run, loss: torch.Tensor) -> bool | None:
        """Runs the backward pass of one micro-batch.

        How often: once a micro-batch with a backward pass, between `on_backward_start` and `on_backward_end`.
        Already true: `loss` is weighted by the micro-batch's share of the update's samples.
        May change: how gradients are computed. Under fp16 the engine's loss scaling stands before plugins: replace it
            as `tryfirst`.
        Returns: True.
        May raise: `SkipBackward`, to do without this gradient.
        Ranks: all, each with a micro-batch of its own.
        Since: 0.1

        Example::

            @hookimpl
            def run_backward(self, run, loss):
                loss.backward(create_graph=True)
                return True
        """

    @hookspec("around")
    def run_optimizer_step(self, run: Run) -> bool | None:
        """Runs the optimizers on gradients that are complete and clipped.

        How often: once a step, between `on_optimizer_step_start` and `on_optimizer_step_end`.
        Already true: gradients are what is to be used.
        May change: how the weights are updated. Under fp16 the engine's overflow check stands before plugins:
            replace it as `tryfirst`.
        Returns: True if the weights were updated, False if the update was skipped.
        May raise: `SkipStep`, to drop the update.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl
            def run_optimizer_step(self, run):
                for optimizer in reversed(run.optimizers):
                    optimizer.step()
                return True
        """

    @hookspec("around")
    def run_validation(self, run: Run) -> bool | None:
        """Runs one validation or test.

        How often: once a validation and once a test, between its `_start` and `_end`; `run.stage` tells which.
        Already true: the model is in evaluation mode, gradients are off; random states are put back afterwards.
        May change: how the evaluation is run.
        Returns: True.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl(wrapper=True)
            def run_validation(self, run):
                torch.manual_seed(0)  # the same augmentations each time
                return (yield)
        """

    @hookspec("around")
    def run_predict(self, run: Run) -> bool | None:
        """Runs one prediction.

        How often: once for `hookloop predict`, between `on_predict_start` and `on_predict_end`.
        Already true: the model is in evaluation mode, gradients are off.
        May change: how the prediction is run.
        Returns: True.
        Ranks: all.
        Since: 0.1

        Example::

            @hookimpl(wrapper=True)
            def run_predict(self, run):
                with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                    return (yield)
        """


SPECIFICATIONS: tuple[type, ...] = (
    ProvideHooks,
    RunHooks,
    BuildHooks,
    FitHooks,
    BatchHooks,
    StepHooks,
    EvaluateHooks,
    BoundaryHooks,
    LogHooks,
    CheckpointHooks,
    AroundHooks,
)
