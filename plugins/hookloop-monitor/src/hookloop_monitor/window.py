"""Sums up readings: what is sampled many times between two logging boundaries is logged once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Statistic = Literal["mean", "min", "max", "last"]

# Of what stays as it is, or only ever grows, the newest value says everything.
PLAIN = ("_total_bytes", "_limit_watts", "_limit_cores", "_wh")


@dataclass(slots=True)
class Spread:
    """What is kept of the values of one metric."""

    count: int = 0
    total: float = 0.0
    min: float = float("inf")
    max: float = float("-inf")
    last: float = float("nan")

    def add(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        self.total += value
        self.min = value if value < self.min else self.min
        self.max = value if value > self.max else self.max
        self.last = value

    @property
    def mean(self) -> float:
        """The mean of all samples; every sample weighs the same."""
        return self.total / self.count


class Window:
    """Collects on one thread what another one takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spreads: dict[str, Spread] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Take in one sample: name → value."""
        with self._lock:
            for name, value in values.items():
                spread = self._spreads.get(name)
                if spread is None:
                    spread = self._spreads[name] = Spread()
                spread.add(value)

    def drain(self) -> dict[str, Spread]:
        """Return what was collected since the last time, and begin anew."""
        with self._lock:
            spreads, self._spreads = self._spreads, {}
        return spreads


def flatten(spreads: Mapping[str, Spread], statistics: Collection[Statistic]) -> dict[str, float]:
    """Return *statistics* of each metric by name: ``NAME`` is the mean, the others are ``NAME/max`` and so on."""
    flat: dict[str, float] = {}
    for name, spread in spreads.items():
        if name.endswith(PLAIN):
            flat[name] = spread.last
            continue
        for statistic in statistics:
            flat[name if statistic == "mean" else f"{name}/{statistic}"] = getattr(spread, statistic)
    return flat
