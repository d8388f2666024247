"""Rows: what is logged at one step, joined, whichever boundaries of that step it was logged at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = dict[str, Any]

COUNTERS = frozenset(("step", "epoch", "time"))  # what a row of the engine's log has beside metrics
RESERVED = COUNTERS | {"project", "run", "timestamp", "metrics"}  # which trackio would rename, and warn


class Rows:
    """Keeps the row of a step until the next step begins, as the end of an epoch may add to it; then hands it over."""

    def __init__(self, hand_over: Callable[[Row], None]) -> None:
        self.hand_over = hand_over
        self.pending: Row = {}

    def add(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add *metrics* to the row of *step*."""
        if self.pending and self.pending["step"] != step:
            self.flush()
        self.pending.update(step=step, epoch=epoch)
        self.pending.update({named(name): value for name, value in metrics.items()})

    def flush(self) -> None:
        """Hand over the row, if there is one."""
        if self.pending:
            row, self.pending = self.pending, {}
            self.hand_over(row)


def named(name: str) -> str:
    """Return the name to log *name* under: what trackio has a use of its own for goes under ``logged/``."""
    return f"logged/{name}" if name in RESERVED or name.startswith("__") else name


def joined(history: Iterable[Mapping[str, float]]) -> list[Row]:
    """Return a row for each step in *history*, the rows of the engine's own log."""
    rows: dict[int, Row] = {}
    for each in history:
        values = {named(name): value for name, value in each.items() if name not in COUNTERS}
        step, epoch = int(each["step"]), int(each["epoch"])
        rows[step] = {**rows.get(step, {}), "step": step, "epoch": epoch, **values}
    return list(rows.values())
