"""The hooks of the plugin ``monitor``: they start and end the sampler, and log what it has collected."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from hookloop import ConfigError, PluginConfig, hookimpl
from hookloop_monitor.thresholds import MetricPattern, ThresholdText
from hookloop_monitor.visible import Choice
from hookloop_monitor.window import Statistic, flatten

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_monitor.session import Session


class Monitor:
    """Samples machine, process and GPUs on a thread of its own; the thread that trains only takes what is there.

    What was sampled since the last logging boundary is logged at the next one, and each sample is a line of
    ``system.jsonl``. A machine is read by one of its processes.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.monitor]``."""

        interval_seconds: float = Field(1.0, ge=0.1, le=3600)
        """Seconds between two samples, from 0.1. What is slow to read of a GPU is read with every tenth."""

        statistics: tuple[Statistic, ...] = Field(("mean", "min", "max", "last"), min_length=1)
        """What to log of the samples since the last time: `mean` under the metric's name, the others under
        `NAME/min`, `NAME/max` and `NAME/last`."""

        timeline: bool = True
        """Whether to write every sample to `system.jsonl` in the run directory."""

        per_core: bool = False
        """Whether to read the CPU's cores one by one as well."""

        gpus: Choice = "own"
        """Which cards to read: the `own` ones of this machine's ranks, all that are `visible` to CUDA, `all` of the
        machine, or `none`."""

        gpu_processes: bool = False
        """Whether to read which processes use a card; the query takes milliseconds, in which it may hold others up."""

        warn: dict[MetricPattern, ThresholdText] = Field(default_factory=dict)
        """Thresholds by metric, such as `{ "system/gpu*/temperature_celsius" = "> 85" }`; a sample beyond one is
        warned of once, and again after it was back."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.session: Session | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Refuse to write one file twice."""
        for other in cast("Iterable[Any]", run.plugins):
            same = other.plugin is not self and isinstance(other.plugin, Monitor)
            if same and self.config.timeline and other.plugin.config.timeline:
                raise ConfigError(
                    f"two plugins write system.jsonl: set 'timeline = false' in [plugins.{other.instance}]."
                )

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Start to sample: the device is in use by now, so CUDA can say which cards are this run's."""
        from hookloop_monitor.session import Session

        self.session = Session(self.config, run, os.environ)
        self.session.start()
        run.gauge(lambda: self.log(run))

    @hookimpl
    def on_epoch_start(self) -> None:
        """Have new loader workers noticed soon."""
        if self.session is not None:
            self.session.workers.look_again()

    @hookimpl
    def on_run_end(self) -> None:
        """End the thread, however the run ended, and say what the run came to."""
        session, self.session = self.session, None
        if session is not None:
            session.stop()

    def log(self, run: Run) -> None:
        """Log what was sampled since the last time."""
        if self.session is None:
            return
        for name, value in flatten(self.session.window.drain(), self.config.statistics).items():
            run.log(name, value)
