"""The plugin ``trackio``: parameters, metrics, images, artifacts and the outcome of a run, for trackio's dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hookloop import PluginConfig
from hookloop.loggers import SessionLogger
from hookloop_trackio.names import RESERVED

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_trackio.session import Session


class Trackio(SessionLogger):
    """Logs to one trackio run what a run directory holds, however often that run is killed and resumed."""

    reserved = RESERVED

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
        super().__init__()
        self.config = config
        self.log_checkpoints = config.log_checkpoints

    def open(self, run: Run, instance: str) -> Session | None:
        """Open the trackio run; raises ConfigError for a project or directory that cannot be."""
        from hookloop_trackio.session import open_session

        return open_session(self.config, run, instance)
