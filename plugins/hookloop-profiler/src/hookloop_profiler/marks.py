"""Points in time: those of the host, and those of a device, which are read without waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Marks(Protocol):
    """Takes points in time and tells how far they are apart."""

    @property
    def mark(self) -> Callable[[], Any]:
        """A function that returns the point in time of now, in the order of the work that was given out."""

    def done(self, mark: Any) -> bool:
        """Return whether the work before *mark* is complete; never waits for it."""

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time from *start* to *end*, which must be done."""


class HostMarks:
    """Readings of a clock in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.mark = clock  # without a call in between, as this is done many times in a step

    def done(self, mark: float) -> bool:
        """Return True: the host is where it is."""
        return True

    def seconds(self, start: float, end: float) -> float:
        """Return the difference."""
        return end - start


class DeviceMarks:
    """Events on the current stream of a device."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def mark(self) -> Any:
        """Record an event."""
        event = self.make()
        event.record()
        return event

    def done(self, mark: Any) -> bool:
        """Ask the device whether it has come to the event."""
        return bool(mark.query())

    def seconds(self, start: Any, end: Any) -> float:
        """Return the device's own time between two events."""
        return float(start.elapsed_time(end)) / 1000


def marks_for(device: torch.device, clock: Callable[[], float]) -> Marks:
    """Return marks of the accelerator when *device* is one, else those of *clock*."""
    import torch

    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None or here.type != device.type:
        return HostMarks(clock)
    event: Any = torch.Event
    return DeviceMarks(lambda: event(device, enable_timing=True))
