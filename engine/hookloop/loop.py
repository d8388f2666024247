"""The training loop, as the engine's own plugin: every ``run_…`` hook's default, in the order in which things happen.

A run is epochs; an epoch is optimizer updates, called steps; a step is one or more micro-batches. Fetch the
micro-batches of a step, run each forward and backward, update the weights, and then, at the step boundary: log,
decide, agree, save, report. After the last step of an epoch, validate and pass the same boundary once more.

A ``run_…`` hook always lies between the ``on_…_start`` and the ``on_…_end`` of its event, and counting lies outside
of it, so a plugin that replaces one replaces the work and nothing else. Each ``if hooks.x`` skips a hook that nobody
implements for a few nanoseconds; a call would cost ten times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from hookloop.boundary import Boundary
from hookloop.control import SkipBackward, SkipBatch, SkipEpoch, SkipStep
from hookloop.markers import hookimpl, spelt_out
from hookloop.scheduling import advance

if TYPE_CHECKING:
    import torch

    from hookloop.manager import Hooks
    from hookloop.run import Run


class Loop:
    """The default of every hook that runs a part of the training."""

    role = "actor"

    def __init__(self, hooks: Hooks, boundary: Boundary) -> None:
        self.hooks = hooks
        self.boundary = boundary

    @hookimpl(trylast=True)
    def run_fit(self, run: Run) -> bool:
        """Train epoch after epoch until a limit is reached or a stop was agreed."""
        self.boundary.make_up(run)
        while not self.boundary.finished(run):
            self.epoch(run)
        return True

    def epoch(self, run: Run) -> None:
        """Run one epoch; validate and count it if it was walked to its end."""
        hooks, boundary = self.hooks, self.boundary
        begins = boundary.begin_epoch(run)
        try:
            if begins and hooks.on_epoch_start:
                hooks.on_epoch_start(run)
            hooks.run_epoch(run)
            # Whoever replaces run_epoch need not say so: an epoch that nothing broke off was walked to its end.
            run.exhausted = run.exhausted or not boundary.finished(run)
            if run.exhausted and hooks.on_train_epoch_end:
                hooks.on_train_epoch_end(run)
        except SkipEpoch:
            boundary.end_epoch(run, validate=False)
        else:
            if run.exhausted:
                boundary.end_epoch(run)

    @hookimpl(trylast=True)
    def run_epoch(self, run: Run) -> bool:
        """Walk over the training data, step by step, to its end or until training is over."""
        last_step = inf if run.config.max_steps is None else run.config.max_steps
        while self.fetch(run):
            self.step(run)
            if run.outcome is not None or run.step >= last_step:
                self.boundary.stop_epoch(run)
                break
        return True

    def step(self, run: Run) -> None:
        """Make one optimizer update, count it, and pass the boundary after it."""
        hooks = self.hooks
        before = run.batch_index
        try:
            if hooks.on_step_start:
                hooks.on_step_start(run)
            updated = hooks.run_step(run)
        except SkipStep:
            updated = False
        if run.batch_index != before + len(run.window):
            self.count_rest(run, run.batch_index - before)
        if updated:
            run.step += 1
            if run.schedules and advance(run, "step") and hooks.on_schedule_step:
                hooks.on_schedule_step(run)
            if hooks.on_step_end:
                hooks.on_step_end(run)
            engine_due = run.step >= self.boundary.next_due or run.control.pending
            if engine_due or hooks.decide or hooks.persist or hooks.report:
                self.boundary.after_step(run)
        else:
            if hooks.on_optimizer_step_skipped:
                hooks.on_optimizer_step_skipped(run)
            self.boundary.after_skipped_step(run)

    def count_rest(self, run: Run, counted: int) -> None:
        """Count the micro-batches that SkipStep dropped, or that a replaced ``run_step`` did not count itself."""
        for batch in run.window[counted:]:
            run.batch_index += 1
            run.samples += run.task.batch_size(batch)

    def fetch(self, run: Run) -> bool:
        """Fill ``run.window`` with the micro-batches of the next step; False when the data has ended.

        All of them are fetched before the first is run: only then is each one's share of the samples known.
        """
        hooks = self.hooks
        window: list[Any] = []
        run.window = window
        for _ in range(run.config.accumulate):
            if run.exhausted:
                break
            if hooks.on_fetch_start:
                hooks.on_fetch_start(run)
            try:
                batch = next(run.batches)
            except StopIteration as end:
                self.boundary.exhausted(run, end)
                break
            if hooks.on_fetch_end:
                hooks.on_fetch_end(run, batch)
            window.append(batch)
        return bool(window)

    @hookimpl(trylast=True)
    def run_step(self, run: Run) -> bool:
        """Update the weights from the micro-batches in ``run.window``; False when the update was skipped."""
        hooks = self.hooks
        if hooks.on_zero_grad:
            hooks.on_zero_grad(run)
        for optimizer in run.optimizers:  # at the start of a step: gradients stay readable until the next one
            optimizer.zero_grad()
        gave = self.run_batch(run, run.window[0], 1.0) if run.config.accumulate == 1 else self.accumulate(run)
        if not gave:
            return False
        if hooks.on_gradients_ready:
            hooks.on_gradients_ready(run)
        if hooks.on_optimizer_step_start:
            hooks.on_optimizer_step_start(run)
        updated: bool = hooks.run_optimizer_step(run) if hooks.run_optimizer_step else update(run)
        if updated and hooks.on_optimizer_step_end:
            hooks.on_optimizer_step_end(run)
        return updated

    def accumulate(self, run: Run) -> bool:
        """Run each micro-batch of the window, weighted by its share of the samples; False when all were skipped."""
        sizes = [run.task.batch_size(batch) for batch in run.window]
        total, kept = sum(sizes), 0
        for index, (batch, size) in enumerate(zip(run.window, sizes, strict=True)):
            run.micro_batch = index
            if self.run_batch(run, batch, size / total):
                kept += size
        if 0 < kept < total:
            # The shares were of all fetched samples; those of skipped micro-batches gave no gradient.
            for optimizer in run.optimizers:
                rescale_gradients(optimizer, total / kept)
        return kept > 0

    def run_batch(self, run: Run, batch: Any, share: float) -> bool:
        """Run one micro-batch forward and backward; False when it gave no gradient."""
        hooks = self.hooks
        size = run.task.batch_size(batch)
        run.output = run.loss = run.loss_value = (
            None  # frees the activations of the last micro-batch before the next are made
        )
        gave = False
        known = len(run.store.losses)
        try:
            if hooks.transfer_batch:
                batch = hooks.transfer_batch(run, batch)
            run.batch = batch
            if hooks.on_batch_start:
                hooks.on_batch_start(run, batch)
            if hooks.on_forward_start:
                hooks.on_forward_start(run, batch)
            result = hooks.run_forward(run, batch) if hooks.run_forward else run.task.train_step(batch)
            try:
                run.output, loss = result if isinstance(result, tuple) else ()
            except ValueError:
                raise TypeError(no_pair(result, run)) from None
            if hooks.on_forward_end:
                hooks.on_forward_end(run, run.output)
            if hooks.transform_loss:
                loss = hooks.transform_loss(run, loss)
            run.loss = loss
            value = run.loss_value = loss.item() if loss.is_cpu else None
            run.store.losses.append((loss.detach() if value is None else value, size))
            if share != 1.0:
                loss = loss * share
            if hooks.on_backward_start:
                hooks.on_backward_start(run, loss)
            hooks.run_backward(run, loss) if hooks.run_backward else loss.backward()
            gave = True
            if hooks.on_backward_end:
                hooks.on_backward_end(run)
        except SkipBatch:
            del run.store.losses[known:]  # it is left out, and so is its loss
        except SkipBackward:
            pass
        run.batch_index += 1
        run.samples += size
        if hooks.on_batch_end:
            hooks.on_batch_end(run)
        return gave

    @hookimpl(trylast=True)
    @spelt_out
    def run_forward(self, run: Run, batch: Any) -> tuple[Any, torch.Tensor | None]:
        """Return ``(output, loss)`` of one batch in the current stage."""
        return forward(run, batch)

    @hookimpl(trylast=True)
    @spelt_out
    def run_backward(self, run: Run, loss: torch.Tensor) -> bool:
        """Compute gradients and add them to those of the window's earlier micro-batches."""
        loss.backward()  # type: ignore[no-untyped-call]
        return True

    @hookimpl(trylast=True)
    @spelt_out
    def run_optimizer_step(self, run: Run) -> bool:
        """Update the weights with every optimizer."""
        return update(run)

    def state_dict(self) -> dict[str, Any]:
        """Return when what was last due, for a resumed run to log and validate where it would have."""
        return self.boundary.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.boundary.load_state_dict(state)


def forward(run: Run, batch: Any) -> tuple[Any, torch.Tensor | None]:
    """Return ``(output, loss)`` of one batch in the current stage."""
    if run.stage == "train":
        return run.task.train_step(batch)
    if run.stage == "predict":
        return run.task.predict_step(batch), None
    return run.task.validation_step(batch)


def update(run: Run) -> bool:
    """Update the weights with every optimizer."""
    for optimizer in run.optimizers:
        optimizer.step()
    return True


def no_pair(result: Any, run: Run) -> str:
    """Say what a step returned instead of the pair that it must return."""
    step = {"train": "train_step", "predict": "predict_step"}.get(run.stage, "validation_step")
    kind = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}"
    return (
        f"{type(run.task).__name__}.{step} (or the plugin that replaces run_forward) returned {kind}; "
        f"it must return the pair (output, loss), where loss is a tensor of shape ()"
        + ("" if run.stage == "train" else " or None")
    )


def rescale_gradients(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply every gradient that *optimizer* would use by *factor*."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
