"""One wandb run: opened, fed from a thread of its own, taken back to a checkpoint, and closed."""

from __future__ import annotations

import io
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop.loggers import Row, Worker, lasting_id, safe_name
from hookloop_wandb.going_back import go_back, mark
from hookloop_wandb.opening import begin, let_go, mode_of, service_runs

if TYPE_CHECKING:
    import wandb

    from hookloop import Run
    from hookloop_wandb.plugin import Wandb

log = logging.getLogger("hookloop.wandb")

EXIT_CODES = {"completed": 0, "stopped": 0, "failed": 1, "interrupted": 130, "preempted": 143}
PATIENCE_SECONDS = 120.0
BINS = 64


def open_session(config: Wandb.Config, run: Run, instance: str) -> Session | None:
    """Return the wandb run of the instance *instance*; None when wandb is switched off, or broken, which is said."""
    mode = mode_of(config.mode)
    if mode == "disabled":
        log.info("wandb: WANDB_MODE=disabled, so nothing is logged")
        return None
    place = run.directory if instance == "wandb" else run.directory / instance
    if config.directory is not None:
        place = config.directory.expanduser()
    run_id = lasting_id(run, instance, lambda: secrets.token_hex(4))
    had_service = service_runs()
    opened = None
    try:
        opened = begin(config, run, mode, place, run_id, not had_service)
    finally:
        if opened is None:
            let_go(not had_service)
    if opened is None:
        return None
    log.info("wandb: run %s goes to %s", run_id, opened.settings.sync_dir if opened.offline else opened.url)
    session = Session(opened, place / "wandb", not had_service)
    session.worker.start()
    return session


class Session:
    """An open wandb run. ``count`` is how many rows it was given, those of earlier attempts included."""

    def __init__(self, opened: wandb.Run, folder: Path, ends_service: bool) -> None:
        self.run = opened
        self.id = opened.id
        self.folder = folder
        self.ends_service = ends_service
        self.count = opened.step or 0
        self.again: set[tuple[int, str]] = set()
        self.said = False
        self.worker = Worker("hookloop-wandb", self.failed)

    def go_back(self, rows: int) -> set[int]:
        """Forget what was logged after the first *rows* rows; return the steps whose metrics wandb has."""
        try:
            kept = go_back(self.folder, self.id, rows)
        except Exception as error:
            self.failed(error)
            return set()
        self.count, self.again = max(self.count, kept.count), kept.again
        return kept.steps

    def log_row(self, row: Row) -> None:
        """Log a row of metrics."""
        self.give(lambda: row, row)

    def log_media(self, step: int, name: str, make: Callable[[], Any]) -> None:
        """Log what *make* returns, which is called on the thread of this session."""
        self.give(lambda: {"step": step, name: make()}, {"step": step, name: None})

    def give(self, make: Callable[[], Row], row: Row) -> None:
        """Have the row that *make* returns logged, unless the server has it already. *row* has the same names."""
        if self.again and mark(row["step"], row) in self.again:
            return
        number = self.count
        self.count += 1
        self.worker.do(lambda: self.run.log(make(), step=number, commit=True))

    def log_text(self, step: int, name: str, text: str) -> None:
        """Log *text* as it is."""
        self.log_media(step, name, lambda: text)

    def log_image(self, step: int, name: str, pixels: Any) -> None:
        """Log *pixels*, an array (H, W, C) of bytes."""
        self.log_media(step, name, lambda: image_of(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))

    def log_figure(self, step: int, name: str, figure: Any) -> None:
        """Draw *figure* now, and log the image."""
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        self.log_media(step, name, lambda: image_of(drawn))

    def log_histogram(self, step: int, name: str, values: Any) -> None:
        """Log how *values*, a flat tensor on the CPU, are distributed; what is not finite is left out."""
        self.log_media(step, name, lambda: histogram_of(values))

    def log_artifact(self, name: str, path: Path, kind: str = "file") -> None:
        """Log what is at *path* now; wandb keeps a copy until it is sent."""
        import wandb

        try:
            artifact = wandb.Artifact(safe_name(name) if kind == "file" else f"{safe_name(name)}-{self.id}", type=kind)
            artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
        except Exception as error:
            self.failed(error)
            return
        self.worker.do(lambda: discard(self.run.log_artifact(artifact)))

    def log_checkpoint(self, path: Path) -> None:
        """Log the snapshot at *path* as an artifact of type ``model``."""
        self.log_artifact("checkpoint", path, "model")

    def mark_preempting(self) -> None:
        """Tell wandb that the run is about to be preempted."""
        self.worker.do(self.run.mark_preempting)

    def close(self, step: int, outcome: str, reason: str) -> None:
        """Log the *outcome* and why, and end the run; what cannot be sent in time stays in the run's files."""
        self.worker.do(lambda: self.run.summary.update({"outcome": outcome, **({"reason": reason} if reason else {})}))
        if not self.worker.close(PATIENCE_SECONDS):
            log.warning("wandb: not done after %.0f s; 'wandb sync' sends the rest", PATIENCE_SECONDS)
        try:
            self.run.finish(exit_code=EXIT_CODES.get(outcome, 1))
        except Exception as error:
            self.failed(error)
        let_go(self.ends_service)

    def failed(self, error: Exception) -> None:
        """Say what went wrong, the first time."""
        if not self.said:
            log.warning("wandb: %s: %s. Training goes on.", type(error).__name__, error)
        self.said = True


def image_of(pixels: Any) -> wandb.Image:
    """Return *pixels*, or a file with an image, as wandb logs it."""
    import PIL.Image
    import wandb

    if isinstance(pixels, io.BytesIO):
        return wandb.Image(PIL.Image.open(pixels))
    return wandb.Image(PIL.Image.fromarray(pixels))


def histogram_of(values: Any) -> wandb.Histogram:
    """Return *values* as wandb logs them."""
    import numpy as np
    import wandb

    numbers = values.double().numpy()
    return wandb.Histogram(np_histogram=np.histogram(numbers[np.isfinite(numbers)], bins=BINS))


def discard(value: object) -> None:
    """Ignore *value*."""
