"""Every so many steps, batches of evaluation counted like steps, or every so many epochs."""

from __future__ import annotations

from hookloop import Interval


class Cadence:
    """Counts what happens in one run; `step` and `epoch` answer whether it is time."""

    def __init__(self, every: Interval) -> None:
        self.every = every
        self.counts = {"step": 0, "epoch": 0}

    def step(self) -> bool:
        """Count a step of training, or a batch of validation, test or prediction."""
        return self.passed("step")

    def epoch(self) -> bool:
        """Count an epoch."""
        return self.passed("epoch")

    def passed(self, unit: str) -> bool:
        """Count one of *unit*."""
        self.counts[unit] += 1
        return self.every.unit == unit and self.counts[unit] % self.every.count == 0
