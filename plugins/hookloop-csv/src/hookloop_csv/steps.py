"""Rows of the plugin ``csv`` in its own layout: one a step at most, with counters and all metrics by their names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookloop import Interval, Trigger
from hookloop.loggers import column
from hookloop_csv.table import WAY_OUT, Row, Table, TableError

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_csv.plugin import MetricsCsv

COUNTERS = ("step", "epoch", "seconds")
RESERVED = (*COUNTERS, "time")  # here, or in a row that was logged
EACH_STEP = Interval(1, "step")


class StepRows:
    """Writes each row that was logged, or as often as ``every`` says one of the newest values.

    What is logged at the end of an epoch joins the row of the epoch's last step.
    """

    def __init__(self, config: MetricsCsv.Config) -> None:
        self.config = config
        # A row is of one step in any case, so all of them are what each step's would be.
        self.every = config.every if config.every != EACH_STEP else None
        self.run: Run | None = None
        self.table: Table | None = None
        self.last: Row = {}
        self.last_step = -1
        self.replacement: Row | None = None  # for the last row of the file, which it is not in yet
        self.ready: list[Row] = []  # to be written behind that
        # For rows of the newest values.
        self.trigger: Trigger | None = None
        self.seen: Mapping[str, float] = {}  # what was collected last
        self.collected: dict[str, float] = {}
        self.due = False
        self.epoch = 0

    def start(self, run: Run, saved: Mapping[str, Any] | None) -> None:
        """Go back to the step that training goes on from: rows of later steps are dropped, and come again."""
        self.run = run
        self.trigger = Trigger(self.every) if self.every is not None else None
        self.epoch = run.epoch
        # A run from the start has no rows yet, and a saved state knows the row of its own step better than the file.
        first_dropped = run.step if saved is not None or run.step == 0 else run.step + 1
        self.open(run, lambda row: step_of(row) < first_dropped)
        if saved is not None:
            self.go_on(run, saved)

    def open(self, run: Run, keep: Callable[[Row], bool]) -> None:
        """Open the file, with those of its rows that are to be kept."""
        path, config = run.directory / self.config.file, self.config
        table = self.table = Table(path, COUNTERS, separator=config.separator, missing=config.missing)
        found = table.open(lambda row: keep(checked(row, table)))
        if found is not None:
            self.last, self.last_step = found, step_of(found)

    def go_on(self, run: Run, saved: Mapping[str, Any]) -> None:
        """Do what was still to be done at the boundary where the state was saved."""
        if self.trigger is not None and saved["trigger"] is not None:
            self.trigger.load_state_dict(saved["trigger"])
        self.collected, self.due = dict(saved["collected"]), saved["due"]
        self.epoch = saved["epoch"]
        if saved["last"] and step_of(saved["last"]) == run.step:
            self.last, self.last_step = saved["last"], run.step
            self.ready.append(self.last)
        self.report(run)
        self.write_ready()

    def write_all(self, run: Run, rows: Sequence[Mapping[str, float]]) -> None:
        """Write *rows*, which were logged."""
        if self.table is None:  # an evaluation on its own
            self.open(run, lambda row: True)
        began = time.time() - run.elapsed_seconds
        for logged in rows:
            row = {**logged, "seconds": rounded(logged["time"] - began)}
            if len(row) == len(logged):
                row = {**row, "logged/seconds": logged["seconds"]}
            del row["time"]
            self.add(row)
        self.write_ready()

    def add(self, row: Row) -> None:
        """Write *row* as a new one, or add it to the last when that is of the same step."""
        if self.last_step == row["step"]:
            self.replace_last({**self.last, **row})
        else:
            self.last, self.last_step = row, row["step"]
            self.ready.append(row)

    def end_epoch(self, run: Run) -> None:
        """Have the row of the epoch's last step count the epoch, as it does where a validation adds to that row."""
        if self.last_step == run.step:
            self.replace_last({**self.last, "epoch": run.epoch})

    def report(self, run: Run) -> None:
        """Collect what was logged at this boundary, and write a row if it is time to and there is something in it."""
        self.collect(run)
        trigger, epoch_ended = self.trigger, run.epoch != self.epoch
        self.epoch = run.epoch
        if trigger is not None and (trigger.due_at_epoch(run) if epoch_ended else trigger.due(run)):
            self.due = True
        if self.collected and (self.due or trigger is None):
            collected, self.collected, self.due = self.collected, {}, False
            if self.table is None:
                self.open(run, lambda row: True)
            seconds = rounded(run.elapsed_seconds)
            metrics = {column(name, RESERVED): value for name, value in collected.items()}
            self.add({"step": run.step, "epoch": run.epoch, "seconds": seconds, **metrics})
            self.write_ready()
        elif epoch_ended:
            self.end_epoch(run)

    def collect(self, run: Run) -> None:
        """Collect the values of a boundary, once."""
        if run.fresh_metrics is not self.seen:
            self.seen = run.fresh_metrics
            self.collected |= self.seen

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

    def close(self) -> None:
        """Write what is ready, and close the file."""
        if self.table is not None:
            try:
                self.write_ready()
            finally:
                self.table.close()

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack, and when the next row is due. The rows of earlier steps are then in it."""
        self.write_ready()
        if self.run is not None and self.trigger is not None:
            self.collect(self.run)
        return {
            "collected": dict(self.collected),
            "last": dict(self.last),
            "due": self.due,
            "epoch": self.epoch,
            "trigger": None if self.trigger is None else self.trigger.state_dict(),
        }


def rounded(seconds: float) -> float:
    """Return *seconds* in whole thousandths; cheaper than round(), in a row of a microsecond."""
    return int(1000 * seconds + 0.5) / 1000


def checked(row: Row, table: Table) -> Row:
    """Return *row* if it is one of a metrics table, else raise TableError."""
    if not str(row.get("step", "")).isdecimal():
        raise TableError(f"{table.path} holds something else than metrics: a row has no 'step'. {WAY_OUT}")
    return row


def step_of(row: Row) -> int:
    """Return the step of a row, which is a text when it was read."""
    return int(row["step"])
