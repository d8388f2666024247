"""One run of hookloop and its run of MLflow: put together from the options, and taken apart at the end."""

from __future__ import annotations

import getpass
import logging
import sys
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hookloop import __version__
from hookloop_mlflow import database
from hookloop_mlflow.addresses import is_database_server, is_server, without_password
from hookloop_mlflow.library import is_busy, quiet
from hookloop_mlflow.names import path_name
from hookloop_mlflow.params import digest, parameters
from hookloop_mlflow.sender import Beginning, Ending, Job, Sender
from hookloop_mlflow.spool import Item, Spool
from hookloop_mlflow.store import Store
from hookloop_mlflow.worker import Worker

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_mlflow.plugin import Mlflow

log = logging.getLogger("hookloop.mlflow")

STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}  # any other is KILLED


class Session:
    """What the hooks of one run share. All of it is for the thread that trains, and only ``finish`` waits."""

    def __init__(self, config: Mlflow.Config, run: Run, instance: str, environ: Mapping[str, str]) -> None:
        self.config = config
        self.uri = address(config.tracking_uri or environ.get("MLFLOW_TRACKING_URI"), run)
        name = "mlflow" if instance == "mlflow" else f"mlflow-{instance}"
        self.ledger = run.directory / f"{name}.json"
        self.spool = Spool(run.directory / f"{name}.spool")
        self.found = self.spool.count
        self.store = Store(self.uri, config.experiment or run.config.name)
        job = Job(
            ledger=self.ledger,
            name=config.run_name or run.directory.name,
            settings=digest(run.settings, instance),
            parameters=parameters(run.settings) if config.parameters else {},
            tags=tags_of(run, config.tags),
        )
        self.sender = Sender(self.store, job, self.spool)
        self.worker = Worker(self.sender, config.interval_seconds)
        self.unwritable = False

    def start(self) -> None:
        """Start the thread. What waits for nobody is done before, so that a mistake is an error."""
        with quiet():
            try:
                if is_server(self.uri):
                    self.store.connect()
                elif not is_database_server(self.uri):
                    self.store.open()
            except Exception as error:
                if not is_busy(error):
                    raise
        self.worker.start()

    def explain(self, error: Exception) -> str:
        """Return why the store cannot be used, and what to set."""
        reason = without_password(f"{type(error).__name__}: {error}").strip().rstrip(".")
        return f"MLflow cannot log to {without_password(self.uri)} ({reason}). Set 'tracking_uri' or 'experiment'."

    def begin_fit(self, run: Run) -> None:
        """Begin, or go on where an earlier attempt was; what a run that this one replaces has left is removed."""
        if run.attempt == 0:
            self.ledger.unlink(missing_ok=True)
            self.spool.discard(self.found)
        if self.config.parameters:
            self.put(run, "config.toml", run.directory / "config.toml")
        self.worker.begin(Beginning(run.history, run.step, fitting=True))

    def note_row(self, run: Run) -> None:
        """Let the thread know of a new row; outside of a fit, it is what an evaluation begins with."""
        if self.sender.beginning is None:
            self.worker.begin(Beginning(run.history, run.step, fitting=False))
        else:
            self.worker.wake()

    def put_step(self, run: Run, name: str, content: bytes, suffix: str) -> None:
        """Log *content* as a file of this step below *name*."""
        self.put(run, f"{path_name(name)}/{run.step:08}{suffix}", content)

    def put_figure(self, run: Run, name: str, figure: Any) -> None:
        """Log a figure as it looks now."""
        drawn = BytesIO()
        figure.savefig(drawn, format="png")
        self.put_step(run, f"figures/{name}", drawn.getvalue(), ".png")

    def put_image(self, run: Run, name: str, image: Any) -> None:
        """Log an image; the thread compresses it."""
        import numpy as np

        pixels = BytesIO()
        np.save(pixels, image.numpy())
        self.put(run, name, pixels.getvalue(), kind="image")

    def put(self, run: Run, name: str, content: bytes | Path, kind: Any = "artifact") -> None:
        """Put something in the spool; where that cannot be written, say so once, and go on."""
        try:
            self.spool.put(Item(kind, path_name(name), run.step, int(1000 * time.time())), content)
        except OSError as error:
            if not self.unwritable:
                self.unwritable = True
                log.warning("%s is not logged to MLflow: %s", name, error)
        else:
            self.worker.wake()

    def finish(self, run: Run, outcome: str, error: str) -> None:
        """Send the rest, and say what could not be sent."""
        begun = self.sender.beginning
        if begun is not None and begun.fitting:
            self.put_checkpoints(run)
        elif begun is None and outcome in ("completed", "stopped") and self.spool.count > self.found:
            self.worker.begin(Beginning(run.history, run.step, fitting=False))
        tags = {"hookloop.outcome": outcome, "hookloop.stop_reason": run.stop_reason, "hookloop.error": error}
        given = {name: value for name, value in tags.items() if value}
        if not self.worker.finish(Ending(STATUS.get(outcome, "KILLED"), given), self.config.drain_seconds):
            self.say_what_is_left(run)
        self.spool.close()

    def put_checkpoints(self, run: Run) -> None:
        """Log the checkpoints that were asked for."""
        paths = {"best": run.best_checkpoint, "last": run.last_checkpoint}
        for path in dict.fromkeys(paths[which] for which in self.config.checkpoints):
            if path is not None:
                self.put(run, f"checkpoints/{path.name}", path)

    def say_what_is_left(self, run: Run) -> None:
        """Say what MLflow does not have, and where it is."""
        rows, items = self.sender.rows_left(), len(self.spool.folders())
        log.warning(
            "MLflow at %s has not got everything: %d rows of metrics.jsonl and %d artifacts in %s wait until this run "
            "is resumed%s",
            *(without_password(self.uri), rows, items, self.spool.directory.name),
            f". {self.worker.stopped}" if self.worker.stopped else "",
        )


def address(given: str | None, run: Run) -> str:
    """Return where to log: what was *given*, or else the database that the runs share."""
    if not given:
        return database.default_uri(run.directory, Path(run.config.runs_dir))
    return database.absolute(given)


def tags_of(run: Run, given: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a run: MLflow's own for who started what, ours, and those that were *given*."""
    tags = {
        "mlflow.user": user_name(),
        "mlflow.source.name": PurePosixPath(Path(sys.argv[0]).as_posix()).name or "python",
        "mlflow.source.type": "LOCAL",
        "hookloop.version": __version__,
        "hookloop.directory": str(run.directory.absolute()),
    }
    return {**tags, **given}


def user_name() -> str:
    """Return who runs this; a container may have no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
