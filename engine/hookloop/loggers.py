"""For plugins that log elsewhere: one row a step, a thread that talks to whoever takes the rows, and bursts of rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from hookloop.bursts import Bursts
from hookloop.json_rows import RowEncoder

if TYPE_CHECKING:
    import torch

__all__ = ["COUNTERS", "Bursts", "Row", "RowEncoder", "Rows", "Worker", "column", "named_groups"]

Row = dict[str, Any]

COUNTERS = ("step", "epoch", "time")  # what a row of the engine's log has beside metrics


def column(name: str, reserved: Container[str] = COUNTERS) -> str:
    """Return the name to log *name* under: a metric that is called like something *reserved* is ``logged/NAME``."""
    return f"logged/{name}" if name in reserved else name


def named_groups(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``lr/…`` and the parameter group, of every group of every optimizer; no name comes twice.

    The first group of the first ``AdamW`` is ``lr/adamw``; group 2 of it is ``lr/adamw/2``, or ``lr/adamw/head`` where
    the group has ``name = "head"``; optimizer 1 of the run, if it is another AdamW, is ``lr/adamw-1``. What a group is
    called does not depend on those behind it, so it stays so when groups are added.
    """
    taken: set[str] = set()
    kinds: set[str] = set()
    for number, optimizer in enumerate(optimizers):
        kind = type(optimizer).__name__.lower()
        label = f"lr/{kind}-{number}" if kind in kinds else f"lr/{kind}"
        kinds.add(kind)
        for index, group in enumerate(optimizer.param_groups):
            own = group.get("name")
            name = label if own is None and index == 0 else f"{label}/{index if own is None else own}"
            if name in taken:
                name = f"{name}-{index}"
            taken.add(name)
            yield name, group


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


class Worker:
    """A daemon thread that does jobs in order. What one raises goes to *failed*, and the next one has its turn."""

    def __init__(self, name: str, failed: Callable[[Exception], None]) -> None:
        self.failed = failed
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self.work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self.thread.start()

    def do(self, job: Callable[[], None]) -> None:
        """Have *job* done after those before it; returns at once."""
        self.jobs.put(job)

    def close(self, patience_seconds: float) -> bool:
        """End the thread once all is done, and return whether it came to that in time."""
        self.jobs.put(None)
        self.thread.join(patience_seconds)
        return not self.thread.is_alive()

    def work(self) -> None:
        """Do what there is to do, until there is to be no more of it."""
        while (job := self.jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self.failed(error)
