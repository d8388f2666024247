"""Rows of the plugin ``csv`` as Keras's CSVLogger writes them: one an epoch, counted from 0, by Keras's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop_csv.table import WAY_OUT, Row, Table, TableError

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_csv.plugin import MetricsCsv


class EpochRows:
    """Writes a row when an epoch has ended: means of the epoch for what is logged in training, else newest values."""

    def __init__(self, config: MetricsCsv.Config) -> None:
        self.config = config
        self.run: Run | None = None
        self.seen: Mapping[str, float] = {}
        self.table: Table | None = None
        self.names = Names()
        self.means: dict[str, Mean] = {}
        self.newest: dict[str, float] = {}
        self.samples = 0
        self.last: Row = {}
        self.last_step = 0
        self.epoch = 0

    def start(self, run: Run, saved: Mapping[str, Any] | None) -> None:
        """Go back to the epoch that training goes on in: rows of later epochs are dropped, and come again."""
        self.run, self.samples, self.epoch = run, run.samples, run.epoch
        self.table = Table(
            run.directory / self.config.file,
            ("epoch",),
            separator=self.config.separator,
            missing=self.config.missing,
        )
        if saved is not None:
            self.load(saved)
        # The row of the boundary where the state was saved may have got more since then; the state has what it had.
        rewrites = bool(self.last) and self.last_step == run.step
        kept = epoch_of(self.last) if rewrites else self.epoch
        self.table.open(lambda row: epoch_of(checked(row, self.config.file)) < kept)
        if rewrites:
            self.table.append(self.last)
        self.report(run)

    def collect(self, run: Run) -> None:
        """Take what is new into the row of the epoch; what is of training weighs as many samples as it is of."""
        if run.fresh_metrics is self.seen or not run.fresh_metrics:
            return
        self.seen = run.fresh_metrics
        weight, self.samples = run.samples - self.samples, run.samples
        for name, value in self.seen.items():
            if name.startswith("train/"):
                self.means.setdefault(name, Mean()).add(value, weight)
            else:
                self.newest[name] = value

    def report(self, run: Run) -> None:
        """Write the row of an epoch that has ended, or add to it what came before the next one began."""
        self.collect(run)
        ended, self.epoch = run.epoch != self.epoch, run.epoch
        if self.table is None:
            self.means, self.newest = {}, {}  # an evaluation on its own, which Keras does not write either
        elif ended:
            self.last, self.last_step = self.row({"epoch": run.epoch - 1}), run.step
            self.table.append(self.last)
        elif self.last and self.last_step == run.step and (self.means or self.newest):
            self.last = self.row(self.last)
            self.table.replace_last(self.last)

    def close(self) -> None:
        """Close the file."""
        if self.table is not None:
            self.table.close()

    def row(self, begun: Row) -> Row:
        """Return *begun* with what was collected, and collect anew."""
        values = {**{name: mean.value() for name, mean in self.means.items()}, **self.newest}
        columns = self.names.of(values)
        row: dict[str, float | str] = dict(sorted((columns[name], value) for name, value in values.items()))
        if self.table is not None and self.table.columns == ["epoch"]:
            row |= dict.fromkeys(self.twins(columns), self.config.missing)
        self.means, self.newest = {}, {}
        return {**begun, **row}

    def twins(self, columns: Mapping[str, str]) -> list[str]:
        """Return a column for the validation of each metric of training, where the first row has no validation."""
        if any(column.startswith("val_") for column in columns.values()):
            return []
        return sorted(f"val_{column}" for name, column in columns.items() if name.startswith("train/"))

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.names = Names(dict(saved["names"]))
        self.means = {name: Mean(*parts) for name, parts in saved["means"].items()}
        self.newest, self.last = dict(saved["newest"]), dict(saved["last"])
        self.samples, self.last_step, self.epoch = saved["samples"], saved["last_step"], saved["epoch"]

    def state_dict(self) -> dict[str, Any]:
        """Return what the file may lack."""
        if self.run is not None:
            self.collect(self.run)
        return {
            "names": dict(self.names.columns),
            "means": {name: mean.parts() for name, mean in self.means.items()},
            "newest": dict(self.newest),
            "samples": self.samples,
            "last": dict(self.last),
            "last_step": self.last_step,
            "epoch": self.epoch,
        }


class Mean:
    """The mean of values, weighted by samples; one value alone is given back as it was."""

    def __init__(self, total: float = 0.0, weight: int = 0, count: int = 0, newest: float = 0.0) -> None:
        self.total, self.weight, self.count, self.newest = total, weight, count, newest

    def add(self, value: float, weight: int) -> None:
        """Take *value* in; one without weight counts only while there is no other."""
        if weight or not self.weight:
            self.count = self.count + 1 if self.weight else 1
            self.newest = value
            self.total += value * weight if weight else 0.0
            self.weight += weight

    def value(self) -> float:
        """Return the mean."""
        return self.newest if self.count == 1 else self.total / self.weight

    def parts(self) -> list[float]:
        """Return the arguments that make the same mean."""
        return [self.total, self.weight, self.count, self.newest]


class Names:
    """The column of each metric: given once, so that a value is never under another metric's name."""

    def __init__(self, columns: dict[str, str] | None = None) -> None:
        self.columns = columns or {}

    def of(self, names: Iterable[str]) -> Mapping[str, str]:
        """Return the column of each of *names*; where Keras's name is taken, a metric keeps its own."""
        names = sorted(names, key=lambda name: ("/" not in name, name))
        for name in names:
            if name not in self.columns:
                taken = {"epoch", *self.columns.values()}
                wanted = (keras_name(name), name, f"logged/{name}")
                self.columns[name] = next(column for column in wanted if column not in taken)
        return {name: self.columns[name] for name in names}


def keras_name(name: str) -> str:
    """Return what Keras calls the metric *name*."""
    group, slash, rest = name.partition("/")
    if not slash or not rest:
        return name
    return {"train": rest, "val": f"val_{rest}", "lr": "learning_rate"}.get(group, name)


def checked(row: Row, file: str) -> Row:
    """Return *row* if it is one of a table of epochs, else raise TableError."""
    if not str(row.get("epoch", "")).isdecimal() or "step" in row:
        raise TableError(f"{file} holds something else than one row an epoch in Keras's layout. {WAY_OUT}")
    return row


def epoch_of(row: Row) -> int:
    """Return the epoch of a row, which is a text when it was read."""
    return int(row["epoch"])
