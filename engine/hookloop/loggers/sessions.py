"""The plugin part of a logger that keeps one run of a tracking service for each run directory."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hookloop.loggers.rows import Row, Rows
from hookloop.markers import hookimpl
from hookloop.row_log import COUNTERS, column

if TYPE_CHECKING:
    from hookloop.run import Run


class LogSession(Protocol):
    """An open run of a tracking service. ``count`` is how many rows it was given, those of earlier attempts included.

    None of its methods waits for the service, and none raises because of it. Names are as in `hookloop.loggers.column`.
    """

    id: str
    count: int

    def go_back(self, rows: int, /) -> Container[int]:
        """Forget what was logged after the first *rows* rows; return the steps whose metrics the service has."""

    def log_row(self, row: Row, /) -> None:
        """Log a row of metrics, with its ``step`` and ``epoch``."""

    def log_text(self, step: int, name: str, text: str, /) -> None:
        """Log *text*."""

    def log_image(self, step: int, name: str, pixels: Any, /) -> None:
        """Log *pixels*, an array (H, W, C) of bytes, which nobody else has."""

    def log_figure(self, step: int, name: str, figure: Any, /) -> None:
        """Log a figure, which is its owner's again afterwards."""

    def log_histogram(self, step: int, name: str, values: Any, /) -> None:
        """Log how *values*, a flat tensor on the CPU that nobody else has, are distributed."""

    def log_artifact(self, name: str, path: Path, /) -> None:
        """Log what is at *path* now: a file or a directory."""

    def log_checkpoint(self, path: Path, /) -> None:
        """Log the snapshot at *path* as an artifact of type ``model``."""

    def close(self, step: int, outcome: str, reason: str, /) -> None:
        """Log how the run ended, and why, and let go of the service."""


class SessionLogger(ABC):
    """Logs to one run of a service what a run directory holds, however often that run is killed and resumed.

    The state says how many rows were handed over when a checkpoint was written. A resumed run drops those after them,
    and logs those again that the service had not taken when the process was killed, from the engine's own log. A
    subclass says how the service's run is opened, which names are its own, and whether checkpoints are logged.
    """

    role = "observer"
    reserved: Container[str] = COUNTERS
    log_checkpoints = False

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def open(self, run: Run, instance: str) -> LogSession | None:
        """Open the service's run of the plugin instance *instance*; None to log nothing.

        Raises ConfigError for what the user can mend.
        """

    def reset(self) -> None:
        """Begin with nothing logged."""
        self.session: Any = None  # a LogSession, with whatever else a subclass gives it
        self.rows = Rows(self.hand_over, self.reserved)
        self.error = ""
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Open the service's run."""
        self.reset()
        if run.rank == 0:
            self.session = self.open(run, run.plugins.name_of(self))

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go back to the step that training goes on from, and log again what got lost."""
        saved, self.saved = self.saved, None
        if self.session is None:
            return
        same = saved is not None and saved["id"] == self.session.id
        logged = self.session.go_back(saved["rows"] if saved is not None and same else 0)
        self.rows.catch_up(run.history, run.step, logged)

    @hookimpl
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Add to the row of this step."""
        if self.session is not None:
            self.rows.add(run.step, run.epoch, metrics)

    @hookimpl
    def on_step_start(self) -> None:
        """Log the row of the step before, to which nothing can be added any more."""
        if self.rows.pending:
            self.rows.flush()

    @hookimpl
    def log_text(self, run: Run, name: str, text: str) -> None:
        """Log a text."""
        if self.session is not None:
            self.session.log_text(run.step, column(name, self.reserved), text)

    @hookimpl
    def log_image(self, run: Run, name: str, image: Any) -> None:
        """Log pixels; they are copied here, as they may change afterwards."""
        if self.session is not None:
            self.session.log_image(run.step, column(name, self.reserved), image.numpy().copy())

    @hookimpl
    def log_figure(self, run: Run, name: str, figure: Any) -> None:
        """Log a figure."""
        if self.session is not None:
            self.session.log_figure(run.step, column(name, self.reserved), figure)

    @hookimpl
    def log_histogram(self, run: Run, name: str, values: Any) -> None:
        """Log how values are distributed; they are copied here, as they may change afterwards."""
        if self.session is not None:
            copied = values.to("cpu", copy=True).flatten()
            self.session.log_histogram(run.step, column(name, self.reserved), copied)

    @hookimpl
    def log_artifact(self, run: Run, name: str, path: Path) -> None:
        """Log a file or directory."""
        if self.session is not None:
            self.session.log_artifact(name, path)

    @hookimpl
    def on_exception(self, error: BaseException) -> None:
        """Remember why the run ended."""
        self.error = f"{type(error).__name__}: {error}"

    @hookimpl
    def on_run_end(self, run: Run, outcome: str) -> None:
        """Log what is left and how it went, and let go of the service."""
        session = self.session
        if session is None:
            return
        self.rows.flush()
        best = run.best_checkpoint or run.last_checkpoint
        if self.log_checkpoints and best is not None:
            session.log_checkpoint(best)
        self.session = None
        session.close(run.step, outcome, self.error or (run.stop_reason or ""))

    def hand_over(self, row: Row) -> None:
        """Have *row* logged."""
        if self.session is not None:
            self.session.log_row(row)

    def state_dict(self) -> dict[str, Any]:
        """Return which run of the service this is, and how many rows it was given."""
        if self.saved is not None:
            return dict(self.saved)
        return {} if self.session is None else {"id": self.session.id, "rows": self.session.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state or None


def lasting_id(run: Run, instance: str, make: Callable[[], str]) -> str:
    """Return the id that the plugin instance has in the run's directory: what *make* returns, unless it is resumed."""
    file = run.directory / f"{instance}.json"
    if run.attempt and file.exists():
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    made = make()
    file.write_text(json.dumps({"id": made}) + "\n", encoding="utf-8")
    return made


def safe_name(name: str) -> str:
    """Return *name* in at most 120 letters, digits, ``-``, ``_`` and ``.``, as services want artifacts named."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in name)[:120]
