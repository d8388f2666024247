"""The plugin ``csv``: the metrics of a run as one table, a row a step at most, or an epoch as Keras has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from hookloop import Interval, PluginConfig, hookimpl
from hookloop_csv.epochs import EpochRows
from hookloop_csv.options import File, Separator, check_alone
from hookloop_csv.steps import StepRows

if TYPE_CHECKING:
    from hookloop import Run


class MetricsCsv:
    """Writes what was logged: a row at each logging boundary, as often as ``every`` says, or at the end of each epoch.

    A row is on disk as soon as there is one, or a tenth of a second later where they come fast. The state holds what
    the file may lack when a checkpoint is written, which is before the row of its step, so a run that was killed and
    resumed ends with the table of one that never stopped.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.csv]``."""

        file: File = "metrics.csv"
        """Where to write, inside of the run directory."""

        layout: Literal["steps", "keras"] = "steps"
        """`steps` has a row a step at most, with all metrics by their names; `keras` has the layout of Keras's
        `CSVLogger`: a row an epoch, with the columns `epoch`, from 0, `loss`, `val_loss` and so on."""

        every: Interval | None = None
        """How often to write a row, such as `50 steps` or `1 epoch`; without it, whenever metrics are logged, which
        `run.log_every` says; `1 step` is the same. A row has the newest values since the last one. When there are none,
        it waits for them."""

        separator: Separator = ","
        """What stands between two values: one character."""

        missing: str = "NA"
        """What stands for a value that a row lacks."""

        @model_validator(mode="after")
        def rows_of_one_kind(self) -> MetricsCsv.Config:
            """Raise ValueError for an interval in a layout that has its own."""
            if self.layout == "keras" and self.every is not None:
                raise ValueError("the layout 'keras' has a row for each epoch: leave 'every' out")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rows: StepRows | EpochRows = StepRows(config)
        takes_all = config.layout == "steps" and self.rows.every is None
        # Of two ways to the same file; and a hook without work costs each step.
        vars(self).update(dict.fromkeys(("report",) if takes_all else ("write_rows", "on_epoch_end")))
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, if this instance has seen one."""
        self.rows = EpochRows(self.config) if self.config.layout == "keras" else StepRows(self.config)
        self.saved = None
        check_alone(self, run)

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go back to where training goes on from: later rows are dropped, and come again."""
        saved, self.saved = self.saved, None
        if run.rank == 0:
            # A state of the other layout is of no use here; a file of it is an error that says so.
            self.rows.start(run, saved if saved is not None and saved["layout"] == self.config.layout else None)

    @hookimpl
    def write_rows(self, run: Run, rows: Sequence[Mapping[str, float]]) -> None:
        """Write all rows that were logged."""
        if run.rank == 0 and isinstance(self.rows, StepRows):
            self.rows.write_all(run, rows)

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """Have the row of an epoch's last step count the epoch."""
        if run.rank == 0 and isinstance(self.rows, StepRows):
            run.flush_rows()
            self.rows.end_epoch(run)

    @hookimpl
    def report(self, run: Run) -> None:
        """Write a row if it is time to and there is something to write."""
        if run.rank == 0:
            self.rows.report(run)

    @hookimpl
    def on_run_end(self) -> None:
        """Close the file, however the run ended."""
        self.rows.close()

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack, and when the next row is due."""
        if self.saved is not None:
            return dict(self.saved)
        return {"layout": self.config.layout, **self.rows.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state
