"""Rows of the plugin ``csv`` in its own layout: one a step at most, with counters and all metrics by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hookloop import Trigger
from hookloop.loggers import Bursts
from hookloop_csv.table import WAY_OUT, Row, Table, TableError

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_csv.plugin import MetricsCsv

COUNTERS = ("step", "epoch", "seconds")


class Passed(NamedTuple):
    """A boundary that training has passed: where that was, and what was logged there."""

    step: int
    epoch: int
    samples: int
    elapsed_seconds: float
    metrics: Mapping[str, float]


class StepRows:
    """Writes a row at each logging boundary, or as often as ``every`` says.

    What is logged at the end of an epoch joins the row of the epoch's last step. A step of training notes no more than
    that a boundary was passed; what rows that makes is found out by bursts.
    """

    def __init__(self, config: MetricsCsv.Config) -> None:
        self.config = config
        self.run: Run | None = None
        self.table: Table | None = None
        self.bursts: Bursts | None = None
        self.trigger: Trigger | None = None
        self.noted_epoch = 0
        # What is known of the boundaries that were looked at.
        self.seen: Mapping[str, float] = {}  # what was collected last
        self.collected: Mapping[str, float] = {}
        self.replacement: Row | None = None  # for the last row of the file, which it is not in yet
        self.ready: list[Row] = []  # to be written behind that
        self.last: Row = {}
        self.last_step = -1
        self.due = False
        self.epoch = 0

    def start(self, run: Run, saved: Mapping[str, Any] | None) -> None:
        """Go back to the step that training goes on from: rows of later steps are dropped, and come again."""
        self.run = run
        self.trigger = Trigger(self.config.every) if self.config.every is not None else None
        self.epoch = self.noted_epoch = run.epoch
        # A run from the start has no rows yet, and a saved state knows the row of its own step better than the file.
        first_dropped = run.step if saved is not None or run.step == 0 else run.step + 1
        self.open(run, lambda row: step_of(row) < first_dropped)
        if saved is not None:
            self.go_on(run, saved)

    def report(self, run: Run) -> None:
        """Note the boundary if it may make a row, or a part of one."""
        metrics = run.fresh_metrics
        if metrics or (self.bursts is not None and (self.trigger is not None or run.epoch != self.noted_epoch)):
            self.noted_epoch = run.epoch
            bursts = self.bursts or self.open(run, lambda row: True)
            bursts.add((run.step, run.epoch, run.samples, run.elapsed_seconds, metrics))

    def close(self) -> None:
        """Write the rows that wait, and close the file."""
        if self.table is None or self.bursts is None:
            return
        try:
            self.flush()
        finally:
            self.bursts.close()
            self.table.close()

    def open(self, run: Run, keep: Callable[[Row], bool]) -> Bursts:
        """Open the file, with those of its rows that are to be kept; return what takes boundaries."""
        path, config = run.directory / self.config.file, self.config
        table = Table(path, COUNTERS, separator=config.separator, missing=config.missing)
        self.table, self.bursts = table, Bursts(self.look)
        found = table.open(lambda row: keep(checked(row, table)))
        if found is not None:
            self.last, self.last_step = found, step_of(found)
        return self.bursts

    def go_on(self, run: Run, saved: Mapping[str, Any]) -> None:
        """Do what was still to be done at the boundary where the state was saved."""
        if self.trigger is not None and saved["trigger"] is not None:
            self.trigger.load_state_dict(saved["trigger"])
        self.collected, self.due = dict(saved["collected"]), saved["due"]
        self.epoch = saved["epoch"]
        if saved["last"] and step_of(saved["last"]) == run.step:
            self.last, self.last_step = saved["last"], run.step
            self.ready.append(self.last)
        self.pass_boundary(Passed(run.step, run.epoch, run.samples, run.elapsed_seconds, {}))
        self.flush()

    def look(self, noted: list[Any]) -> None:
        """Make the rows of the boundaries that were *noted*, and write them."""
        for each in noted:
            self.pass_boundary(Passed._make(each))
        noted.clear()  # they were looked at, whatever becomes of the rows
        self.write_ready()

    def pass_boundary(self, passed: Passed) -> None:
        """Make a row if it is time to and there is something in it."""
        self.collect(passed.metrics)
        trigger, epoch_ended = self.trigger, passed.epoch != self.epoch
        self.epoch = passed.epoch
        if trigger is not None and (trigger.due_at_epoch(passed) if epoch_ended else trigger.due(passed)):
            self.due = True
        if self.collected and (self.due or trigger is None):
            self.make_row(passed)
        elif epoch_ended and self.last_step == passed.step:
            # The row of an epoch's last step counts the epoch, as it does where a validation adds to that row.
            self.replace_last({**self.last, "epoch": passed.epoch})

    def collect(self, metrics: Mapping[str, float]) -> None:
        """Collect the values of a boundary, once."""
        if metrics is not self.seen:
            self.seen = metrics
            self.collected = {**self.collected, **metrics} if self.collected else metrics

    def make_row(self, passed: Passed) -> None:
        """Make the row of this step of what was collected, or add to it when it is there already."""
        step, epoch = passed.step, passed.epoch
        seconds = int(1000 * passed.elapsed_seconds) / 1000  # cheaper than round(), in a row of a few microseconds
        row = {"step": step, "epoch": epoch, "seconds": seconds, **self.collected}
        if len(row) != len(self.collected) + len(COUNTERS):
            row = {"step": step, "epoch": epoch, "seconds": seconds, **beside_counters(self.collected)}
        self.collected, self.due = {}, False
        if self.last_step == step:
            self.replace_last({**self.last, **row})
        else:
            self.last, self.last_step = row, step
            self.ready.append(row)

    def replace_last(self, row: Row) -> None:
        """Have *row* stand in the place of the last one, wherever that is by now."""
        self.last = row
        if self.ready:
            self.ready[-1] = row
        else:
            self.replacement = row

    def write_ready(self) -> None:
        """Write the rows that are ready; those that cannot be written stay so."""
        if self.table is None:
            return
        if self.replacement is not None:
            self.table.replace_last(self.replacement)
            self.replacement = None
        self.table.extend(self.ready)
        self.ready = []

    def flush(self) -> None:
        """Write the rows of all boundaries that were noted."""
        if self.bursts is not None:
            self.bursts.flush()
        self.write_ready()

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack, and when the next row is due. The rows of earlier steps are then in it."""
        self.flush()
        if self.run is not None:
            self.collect(self.run.fresh_metrics)
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
