"""Counts units in the time that was spent on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Meter:
    """Adds up what is counted while it runs, and for how long it ran."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.totals: dict[str, Any] = {}
        self.seconds = 0.0
        self.since: float | None = None

    def go_on(self) -> None:
        """Let the time run, if it does not."""
        if self.since is None:
            self.since = self.clock()

    def pause(self) -> None:
        """Let the time stand."""
        if self.since is not None:
            self.seconds += self.clock() - self.since
        self.since = None

    def count(self, amounts: Mapping[str, Any]) -> None:
        """Add *amounts*, numbers or tensors of one element, by unit; while the time stands they do not count."""
        if self.since is not None:
            for unit, amount in amounts.items():
                self.totals[unit] = self.totals.get(unit, 0) + amount

    def take(self) -> dict[str, Any]:
        """Return the units a second since the last time, and go on from zero; nothing for no time."""
        running = self.since is not None
        self.pause()
        rates = {unit: total / self.seconds for unit, total in self.totals.items()} if self.seconds > 0 else {}
        self.totals, self.seconds = {}, 0.0
        if running:
            self.go_on()
        return rates
