"""Whether a save is due: the same answer on every rank, at most once at a boundary, a resume or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookloop import Interval, Trigger

if TYPE_CHECKING:
    from hookloop import Run


class Due:
    """Answers for one instance in one run; its hooks tell when an epoch has ended."""

    def __init__(self, every: Interval) -> None:
        self.every = every
        self.trigger = Trigger(every)
        self.epoch_ended = False

    def end_epoch(self) -> None:
        """Let the boundary that follows count as that of the epoch."""
        self.epoch_ended = True

    def ask(self, run: Run, instance: str) -> None:
        """Where processes have clocks of their own, let that of rank 0 ask all of them to save; to do in `decide`."""
        if self.goes_by_first_rank(run) and run.rank == 0 and self.trigger.due(run):
            run.request_save(f"{instance}: every {self.every}")

    def at_boundary(self, run: Run) -> bool:
        """Return whether it is time to save; to ask once at every boundary."""
        epoch_ended, self.epoch_ended = self.epoch_ended, False
        if self.goes_by_first_rank(run):
            return False
        return self.trigger.due_at_epoch(run) if epoch_ended else self.trigger.due(run)

    def goes_by_first_rank(self, run: Run) -> bool:
        """Return whether rank 0 asks for what is due."""
        return run.world_size > 1 and self.every.unit == "second"

    def state_dict(self) -> dict[str, Any]:
        """Return when it was last due."""
        return self.trigger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.trigger.load_state_dict(state)
