"""The plugin ``predictions``: what a model predicts as a table, a row or more for each sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import PluginConfig, check_function_location, hookimpl, import_function
from hookloop_csv.options import File, Separator, check_alone
from hookloop_csv.rows import output_rows, to_cpu, user_rows
from hookloop_csv.table import Table

if TYPE_CHECKING:
    from hookloop import Run


class PredictionsCsv:
    """Writes the rows of each predicted batch; each prediction begins the file anew."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.predictions]``."""

        file: File = "predictions.csv"
        """Where to write, inside of the run directory. With several processes, that of rank N > 0 writes its share to
        `predictions.rankN.csv`."""

        rows: Annotated[str, AfterValidator(check_function_location)] | None = None
        """Your function, as `path/to/file.py:function` or `module:function`. It is called with `(batch, output)`, the
        output on the CPU, and returns the rows: mappings, sequences or single values. Without it, a row is the number
        of the sample and the output's values: `sample`, `output_0`, `output_1`, …"""

        header: tuple[str, ...] | None = Field(None, min_length=1)
        """The names of the columns, needed for none; without it, mappings name their own, and sequences have `value_0`,
        `value_1`, …"""

        separator: Separator = ","
        """What stands between two values: one character."""

        missing: str = "NA"
        """What stands for a value that a row lacks."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.table: Table | None = None
        self.function: Callable[..., Any] | None = None
        self.samples = 0

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find the user's function before anything is built."""
        self.table, self.samples = None, 0
        check_alone(self, run)
        if self.config.rows is not None:
            self.function = import_function(self.config.rows)

    @hookimpl
    def on_predict_start(self, run: Run) -> None:
        """Begin the file."""
        path = of_rank(run.directory / self.config.file, run.rank)
        columns = self.config.header or ()
        self.table = Table(path, columns, separator=self.config.separator, missing=self.config.missing)
        self.table.create()

    @hookimpl
    def on_predict_batch_end(self, run: Run, batch: Any, output: Any) -> None:
        """Write the rows of a batch."""
        if self.table is None:
            return
        output = to_cpu(output)
        if self.function is not None:
            name = self.config.rows or ""
            rows = user_rows(self.function(batch, output), self.config.header, name)
        else:
            rows = output_rows(output, self.samples)
            self.samples += len(rows)
        self.table.extend(rows)

    @hookimpl
    def on_predict_end(self) -> None:
        """Close the file."""
        self.close()

    @hookimpl
    def on_run_end(self) -> None:
        """Close the file of a prediction that failed; what was written stays."""
        self.close()

    def close(self) -> None:
        """Close the file if it is open."""
        if self.table is not None:
            self.table.close()
            self.table = None


def of_rank(path: Path, rank: int) -> Path:
    """Return the file for the process of *rank*."""
    return path if rank == 0 else path.with_name(f"{path.stem}.rank{rank}{path.suffix}")
