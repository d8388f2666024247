"""Counts samples, and whatever else, in the time that was spent on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SAMPLES = "samples"


class Meter:
    """Adds up what comes in while it runs, and for how long it ran.

    Samples may be counted one by one, or be the difference between two readings of a counter that counts them anyway:
    the *samples* of `go_on`, `pause` and `take`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.totals: dict[str, Any] = {}
        self.seconds = 0.0
        self.since: tuple[float, int] | None = None

    def go_on(self, samples: int = 0) -> None:
        """Let the time run, if it does not."""
        if self.since is None:
            self.since = self.clock(), samples

    def pause(self, samples: int = 0) -> None:
        """Let the time stand."""
        if self.since is not None:
            began, before = self.since
            self.seconds += self.clock() - began
            self.count(SAMPLES, samples - before)
        self.since = None

    def count(self, unit: str, amount: Any) -> None:
        """Add *amount*, a number or a tensor of one element; while the time stands it does not count."""
        if self.since is not None:
            self.totals[unit] = self.totals.get(unit, 0) + amount

    def take(self, samples: int = 0) -> dict[str, Any]:
        """Return each unit a second since the last time, and go on from zero.

        Nothing for no samples or no time: what there was of either is kept for the next time.
        """
        if self.since is not None:
            (began, before), now = self.since, self.clock()
            self.since = now, samples
            self.seconds += now - began
            self.totals[SAMPLES] = self.totals.get(SAMPLES, 0) + samples - before
        totals, seconds = self.totals, self.seconds
        if seconds <= 0 or not totals.get(SAMPLES):
            return {}
        self.totals, self.seconds = {}, 0.0
        return {unit: total / seconds for unit, total in totals.items()}

    def forget(self) -> None:
        """Begin with nothing."""
        self.totals, self.seconds, self.since = {}, 0.0, None
