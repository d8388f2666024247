"""The row of a step, which the end of an epoch may add to."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from hookloop.row_log import COUNTERS, column

Row = dict[str, Any]


class Rows:
    """Keeps the row of a step until the next step begins, as the end of an epoch may add to it; then hands it over.

    A row has ``step``, ``epoch`` and the metrics, under the names that `column` gives them.
    """

    def __init__(self, hand_over: Callable[[Row], None], reserved: Container[str] = COUNTERS) -> None:
        self.hand_over = hand_over
        self.reserved = reserved
        self.pending: Row = {}

    def add(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add *metrics* to the row of *step*."""
        if self.pending and self.pending["step"] != step:
            self.flush()
        self.pending.update(step=step, epoch=epoch)
        self.pending.update({column(name, self.reserved): value for name, value in metrics.items()})

    def flush(self) -> None:
        """Hand over the row, if there is one."""
        if self.pending:
            row, self.pending = self.pending, {}
            self.hand_over(row)

    def catch_up(self, history: Iterable[Mapping[str, float]], step: int, logged: Container[int]) -> None:
        """Hand over what *history* has and whoever takes the rows lacks; *logged* are the steps that are there.

        The row of *step*, from which a run goes on, waits: the end of the epoch may still add to it.
        """
        for row in self.joined(history):
            if row["step"] in logged:
                continue
            if row["step"] == step:
                self.pending = row
            else:
                self.hand_over(row)

    def joined(self, history: Iterable[Mapping[str, float]]) -> list[Row]:
        """Return the row of each step in *history*, which has the rows of the engine's own log."""
        rows: dict[int, Row] = {}
        for each in history:
            values = {column(name, self.reserved): value for name, value in each.items() if name not in COUNTERS}
            step, epoch = int(each["step"]), int(each["epoch"])
            rows[step] = {**rows.get(step, {}), "step": step, "epoch": epoch, **values}
        return list(rows.values())
