"""The latest iterations of one kind, and the means over them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import fsum
from typing import Any

from hookloop_profiler.marks import Marks

Span = tuple[str, Any, Any]  # a name, and the marks of its start and its end


Iteration = tuple[Any, Any, float, Sequence[Span]]


class Timeline:
    """Keeps the last *window* iterations, the first *warmup* of all left out.

    They are taken down as marks; how long they were is worked out only when somebody asks, for those that a device has
    come to the end of by then.
    """

    def __init__(self, marks: Marks, window: int, warmup: int) -> None:
        self.marks = marks
        self.warmup = warmup
        self.pending: deque[Iteration] = deque(maxlen=window)
        self.rows: deque[dict[str, float]] = deque(maxlen=window)

    def add(self, began: Any, ended: Any, waited_seconds: float, spans: Sequence[Span] = ()) -> None:
        """Take down an iteration, how long the host waited for its data, and what of it is worth a time of its own."""
        if self.warmup:
            self.warmup -= 1
        else:
            self.pending.append((began, ended, waited_seconds, spans))

    def means(self) -> dict[str, float]:
        """Return the mean of each span over the iterations that had it; nothing if none was added since the last time.

        What a device has not come to the end of by now is asked for again the next time.
        """
        if not self.take_in():
            return {}
        names = dict.fromkeys(name for row in self.rows for name in row)
        found = {name: [row[name] for row in self.rows if name in row] for name in names}
        return {name: fsum(values) / len(values) for name, values in found.items()}

    def take_in(self) -> bool:
        """Work out the iterations that have come to their end; return whether there were any."""
        pending, done = self.pending, self.marks.done
        before = len(pending)
        while pending and done(pending[0][1]):
            self.rows.append(self.seconds(*pending.popleft()))
        return len(pending) < before

    def forget(self) -> None:
        """Keep nothing, but that the warm-up is over."""
        self.pending.clear()
        self.rows.clear()

    def seconds(self, began: Any, ended: Any, waited_seconds: float, spans: Sequence[Span]) -> dict[str, float]:
        """Return the seconds of each span by name, those of one name added up."""
        between = self.marks.seconds
        found = {"iteration": between(began, ended), "data_wait": waited_seconds}
        for name, start, end in spans:
            found[name] = found.get(name, 0.0) + between(start, end)
        return found
