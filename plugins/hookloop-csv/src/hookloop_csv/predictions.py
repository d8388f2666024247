"""The plugin ``predictions``: what a model predicts as a table, a row or more for each sample."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import PluginConfig, check_function_location, hookimpl, import_function
from hookloop_csv.options import File, Separator, check_alone
from hookloop_csv.rows import output_rows, to_cpu, user_rows
from hookloop_csv.shares import Places, merge, share_path
from hookloop_csv.table import Table

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.predictions")


class PredictionsCsv:
    """Writes the rows of each predicted batch; each prediction begins the file anew.

    Of several processes each writes its share to a file of its own, and when all have done so, rank 0 makes one of
    them. Shares of a prediction that failed stay where they are.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.predictions]``."""

        file: File = "predictions.csv"
        """Where to write, inside of the run directory. Of several processes, rank N writes its share to
        `predictions.rankN.csv` first."""

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
        self.function: Callable[..., Any] | None = None
        self.reset()

    def reset(self) -> None:
        """Begin with nothing open and nothing counted."""
        self.table: Table | None = None
        self.places: Places | None = None
        self.samples = 0

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find the user's function before anything is built."""
        self.reset()
        check_alone(self, run)
        if self.config.rows is not None:
            self.function = import_function(self.config.rows)

    @hookimpl
    def on_predict_start(self, run: Run) -> None:
        """Begin the file."""
        path = run.directory / self.config.file
        if run.world_size > 1:
            if run.rank == 0:
                path.unlink(missing_ok=True)  # that of an earlier prediction must not pass for this one
            path = share_path(path, run.rank)
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
        if run.world_size > 1:
            self.place(run, batch, rows)
        self.table.extend(rows)

    @hookimpl
    def on_predict_end(self, run: Run) -> None:
        """Close the file, and make one of those of all processes."""
        self.close()
        if run.world_size > 1:
            self.join(run)

    @hookimpl
    def on_run_end(self) -> None:
        """Close the file of a prediction that failed; what was written stays."""
        self.close()

    def close(self) -> None:
        """Close the file if it is open."""
        if self.table is not None:
            self.table.close()
            self.table = None

    def place(self, run: Run, batch: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Note where in the dataset *rows* belong. Where that is known, it is what ``sample`` says."""
        if self.places is None:  # not before the loader's epoch is set
            self.places = Places(run.loaders["predict"])
        indices = self.places.take(len(rows), run.task.batch_size(batch))
        if indices is not None and self.function is None:
            for row, index in zip(rows, indices, strict=True):
                row["sample"] = index

    def join(self, run: Run) -> None:
        """Wait for the shares of all processes, and let rank 0 make one file of them."""
        group = meeting_place(run)
        if group is None:
            log.warning("there is no process group: each process leaves its predictions in a file of its own")
            return
        import torch.distributed

        everyones: list[Any] = [None] * run.world_size
        mine, self.places = self.places, None
        torch.distributed.all_gather_object(everyones, None if mine is None else mine.found, group=group)
        try:
            if run.rank == 0:
                path, config = run.directory / self.config.file, self.config
                counts = self.function is None
                merge(path, everyones, separator=config.separator, missing=config.missing, counts=counts)
        finally:
            torch.distributed.barrier(group=group)  # until then the file is not there


def meeting_place(run: Run) -> Any:
    """Return a process group of all ranks that talk from host to host, or None when there is none."""
    if run.host_group is not None:
        return run.host_group
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.new_group(backend="gloo")  # a plugin has made a group after the run began
    return None
