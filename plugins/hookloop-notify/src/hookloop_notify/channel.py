"""What the three ways to send have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Until = Callable[[], float]
"""Returns by which `time.monotonic` an attempt must be over; the end of the run may bring it forward."""


@dataclass(frozen=True)
class Message:
    """One message, without secrets. ``fields`` and ``metrics`` are for templates of its channel's own."""

    fields: Mapping[str, str]
    metrics: Mapping[str, str]
    subject: str
    body: str
    ends: bool = False

    @property
    def text(self) -> str:
        """The subject and the body."""
        return f"{self.subject}\n\n{self.body}"

    @property
    def all_fields(self) -> dict[str, str]:
        """What a template of what is sent may name."""
        return {**self.fields, "subject": self.subject, "body": self.body, "text": self.text}


class Unsent(Exception):  # noqa: N818 - what became of a message
    """A message was not taken; the text says why, *transient* whether it may be another time, and when that is."""

    def __init__(self, why: str, *, transient: bool = False, after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.transient = transient
        self.after_seconds = after_seconds


class Channel(Protocol):
    """A way to send. ``place`` is what to call it in a warning: the kind, and the host."""

    place: str

    def send(self, message: Message, until: Until) -> None:
        """Send *message*, or raise Unsent."""


def seconds_left(until: Until) -> float:
    """Return how much of the time is left, and a moment at the least: a timeout of 0 means something else."""
    return max(until() - time.monotonic(), 0.05)
