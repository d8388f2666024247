"""The plugin ``csv``: the metrics of a run as one table, with one row a step at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop import Interval, PluginConfig, Trigger, hookimpl
from hookloop_csv.options import File, Separator, check_alone
from hookloop_csv.table import WAY_OUT, Row, Table, TableError

if TYPE_CHECKING:
    from hookloop import Run

COUNTERS = frozenset(("step", "epoch", "seconds"))


class MetricsCsv:
    """Writes what was logged: a row at each logging boundary, or as often as ``every`` says.

    What is logged at the end of an epoch joins the row of the epoch's last step. A row is on disk as soon as there is
    one. The state holds what the file may lack when a checkpoint is written, which is before the row of its step, so a
    run that was killed and resumed ends with the table of one that never stopped.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.csv]``."""

        file: File = "metrics.csv"
        """Where to write, inside of the run directory."""

        every: Interval | None = None
        """How often to write a row, such as `50 steps` or `1 epoch`; without it, whenever metrics are logged, which
        `run.log_every` says. A row has the newest values since the last one. When there are none, it waits for them."""

        separator: Separator = ","
        """What stands between two values: one character."""

        missing: str = "NA"
        """What stands for a value that a row lacks."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing collected and nothing written."""
        self.table: Table | None = None
        self.trigger: Trigger | None = None
        self.collected: dict[str, float] = {}
        self.last: Row = {}
        self.due = False
        self.epoch = 0
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset()
        check_alone(self, run)

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go back to the step that training goes on from: rows of later steps are dropped, and come again."""
        saved, self.saved = self.saved, None
        if run.rank != 0:
            return
        self.trigger = Trigger(self.config.every) if self.config.every is not None else None
        self.epoch = run.epoch
        # A run from the start has no rows yet, and a saved state knows the row of its own step better than the file.
        first_dropped = run.step if saved is not None or run.step == 0 else run.step + 1
        self.open(run, lambda row: step_of(row) < first_dropped)
        if saved is not None:
            self.go_on(run, saved)

    @hookimpl
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Collect the newest values."""
        if run.rank == 0:
            self.collected.update(metrics)

    @hookimpl
    def report(self, run: Run) -> None:
        """Write a row if it is time to and there is something to write."""
        trigger, epoch_ended = self.trigger, run.epoch != self.epoch
        self.epoch = run.epoch
        if trigger is not None and (trigger.due_at_epoch(run) if epoch_ended else trigger.due(run)):
            self.due = True
        if self.collected and (self.due or trigger is None):
            self.write(run)
        elif epoch_ended:
            self.count_epoch(run)

    @hookimpl
    def on_run_end(self) -> None:
        """Close the file, however the run ended."""
        if self.table is not None:
            self.table.close()

    def open(self, run: Run, keep: Callable[[Row], bool]) -> Table:
        """Open the file, with those of its rows that are to be kept."""
        path, config = run.directory / self.config.file, self.config
        table = Table(path, ("step", "epoch", "seconds"), separator=config.separator, missing=config.missing)
        self.table = table
        found = table.open(lambda row: keep(checked(row, table)))
        self.last = found if found is not None and step_of(found) == run.step else {}
        return table

    def go_on(self, run: Run, saved: Mapping[str, Any]) -> None:
        """Do what was still to be done at the boundary where the state was saved."""
        if self.trigger is not None and saved["trigger"] is not None:
            self.trigger.load_state_dict(saved["trigger"])
        self.collected, self.due, self.epoch = dict(saved["collected"]), saved["due"], saved["epoch"]
        if self.table is not None and saved["last"] and step_of(saved["last"]) == run.step:
            self.last = saved["last"]
            self.table.append(self.last)
        self.report(run)

    def write(self, run: Run) -> None:
        """Write the row of this step, or add to it when it is there already."""
        table = self.table or self.open(run, lambda row: True)
        seconds = int(1000 * run.elapsed_seconds) / 1000  # cheaper than round(), in a row of some ten microseconds
        row = {"step": run.step, "epoch": run.epoch, "seconds": seconds, **self.values()}
        if self.last and step_of(self.last) == run.step:
            row = {**self.last, **row}
            table.replace_last(row)
        else:
            table.append(row)
        self.last, self.collected, self.due = row, {}, False

    def count_epoch(self, run: Run) -> None:
        """Let the row of an epoch's last step count the epoch, as it does where a validation adds to that row."""
        if self.table is not None and self.last and step_of(self.last) == run.step:
            self.last = {**self.last, "epoch": run.epoch}
            self.table.replace_last(self.last)

    def values(self) -> Mapping[str, float]:
        """Return what was collected, by column: a metric with the name of a counter goes under ``logged/``."""
        if COUNTERS.isdisjoint(self.collected):
            return self.collected
        return {f"logged/{name}" if name in COUNTERS else name: value for name, value in self.collected.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack, and when the next row is due."""
        if self.saved is not None:
            return dict(self.saved)
        return {
            "collected": dict(self.collected),
            "last": dict(self.last),
            "due": self.due,
            "epoch": self.epoch,
            "trigger": None if self.trigger is None else self.trigger.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state


def checked(row: Row, table: Table) -> Row:
    """Return *row* if it is one of a metrics table, else raise TableError."""
    if not str(row.get("step", "")).isdecimal():
        raise TableError(f"{table.path} holds something else than metrics: a row has no 'step'. {WAY_OUT}")
    return row


def step_of(row: Row) -> int:
    """Return the step of a row, which is a text when it was read."""
    return int(row["step"])
