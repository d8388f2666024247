"""The plugin ``progress-reporter``: a line for each event on each rank, to see where the processes of a run hang."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.progress-reporter")

EVENTS = (
    "on_run_start", "on_ready", "on_fit_start", "on_epoch_start", "on_fetch_start", "on_step_start", "on_step_end",
    "on_train_epoch_end", "on_epoch_end", "on_fit_end",
    "on_validation_start", "on_validation_batch_start", "on_validation_batch_end", "on_validation_end",
    "on_test_start", "on_test_batch_start", "on_test_batch_end", "on_test_end",
    "on_predict_start", "on_predict_batch_start", "on_predict_batch_end", "on_predict_end",
    "on_run_end",
)  # fmt: skip


class ProgressReporter:
    """Writes where this rank is to the log, before any other plugin does anything there. Its hooks are `EVENTS`."""

    role = "observer"

    def __init__(self) -> None:
        self.level = logging.NOTSET
        self.batches = 0

    def say(self, run: Run, event: str) -> None:
        """Write one line; what is counted is complete, batches those of the epoch or of the evaluation."""
        if event == "on_run_start":
            # The command line hides this from ranks other than 0, and it is those that are of interest.
            self.level = log.level
            log.setLevel(logging.INFO)
        self.count(run, event)
        log.info("rank %d at %s: epoch %d, step %d, batch %d", run.rank, event, run.epoch, run.step, self.batches)
        if event == "on_run_end":
            log.setLevel(self.level)

    def count(self, run: Run, event: str) -> None:
        """Count the batches of an evaluation, which the run does not."""
        if run.stage == "train":
            self.batches = run.batch_index
        elif event.endswith("_batch_end"):
            self.batches += 1
        elif not event.endswith("_batch_start") and event.endswith("_start"):
            self.batches = 0


def implementation(event: str) -> Callable[..., Any]:
    """Return the hook that says *event*."""

    def hook(self: ProgressReporter, run: Run) -> None:
        self.say(run, event)

    hook.__name__ = event
    hook.__doc__ = f"Say that the run is at {event}."
    return hookimpl(tryfirst=True)(hook)


for each in EVENTS:
    setattr(ProgressReporter, each, implementation(each))
