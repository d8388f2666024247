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
        running = self.since is not None
        self.pause(samples)
        rates: dict[str, Any] = {}
        if self.seconds > 0 and self.totals.get(SAMPLES):
            rates = {unit: total / self.seconds for unit, total in self.totals.items()}
            self.forget()
        if running:
            self.go_on(samples)
        return rates

    def forget(self) -> None:
        """Begin with nothing."""
        self.totals, self.seconds, self.since = {}, 0.0, None
