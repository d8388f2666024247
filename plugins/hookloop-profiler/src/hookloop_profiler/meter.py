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
        self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self.samples = 0
        self.others: dict[str, Any] = {}
        self.seconds = 0.0
        self.since: float | None = None
        self.before = 0  # what the counter read then

    def go_on(self, samples: int = 0) -> None:
        """Let the time run, if it does not."""
        if self.since is None:
            self.since, self.before = self.clock(), samples

    def pause(self, samples: int = 0) -> None:
        """Let the time stand."""
        if self.since is not None:
            self.seconds += self.clock() - self.since
            self.samples += samples - self.before
            self.since = None

    def count(self, unit: str, amount: Any) -> None:
        """Add *amount*, a number or a tensor of one element; while the time stands it does not count."""
        if self.since is None:
            return
        if unit == SAMPLES:
            self.samples += amount
        else:
            self.others[unit] = self.others.get(unit, 0) + amount

    def take(self, samples: int = 0) -> dict[str, Any]:
        """Return each unit a second since the last time, and go on from zero.

        Nothing for no samples or no time: what there was of either is kept for the next time.
        """
        if self.since is not None:
            now = self.clock()
            self.seconds += now - self.since
            self.samples += samples - self.before
            self.since, self.before = now, samples
        seconds = self.seconds
        if seconds <= 0 or not self.samples:
            return {}
        rates = {SAMPLES: self.samples / seconds}
        if self.others:
            rates |= {unit: total / seconds for unit, total in self.others.items()}
            self.others = {}
        self.samples, self.seconds = 0, 0.0
        return rates
