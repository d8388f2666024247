"""The plugin ``wandb``: parameters, metrics, images, artifacts and the outcome of a run, for Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hookloop import PluginConfig, hookimpl
from hookloop.loggers import SessionLogger

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_wandb.session import Session


class Wandb(SessionLogger):
    """Logs to one wandb run what a run directory holds, however often that run is killed and resumed."""

    class Config(PluginConfig):
        """Options of ``[plugins.wandb]``."""

        project: str | None = None
        """The project; without it, `WANDB_PROJECT`, else `run.name`."""

        entity: str | None = None
        """The user or team that the project belongs to; without it, your default one."""

        name: str | None = None
        """What to call the run; without it, the name of the run directory."""

        group: str | None = None
        """The group that the run belongs to, such as the folds of one cross-validation."""

        tags: tuple[str, ...] = ()
        """Tags to find the run by."""

        notes: str | None = None
        """A longer description of the run."""

        mode: Literal["online", "offline"] | None = None
        """Whether to send what is logged, or to keep it for `wandb sync`; without it, what `WANDB_MODE` says, else
        `online`."""

        directory: Path | None = None
        """Where wandb keeps its files, in a folder `wandb` there; without it, in the run directory."""

        log_checkpoints: bool = False
        """Whether to log the best checkpoint, or else the newest, as an artifact of type `model` when the run ends."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.log_checkpoints = config.log_checkpoints

    def open(self, run: Run, instance: str) -> Session | None:
        """Open the wandb run; raises ConfigError where wandb would ask who you are."""
        from hookloop_wandb.session import open_session

        return open_session(self.config, run, instance)

    @hookimpl
    def on_preempted(self) -> None:
        """Tell wandb that the end to come is not the run's own."""
        if self.session is not None:
            self.session.mark_preempting()
