"""Durations within iterations, and their means over a moving window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from hookloop_profiler.marks import Marks

Spans = list[tuple[str, Any, Any]]


class Timeline:
    """Takes down the spans of one iteration after the other; `finished` gives those that are complete.

    On a device an iteration is complete some time after the host has given it out; it is kept until then.
    """

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.pending: deque[tuple[Spans, dict[str, float]]] = deque()
        self.drop()

    def drop(self) -> None:
        """Forget the iteration that has begun."""
        self.open: dict[str, Any] = {}
        self.spans: Spans = []
        self.known: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """Begin the span *name*; one that was begun and never ended is forgotten."""
        self.open[name] = self.marks.mark()

    def end(self, name: str) -> None:
        """End the span *name*, if it was begun."""
        if name in self.open:
            self.spans.append((name, self.open.pop(name), self.marks.mark()))

    def add(self, name: str, seconds: float) -> None:
        """Add a duration of the host's own."""
        self.known[name] = self.known.get(name, 0.0) + seconds

    def close(self) -> None:
        """End the iteration; what lasted through all of it must be what was ended last."""
        if self.spans:
            self.pending.append((self.spans, self.known))
        self.drop()

    def finished(self) -> Iterator[dict[str, float]]:
        """Yield the seconds of each span, by name, for each iteration that the device has come to the end of."""
        while self.pending and self.marks.done(self.pending[0][0][-1][2]):
            spans, seconds = self.pending.popleft()
            for name, start, end in spans:
                seconds[name] = seconds.get(name, 0.0) + self.marks.seconds(start, end)
            yield seconds


class Averages:
    """Means over the last *window* iterations, the first *warmup* of all left out."""

    def __init__(self, window: int, warmup: int) -> None:
        self.rows: deque[Mapping[str, float]] = deque(maxlen=window)
        self.warmup = warmup
        self.fresh = False

    def add(self, seconds: Mapping[str, float]) -> None:
        """Take in an iteration."""
        if self.warmup:
            self.warmup -= 1
        else:
            self.rows.append(seconds)
            self.fresh = True

    def take(self) -> dict[str, float]:
        """Return the mean of each span, over the iterations that had it; nothing when there was none since the last."""
        if not self.fresh:
            return {}
        self.fresh = False
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: fmean(row[name] for row in self.rows if name in row) for name in names}
