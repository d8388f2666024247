"""The plugin ``trackio``: parameters, metrics, images, artifacts and the outcome of a run, for trackio's dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop import PluginConfig, hookimpl
from hookloop.loggers import Rows, column
from hookloop_trackio.names import RESERVED

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_trackio.session import Session


class Trackio:
    """Logs to one trackio run what a run directory holds, however often that run is killed and resumed.

    The state says how many rows were handed over when a checkpoint was written. A resumed run deletes those after them,
    and logs those again that trackio had not written when the process was killed, from the engine's own log.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.trackio]``."""

        project: str | None = None
        """The project; without it, `run.name`."""

        name: str | None = None
        """What to call the run; without it, the name of the run directory."""

        group: str | None = None
        """The group that the run belongs to, such as the folds of one cross-validation."""

        directory: Path | None = None
        """Where trackio keeps its databases; without it, where `trackio show` looks for them: what `TRACKIO_DIR` says,
        else `~/.cache/huggingface/trackio`. One process has one such directory."""

        log_checkpoints: bool = False
        """Whether to log the best checkpoint, or else the newest, as an artifact of type `model` when the run ends."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing logged."""
        self.session: Session | None = None
        self.rows = Rows(self.hand_over, RESERVED)
        self.error = ""
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Open the trackio run; raises ConfigError for a project or directory that cannot be."""
        from hookloop_trackio.session import open_session

        self.reset()
        if run.rank == 0:
            self.session = open_session(self.config, run, run.plugins.name_of(self))

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
        """Log *text* as Markdown."""
        if self.session is not None:
            self.session.log_text(run.step, column(name, RESERVED), text)

    @hookimpl
    def log_image(self, run: Run, name: str, image: Any) -> None:
        """Log pixels."""
        if self.session is not None:
            self.session.log_image(run.step, column(name, RESERVED), image.numpy().copy())

    @hookimpl
    def log_figure(self, run: Run, name: str, figure: Any) -> None:
        """Log a figure as an image; it is drawn here, as it is its owner's again afterwards."""
        if self.session is not None:
            self.session.log_figure(run.step, column(name, RESERVED), figure)

    @hookimpl
    def log_histogram(self, run: Run, name: str, values: Any) -> None:
        """Log how values are distributed; they are copied here, as they may change afterwards."""
        if self.session is not None:
            self.session.log_histogram(run.step, column(name, RESERVED), values.to("cpu", copy=True).flatten())

    @hookimpl
    def log_artifact(self, run: Run, name: str, path: Path) -> None:
        """Log a file or directory; it is copied here, as it may change afterwards."""
        if self.session is not None:
            self.session.log_artifact(name, path)

    @hookimpl
    def on_exception(self, error: BaseException) -> None:
        """Remember why the run ended."""
        self.error = f"{type(error).__name__}: {error}"

    @hookimpl
    def on_run_end(self, run: Run, outcome: str) -> None:
        """Log what is left and how it went, and let go of trackio."""
        session = self.session
        if session is None:
            return
        self.rows.flush()
        best = run.best_checkpoint or run.last_checkpoint
        if self.config.log_checkpoints and best is not None:
            session.log_artifact(f"{session.run.name}-checkpoint", best, kind="model")
        self.session = None
        session.close(run.step, outcome, self.error or (run.stop_reason or ""))

    def hand_over(self, row: dict[str, Any]) -> None:
        """Have *row* logged."""
        if self.session is not None:
            self.session.log_row(row)

    def state_dict(self) -> dict[str, Any]:
        """Return which trackio run this is, and how many rows it was given."""
        if self.saved is not None:
            return dict(self.saved)
        return {} if self.session is None else {"id": self.session.id, "rows": self.session.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state or None
