"""Rows of the plugin ``csv`` in its own layout: one a step at most, with counters and all metrics by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop import Trigger
from hookloop.loggers import Bursts
from hookloop_csv.table import WAY_OUT, Row, Table, TableError

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_csv.plugin import MetricsCsv

COUNTERS = ("step", "epoch", "seconds")


class StepRows:
    """Writes a row at each logging boundary, or as often as ``every`` says.

    What is logged at the end of an epoch joins the row of the epoch's last step. ``pending`` says that `report` may
    have something to do also where nothing is logged and no epoch has ended, ``epoch`` is how many had at the last
    boundary.
    """

    def __init__(self, config: MetricsCsv.Config) -> None:
        self.config = config
        self.table: Table | None = None
        self.bursts: Bursts | None = None
        self.trigger: Trigger | None = None
        self.run: Run | None = None
        self.seen: Mapping[str, float] = {}  # what was collected last
        self.collected: Mapping[str, float] = {}
        self.last: Row = {}
        self.last_step = -1
        self.due = False
        self.epoch = 0
        self.pending = False

    def start(self, run: Run, saved: Mapping[str, Any] | None) -> None:
        """Go back to the step that training goes on from: rows of later steps are dropped, and come again."""
        self.run = run
        self.trigger = Trigger(self.config.every) if self.config.every is not None else None
        self.pending = self.trigger is not None
        self.epoch = run.epoch
        # A run from the start has no rows yet, and a saved state knows the row of its own step better than the file.
        first_dropped = run.step if saved is not None or run.step == 0 else run.step + 1
        self.open(run, lambda row: step_of(row) < first_dropped)
        if saved is not None:
            self.go_on(run, saved)

    def collect(self, run: Run) -> None:
        """Collect the values of this boundary, once."""
        if run.fresh_metrics is not self.seen:
            self.seen = run.fresh_metrics
            self.collected = {**self.collected, **self.seen} if self.collected else self.seen

    def report(self, run: Run) -> None:
        """Write a row if it is time to and there is something to write."""
        if run.fresh_metrics is not self.seen:
            self.collect(run)
        trigger, epoch_ended = self.trigger, run.epoch != self.epoch
        self.epoch = run.epoch
        if trigger is not None and (trigger.due_at_epoch(run) if epoch_ended else trigger.due(run)):
            self.due = True
        if self.collected and (self.due or trigger is None):
            self.write(run)
        elif epoch_ended:
            self.count_epoch(run)

    def close(self) -> None:
        """Write the rows that wait, and close the file."""
        if self.table is None or self.bursts is None:
            return
        try:
            self.bursts.flush()
        finally:
            self.bursts.close()
            self.table.close()

    def open(self, run: Run, keep: Callable[[Row], bool]) -> Bursts:
        """Open the file, with those of its rows that are to be kept; return what takes more rows."""
        path, config = run.directory / self.config.file, self.config
        table = Table(path, ("step", "epoch", "seconds"), separator=config.separator, missing=config.missing)
        self.table, self.bursts = table, Bursts(table.extend)
        found = table.open(lambda row: keep(checked(row, table)))
        if found is not None:
            self.last, self.last_step = found, step_of(found)
        return self.bursts

    def go_on(self, run: Run, saved: Mapping[str, Any]) -> None:
        """Do what was still to be done at the boundary where the state was saved."""
        if self.trigger is not None and saved["trigger"] is not None:
            self.trigger.load_state_dict(saved["trigger"])
        self.collected, self.due, self.epoch = dict(saved["collected"]), saved["due"], saved["epoch"]
        if self.bursts is not None and saved["last"] and step_of(saved["last"]) == run.step:
            self.last, self.last_step = saved["last"], run.step
            self.bursts.add(self.last)
        self.report(run)

    def write(self, run: Run) -> None:
        """Write the row of this step, or add to it when it is there already."""
        bursts = self.bursts or self.open(run, lambda row: True)
        seconds = int(1000 * run.elapsed_seconds) / 1000  # cheaper than round(), in a row of some ten microseconds
        step = run.step
        row = {"step": step, "epoch": run.epoch, "seconds": seconds, **self.collected}
        if len(row) != len(self.collected) + len(COUNTERS):
            row = {"step": step, "epoch": run.epoch, "seconds": seconds, **beside_counters(self.collected)}
        again = self.last_step == step
        self.last, self.last_step = {**self.last, **row} if again else row, step
        self.collected, self.due = {}, False
        if again:
            self.replace_last(self.last)
        else:
            bursts.add(row)

    def count_epoch(self, run: Run) -> None:
        """Let the row of an epoch's last step count the epoch, as it does where a validation adds to that row."""
        if self.last_step == run.step:
            self.last = {**self.last, "epoch": run.epoch}
            self.replace_last(self.last)

    def replace_last(self, row: Row) -> None:
        """Write *row* over the last one, which is in the file first."""
        self.flush()
        if self.table is not None:
            self.table.replace_last(row)

    def flush(self) -> None:
        """Write the rows that wait."""
        if self.bursts is not None:
            self.bursts.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack, and when the next row is due. The rows of earlier steps are then in it."""
        if self.run is not None:
            self.collect(self.run)
        self.flush()
        return {
            "collected": dict(self.collected),
            "last": dict(self.last),
            "due": self.due,
            "epoch": self.epoch,
            "trigger": None if self.trigger is None else self.trigger.state_dict(),
        }


def beside_counters(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return *metrics* by column: one with the name of a counter goes under ``logged/``."""
    return {f"logged/{name}" if name in COUNTERS else name: value for name, value in metrics.items()}


def checked(row: Row, table: Table) -> Row:
    """Return *row* if it is one of a metrics table, else raise TableError."""
    if not str(row.get("step", "")).isdecimal():
        raise TableError(f"{table.path} holds something else than metrics: a row has no 'step'. {WAY_OUT}")
    return row


def step_of(row: Row) -> int:
    """Return the step of a row, which is a text when it was read."""
    return int(row["step"])
