"""Rows of metrics as MLflow's points, and which of them the tracking store has already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from hookloop_mlflow.names import key_name

COUNTERS = frozenset(("step", "epoch", "time"))


class Point(NamedTuple):
    """One value of one metric, with the time at which it was logged."""

    key: str
    value: float
    timestamp_ms: int
    step: int


def points_of(row: Mapping[str, float]) -> Iterator[Point]:
    """Yield the points of a row of ``run.history``.

    Their time is that of the row, so a point that is sent twice, because an answer was lost, is the same point, and a
    database keeps it once.
    """
    step, timestamp_ms = int(row["step"]), int(1000 * row["time"])
    for name, value in row.items():
        if name not in COUNTERS:
            yield Point(key_name(name), float(value), timestamp_ms, step)


class Known:
    """The points that a run had when it was resumed, by key and step.

    MLflow cannot delete a point. A run that was killed and resumed passes steps again whose points are there: they are
    the same ones, and are left out. A key may have several points at a step, after two validations for example.
    """

    def __init__(self, points: Iterable[tuple[str, int]] = ()) -> None:
        self.counts = Counter(points)
        self.last_step = max((step for _, step in self.counts), default=-1)

    def lacks(self, point: Point) -> bool:
        """Return whether *point* is new; one that is known is crossed off."""
        place = (point.key, point.step)
        if place not in self.counts:
            return True
        self.counts[place] -= 1
        if not self.counts[place]:
            del self.counts[place]
        return False
