"""What happens between steps and between epochs: counting, limits, validation, and the boundary phases.

A boundary always passes the same phases in the same order: metrics exist before anyone decides, decisions are agreed
on before anyone saves, saves are done before anyone reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop.control import Control
from hookloop.errors import DataError
from hookloop.interval import Interval, Trigger
from hookloop.loaders import check_ended, start_epoch
from hookloop.metrics import NOTHING
from hookloop.rng import preserved_rng
from hookloop.scheduling import advance, follow, note

if TYPE_CHECKING:
    from hookloop.manager import Hooks
    from hookloop.run import Run

Agree = Callable[[Control], None]

MAX_SKIPPED_EPOCHS = 100
FOLDED_STEPS = 1000  # the losses of so many steps are kept one by one at most


class Boundary:
    """The engine's part between two steps of one run.

    ``validate`` runs a validation; False says that a signal cut it short. ``agree`` is set when there are several
    ranks, to make them hold the same proposals.
    """

    def __init__(
        self,
        hooks: Hooks,
        *,
        log_every: Interval,
        validate_every: Interval | None,
        validate: Callable[[Run], bool | None],
        max_seconds: float | None = None,
    ) -> None:
        self.hooks = hooks
        self.log_trigger = Trigger(log_every)
        self.logs_every_step = log_every == Interval(1, "step")
        self.validate_trigger = Trigger(validate_every) if validate_every is not None else None
        self.validates_in_epoch = validate_every is not None and validate_every.unit != "epoch"
        self.run_validation = validate
        self.owes_validation = False
        self.in_epoch = False
        self.follows = False  # whether any schedule follows a metric
        self.data_ended = False  # in the epoch that a resumed run was stopped in
        self.skipped_epochs = 0  # in a row, without a single batch
        self.max_seconds = max_seconds
        self.agree: Agree | None = None
        self.next_due: float = 0

    def finished(self, run: Run) -> bool:
        """Return whether training is over: a limit is reached, or a stop was agreed on."""
        config = run.config
        if run.outcome is not None:
            return True
        if config.max_steps is not None and run.step >= config.max_steps:
            return True
        return config.max_epochs is not None and run.epoch >= config.max_epochs

    def begin_epoch(self, run: Run) -> bool:
        """Start the data of the next epoch; False when it is the rest of one, which a resumed run was stopped in.

        That a loader is started anew and batches are passed over leaves no trace in the streams of random numbers.
        """
        if not self.in_epoch:
            self.in_epoch, self.data_ended = True, False
            start_epoch(run)
            return True
        with preserved_rng(run.device):
            start_epoch(run, run.batch_index)
        run.exhausted = self.data_ended
        return False

    def stop_epoch(self, run: Run) -> None:
        """Note that training is over; an epoch whose every batch was trained on is complete all the same.

        After a signal it is not: the validation that belongs to it is left to the resumed run. In the middle of an
        epoch no logging boundary is going to follow, so what was logged since the last one is published here.
        """
        if run.outcome not in (None, "stopped"):
            run.exhausted = False
        elif run.batch_index == run.batches_per_epoch:
            run.exhausted = True
        elif run.store and not run.exhausted:
            self.publish(run)
            if self.hooks.report:
                self.hooks.report(run)
            run.fresh_metrics = NOTHING

    def exhausted(self, run: Run, end: StopIteration) -> None:
        """Note that the data of this epoch has ended; raises DataError when there was none, or less than announced."""
        run.exhausted = self.data_ended = True
        check_ended(run.loaders["train"], "train", run.epoch, run.batch_index + len(run.window), end)
        if self.hooks.on_data_exhausted:
            self.hooks.on_data_exhausted(run)

    def after_skipped_step(self, run: Run) -> None:
        """Settle what was proposed; the other phases wait for the next step, unless there is none."""
        self.settle_if_due(run)
        if run.outcome is not None:
            self.phases(run, fetch=False)

    def after_step(self, run: Run) -> None:
        """Pass the boundary after a completed step."""
        log_due = self.logs_every_step or self.log_trigger.due(run) or run.step == run.config.max_steps
        if self.validates_in_epoch and self.validate_trigger is not None and self.validate_trigger.due(run):
            self.validate(run)
            log_due = True
        self.phases(run, fetch=log_due)
        if run.step >= self.next_due and not self.logs_every_step:
            if len(run.store.losses) >= FOLDED_STEPS:
                run.store.fold()
            self.next_due = self.next_step(run.step, run.config.max_steps)

    def next_step(self, step: int, last_step: int | None) -> float:
        """Return the step after which something of the engine's own may be due again, so that others need not ask."""
        intervals = [each.interval for each in (self.log_trigger, self.validate_trigger) if each is not None]
        timed = any(each.unit in ("second", "sample") for each in intervals)
        if timed or self.max_seconds is not None or self.agree is not None:
            return step + 1
        due = [step - step % each.count + each.count for each in intervals if each.unit == "step"]
        due.append(step + FOLDED_STEPS)
        return min(due if last_step is None else [*due, last_step])

    def end_epoch(self, run: Run, *, validate: bool = True) -> None:
        """Validate if it is due, count the epoch, and pass the boundary after it."""
        self.skipped_epochs = 0 if run.batch_index else self.skipped_epochs + 1
        if self.skipped_epochs == MAX_SKIPPED_EPOCHS and run.config.max_epochs is None:
            raise DataError(f"{MAX_SKIPPED_EPOCHS} epochs in a row were skipped before their first batch was done")
        run.epoch += 1
        self.in_epoch = False
        due = self.validate_trigger is not None and self.validate_trigger.due_at_epoch(run)
        if validate and due:
            self.validate(run)
        if advance(run, "epoch") and self.hooks.on_schedule_step:
            self.hooks.on_schedule_step(run)
        if self.hooks.on_epoch_end:
            self.hooks.on_epoch_end(run)
        self.log_trigger.due_at_epoch(run)
        self.phases(run, fetch=True, epoch_ended=True)

    def validate(self, run: Run) -> None:
        """Run a validation; one that a signal cut short is owed, and the resumed run begins with it."""
        self.owes_validation = self.run_validation(run) is False

    def make_up(self, run: Run) -> None:
        """Begin: run the validation that an interrupted run owed, and pass the boundary after it."""
        self.follows = any(each.monitor is not None for each in run.schedules)
        if self.owes_validation:
            self.validate(run)
            self.phases(run, fetch=True, epoch_ended=not self.in_epoch)

    def phases(self, run: Run, *, fetch: bool, epoch_ended: bool = False) -> None:
        """Metrics, the schedules that follow them, decide, agree, persist, report."""
        hooks = self.hooks
        if fetch and (run.store.losses or run.store):
            self.publish(run)
        if fetch and self.follows and follow(run, epoch_ended=epoch_ended) and hooks.on_schedule_step:
            hooks.on_schedule_step(run)
        if hooks.decide:
            hooks.decide(run)
        self.settle_if_due(run)
        if hooks.persist:
            hooks.persist(run)
        run.control.save_reason = None
        if hooks.report:
            hooks.report(run)
        run.fresh_metrics = NOTHING

    def publish(self, run: Run) -> None:
        """Read what was logged since the last boundary, in one copy, and hand it on as floats."""
        metrics = run.fresh_metrics = run.store.fetch()
        run.metrics.update(metrics)
        if self.follows:
            note(run.schedules, metrics)
        run.rows.add(run, metrics)
        if self.hooks.on_metrics:
            self.hooks.on_metrics(run, metrics)

    def settle_if_due(self, run: Run) -> None:
        """Settle what was proposed, by the clock as well."""
        if self.max_seconds is not None and run.elapsed_seconds >= self.max_seconds:
            run.request_stop(f"max_seconds = {self.max_seconds:g} is over")
        if run.control.pending or self.agree is not None:
            self.settle(run)

    def settle(self, run: Run) -> None:
        """Make proposals decisions: the one place where a run is told to stop."""
        control, hooks = run.control, self.hooks
        if self.agree is not None:
            self.agree(control)
        control.pending = False
        if run.outcome is not None:
            return
        if control.signal is not None:
            run.outcome = control.outcome_of_signal()
            control.save_reason = control.save_reason or run.outcome
            if run.outcome == "interrupted" and hooks.on_interrupt:
                hooks.on_interrupt(run)
            if run.outcome == "preempted" and hooks.on_preempted:
                hooks.on_preempted(run, control.signal)
        elif control.stop_reason is not None:
            run.outcome = "stopped"
            if hooks.on_stop_requested:
                hooks.on_stop_requested(run, control.stop_reason)

    def state_dict(self) -> dict[str, Any]:
        """Return when what was last due, whether a validation is owed, and where in an epoch this is."""
        validate = None if self.validate_trigger is None else self.validate_trigger.state_dict()
        return {
            "log": self.log_trigger.state_dict(),
            "validate": validate,
            "owes_validation": self.owes_validation,
            "in_epoch": self.in_epoch,
            "data_ended": self.in_epoch and self.data_ended,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.log_trigger.load_state_dict(state["log"])
        if self.validate_trigger is not None and state["validate"] is not None:
            self.validate_trigger.load_state_dict(state["validate"])
        self.owes_validation = state["owes_validation"]
        self.in_epoch, self.data_ended = state["in_epoch"], state["data_ended"]
