"""Readings of the GPUs through NVML: goes on with what can be read, and says once what cannot."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hookloop_monitor.cards import Card
from hookloop_monitor.metrics import Metric
from hookloop_monitor.notices import Notices
from hookloop_monitor.nvml import ABSENT, GONE, NO_PERMISSION, REFUSED, close_nvml, error_code

LONGEST_REST = 64  # samples

JOULES_PER_WATT_HOUR = 3600.0


class EnergyMeter:
    """The energy that a card has used since the first reading: by its own count, or else by its power."""

    def __init__(self) -> None:
        self._first_joules: float | None = None
        self._summed_joules = 0.0
        self._before: tuple[float, float] | None = None

    def add(self, values: Mapping[str, float], now: float) -> float | None:
        """Return the watt-hours so far, at *now* in seconds; None as long as nothing was read."""
        joules, watts = values.get("energy_joules"), values.get("power_watts")
        if joules is not None:
            if self._first_joules is None or joules < self._first_joules:
                self._first_joules = joules - self._summed_joules
            self._summed_joules = joules - self._first_joules
            return self._summed_joules / JOULES_PER_WATT_HOUR
        if watts is None:
            return None
        if self._before is not None:
            earlier, watts_then = self._before
            self._summed_joules += (watts + watts_then) / 2 * (now - earlier)
        self._before = (now, watts)
        return self._summed_joules / JOULES_PER_WATT_HOUR


class CardReader:
    """Reads one card.

    A metric that the card refuses is not asked for again, one that fails in another way is let rest for longer and
    longer, and a card that is lost is left alone. What was not read is absent.
    """

    def __init__(self, nvml: Any, card: Card, metrics: Sequence[Metric], notices: Notices) -> None:
        self.card = card
        self.lost = False
        self._nvml = nvml
        self._metrics = list(metrics)
        self._notices = notices
        self._energy = EnergyMeter()
        self._rests: dict[str, tuple[int, int]] = {}  # metric → samples still to rest, and how many it was last time

    def read(self, now: float, *, slow: bool) -> dict[str, float]:
        """Return what the card gives at *now*, in seconds, the slow metrics only when asked for."""
        values: dict[str, float] = {}
        refused: dict[str, list[str]] = {}
        for metric in list(self._metrics):
            if self.lost or (metric.slow and not slow) or self._rests_now(metric):
                continue
            try:
                reading = metric.read(self._nvml, self.card)
            except (self._nvml.NVMLError, AttributeError) as error:
                self._fail(metric, error, refused)
                continue
            self._rests.pop(metric.name, None)
            values.update({name: value for name, value in reading.items() if value is not None and available(value)})
        for text, names in refused.items():
            level = logging.WARNING if "ermission" in text else logging.INFO
            self._notices.say(f"{self.name} does not give {', '.join(names)}: {text}", level=level)
        return self._derived(values, now)

    @property
    def name(self) -> str:
        """What messages call the card."""
        return f"{self.card.label} ({self.card.name})"

    def _fail(self, metric: Metric, error: Exception, refused: dict[str, list[str]]) -> None:
        code = error_code(error)
        if code in GONE:
            self.lost = True
            self._notices.say(f"{self.name} is lost, and read no more: {error}", key=(self.card.uuid, "lost"))
        elif code in REFUSED or isinstance(error, AttributeError):
            self._metrics.remove(metric)
            refused.setdefault(str(error) if code == NO_PERMISSION else "not supported", []).append(metric.name)
        else:
            _, rested = self._rests.get(metric.name, (0, 0))
            rest = min(LONGEST_REST, max(1, 2 * rested))
            self._rests[metric.name] = (rest, rest)
            self._notices.say(f"{self.name} does not answer, and is asked again: {error}", key=(self.card.uuid, code))

    def _rests_now(self, metric: Metric) -> bool:
        left, rested = self._rests.get(metric.name, (0, 0))
        if left:
            self._rests[metric.name] = (left - 1, rested)
        return left > 0

    def _derived(self, values: dict[str, float], now: float) -> dict[str, float]:
        used_watt_hours = self._energy.add(values, now)
        values.pop("energy_joules", None)
        if used_watt_hours is not None:
            values["energy_wh"] = used_watt_hours
        used, total = values.get("memory_used_bytes"), values.get("memory_total_bytes")
        if used is not None and total:
            values["memory_percent"] = 100 * used / total
        return values


class GpuReader:
    """Reads all cards, and gives NVML back in the end."""

    def __init__(self, nvml: Any, cards: Sequence[CardReader], close: Callable[[Any], None] = close_nvml) -> None:
        self.cards = cards
        self._nvml = nvml
        self._close = close

    def read(self, now: float, *, slow: bool = False) -> dict[str, float]:
        """Return what the cards give at *now*, a monotonic time in seconds: ``gpu0/power_watts`` and so on."""
        return {
            f"{each.card.label}/{name}": value
            for each in self.cards
            for name, value in each.read(now, slow=slow).items()
        }

    def close(self) -> None:
        """Give NVML back."""
        self._close(self._nvml)


def available(value: float) -> bool:
    """Return whether *value* is one, and not NVML's way to say that there is none."""
    return math.isfinite(value) and value not in ABSENT and value >= 0
