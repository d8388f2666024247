"""What to do when a snapshot cannot be written: the last valid one is still there, so training may go on, or not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from hookloop import SnapshotError

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_checkpoint.jobs import Done

log = logging.getLogger("hookloop.checkpoint")

OnFailure = Literal["warn", "stop", "raise"]
CONSEQUENCES = {
    "warn": 'training goes on (on_failure = "warn")',
    "stop": 'training stops after the next step (on_failure = "stop")',
}


class Failures:
    """Counts the snapshots of one instance that could not be written, and does what *policy* says about each.

    The policy is about a disk. What a state should not have been, or a mistake in the code, is raised in any case.
    """

    def __init__(self, instance: str, policy: OnFailure) -> None:
        self.instance = instance
        self.policy = policy
        self.count = 0
        self.last = ""

    def judge(self, run: Run, done: Done, *, ending: bool = False) -> None:
        """Do what the policy says if *done* has failed; where training is *ending* by itself, there is no stopping."""
        error = done.error
        if error is None:
            return
        self.count += 1
        self.last = f"step {done.order.step}: {error}"
        if not is_about_the_disk(error) or self.policy == "raise":
            raise error
        over = ending or run.outcome is not None
        log.error(
            "%s: the snapshot of step %d was not written, %s: %s",
            self.instance,
            done.order.step,
            "and training is over" if over else CONSEQUENCES[self.policy],
            error,
        )
        if self.policy == "stop":
            run.request_stop(f"{self.instance}: the snapshot of step {done.order.step} was not written: {error}")

    def summarize(self) -> None:
        """Repeat at the end of the run what somebody may have missed in the middle of it."""
        if self.count:
            several = f"{self.count} snapshots were" if self.count > 1 else "1 snapshot was"
            log.warning("%s: %s not written; the last of them, %s", self.instance, several, self.last)


def is_about_the_disk(error: BaseException) -> bool:
    """Return whether *error* comes from the operating system, and not from what was to be written."""
    return isinstance(error, OSError) or (isinstance(error, SnapshotError) and isinstance(error.__cause__, OSError))
