"""The hooks of the plugin ``mlflow``: they note what is to be logged, and a thread sends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hookloop import ConfigError, PluginConfig, hookimpl

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_mlflow.session import Session


def check_text(text: str) -> str:
    """Return *text* if it says anything."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, AfterValidator(check_text)]


class Mlflow:
    """Makes each run one of MLflow: parameters, metrics, artifacts, outcome.

    Metrics are read from ``run.history``, which the engine keeps in ``metrics.jsonl``, and everything else is in the
    spool when the hook returns. So a kill loses nothing and this plugin has no state: a resumed run
    looks at what MLflow has, and sends the rest.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.mlflow]``."""

        tracking_uri: Text | None = None
        """Where to log: a server, such as `https://mlflow.example.org`, or a database, such as `sqlite:///all.db`.
        Without it, what the environment variable `MLFLOW_TRACKING_URI` says, and else `mlflow.db` in `run.runs_dir`, or
        beside a run directory that lies elsewhere."""

        experiment: Text | None = None
        """The experiment that the run belongs to; without it, `run.name`."""

        run_name: Text | None = None
        """What the run is called; without it, its directory."""

        tags: dict[str, str] = Field(default_factory=dict)
        """Tags of the run."""

        parameters: bool = True
        """Whether to log the configuration: as parameters, and as the artifact `config.toml`."""

        checkpoints: tuple[Literal["best", "last"], ...] = ()
        """Which checkpoints to log as artifacts when training ends: `best`, `last`, or both."""

        interval_seconds: float = Field(1.0, ge=0.1, le=3600)
        """Seconds in which what is logged is collected, and then sent together."""

        drain_seconds: float = Field(30.0, ge=0, le=86400)
        """How long the end of a run waits for a call that does not return, such as a large artifact or a server that
        does not answer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.session: Session | None = None
        self.error = ""

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Open the tracking store, where that can be done at once, so that a mistake is found before the first step."""
        self.session, self.error = None, ""
        if run.rank != 0:
            return
        from hookloop_mlflow.session import Session

        name = run.plugins.name_of(self)
        session = Session(self.config, run, name, os.environ)
        try:
            session.start()
        except Exception as error:
            raise ConfigError(f"[plugins.{name}]: {session.explain(error)}") from error
        self.session = session

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Begin a run of MLflow, or go on with it."""
        if self.session is not None:
            self.session.begin_fit(run)

    @hookimpl
    def on_metrics(self, run: Run) -> None:
        """Let the thread know that there is another row."""
        if self.session is not None:
            self.session.note_row(run)

    @hookimpl
    def log_text(self, run: Run, name: str, text: str) -> None:
        """Log a text, as the artifact ``texts/NAME/STEP.txt``."""
        if self.session is not None:
            self.session.put_step(run, f"texts/{name}", text.encode("utf-8", "replace"), ".txt")

    @hookimpl
    def log_image(self, run: Run, name: str, image: Any) -> None:
        """Log an image, which MLflow shows by its name and steps."""
        if self.session is not None:
            self.session.put_image(run, name, image)

    @hookimpl
    def log_figure(self, run: Run, name: str, figure: Any) -> None:
        """Log a figure, as the artifact ``figures/NAME/STEP.png``: drawn here, as another thread must not."""
        if self.session is not None:
            self.session.put_figure(run, name, figure)

    @hookimpl
    def log_artifact(self, run: Run, name: str, path: Path) -> None:
        """Log a file or a directory."""
        if self.session is not None:
            self.session.put(run, name, path)

    @hookimpl
    def on_exception(self, error: BaseException) -> None:
        """Note what the run failed with."""
        self.error = f"{type(error).__name__}: {error}"

    @hookimpl(trylast=True)
    def on_run_end(self, run: Run, outcome: str) -> None:
        """Send the rest, however the run ended; after other plugins, which may still log something."""
        session, self.session = self.session, None
        if session is not None:
            session.finish(run, outcome, self.error)
