"""One trackio run: opened, fed from a thread of its own, taken back to a checkpoint, and closed."""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hookloop.loggers import Row, Worker, lasting_id, safe_name
from hookloop_trackio.opening import begin, library, quiet
from hookloop_trackio.storage import go_back

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_trackio.plugin import Trackio

log = logging.getLogger("hookloop.trackio")

LEVELS = {"completed": "info", "stopped": "info", "failed": "error"}
PATIENCE_SECONDS = 60.0
BINS = 64


def open_session(config: Trackio.Config, run: Run, instance: str) -> Session:
    """Return the trackio run of the instance *instance*."""
    trackio = library(config.directory)
    opened, database = begin(config, run, lasting_id(run, instance, lambda: uuid.uuid4().hex))
    log.info("trackio: run %s of project %s is in %s", opened.name, opened.project, database)
    session = Session(trackio, opened, database)
    session.worker.start()
    return session


class Session:
    """An open trackio run. ``count`` is how many rows it was given, those of earlier attempts included."""

    def __init__(self, trackio: ModuleType, opened: Any, database: Path) -> None:
        self.trackio = trackio
        self.run = opened
        self.id: str = opened.id
        self.database = database
        self.count = 0
        self.worker = Worker("hookloop-trackio", self.failed)

    def go_back(self, rows: int) -> set[int]:
        """Forget what was logged after the first *rows* rows; return the steps whose metrics trackio has."""
        try:
            kept = go_back(self.database, self.id, rows)
        except Exception as error:
            self.failed(error)
            return set()
        self.count = kept.count
        return kept.steps

    def log_row(self, row: Row) -> None:
        """Log a row of metrics."""
        values = dict(row)
        self.give(values.pop("step"), lambda: values)

    def give(self, step: int, make: Callable[[], Row]) -> None:
        """Have what *make* returns, on the thread of this session, logged as a row."""
        self.count += 1
        self.worker.do(lambda: self.run.log(make(), step=step))

    def log_text(self, step: int, name: str, text: str) -> None:
        """Log *text*."""
        self.give(step, lambda: {name: self.trackio.Markdown(text)})

    def log_image(self, step: int, name: str, pixels: Any) -> None:
        """Log *pixels*, an array (H, W, C) of bytes."""
        self.give(step, lambda: {name: self.trackio.Image(image_of(pixels))})

    def log_figure(self, step: int, name: str, figure: Any) -> None:
        """Draw *figure* now, and log the image."""
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        self.give(step, lambda: {name: self.trackio.Image(image_of(drawn))})

    def log_histogram(self, step: int, name: str, values: Any) -> None:
        """Log how *values*, a flat tensor on the CPU, are distributed; what is not finite is left out."""
        self.give(step, lambda: {name: self.trackio.Histogram(values.double().numpy(), num_bins=BINS)})

    def log_artifact(self, name: str, path: Path, kind: str = "file") -> None:
        """Log what is at *path* now."""
        try:
            staged = Path(tempfile.mkdtemp(prefix="hookloop-trackio-"))
            copy = staged / path.name
            shutil.copytree(path, copy) if path.is_dir() else shutil.copy2(path, copy)
        except OSError as error:
            self.failed(error)
            return
        self.worker.do(lambda: self.take(staged, copy, safe_name(name), kind))

    def log_checkpoint(self, path: Path) -> None:
        """Log the snapshot at *path* as an artifact of type ``model``."""
        self.log_artifact(f"{self.run.name}-checkpoint", path, "model")

    def take(self, staged: Path, copy: Path, name: str, kind: str) -> None:
        """Give trackio the *copy* of an artifact, and remove the folder *staged* that it is in."""
        try:
            self.run.log_artifact(copy, name=name, type=kind)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def close(self, step: int, outcome: str, reason: str) -> None:
        """Log the *outcome* and why as an alert of trackio's, and end the run."""
        self.worker.do(lambda: self.tell(step, outcome, reason))
        if not self.worker.close(PATIENCE_SECONDS):
            log.warning("trackio: not done after %.0f s; what was not written is lost", PATIENCE_SECONDS)
        with quiet():
            self.run.finish()

    def tell(self, step: int, outcome: str, reason: str) -> None:
        """Log how the run ended."""
        level = self.trackio.AlertLevel(LEVELS.get(outcome, "warn"))
        with quiet():
            self.run.alert(title=outcome, text=reason or None, level=level, step=step)

    def failed(self, error: Exception) -> None:
        """Say what went wrong, if nothing did before."""
        self.run._warn_once("hookloop", f"{type(error).__name__}: {error}.")


def image_of(pixels: Any) -> Any:
    """Return *pixels*, or a file with an image, as an image that trackio takes."""
    import PIL.Image

    if isinstance(pixels, io.BytesIO):
        return PIL.Image.open(pixels)
    return PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
