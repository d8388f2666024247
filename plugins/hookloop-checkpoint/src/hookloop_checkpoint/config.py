"""The options of ``[plugins.checkpoint]``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from hookloop import Interval, PluginConfig
from hookloop_checkpoint.failures import OnFailure
from hookloop_checkpoint.monitor import mode_of
from hookloop_checkpoint.naming import DEFAULT
from hookloop_checkpoint.options import KeepLast, Template
from hookloop_checkpoint.ranking import Mode

ABOUT_THE_MONITOR = ("mode", "keep_best", "better_than", "only_best")


class CheckpointConfig(PluginConfig):
    """Options of ``[plugins.checkpoint]``."""

    every: Interval = Interval(1, "epoch")
    """How often to save: `100 steps`, `1 epoch`, `10 min` or `5000 samples`. When somebody asks for it, as Ctrl-C and
    SIGTERM do, it saves as well."""

    keep_last: KeepLast = 3
    """How many of the newest to keep, at least 2, or `"all"`."""

    monitor: str | None = None
    """The metric by which a snapshot is one of the best, such as `val/loss`. It counts for the weights on which it was
    measured, so it must be measured when a save is due."""

    mode: Mode | None = None
    """`min` where a low value is good, `max` where a high one is. Needed, unless the monitor's name ends with `loss`,
    `error` or `perplexity`, which are low when they are good."""

    keep_best: int = Field(1, ge=1)
    """How many of the best to keep, beside the newest. A later one must be strictly better."""

    better_than: float | None = None
    """What a value must be strictly better than for its snapshot to be one of the best."""

    only_best: bool = False
    """Leave out a save that is due and would not be among the best. What is asked for is saved all the same."""

    weights_only: bool = False
    """Save the model and nothing else: small, and nothing that a run can be resumed from."""

    asynchronous: bool = False
    """Copy the state, and write the copy while training goes on. A save that is due before the last is written waits
    for it."""

    on_exception: bool = False
    """Save when training fails, for a look at what went wrong. It is taken in the middle of a step, so a run is resumed
    from it only when its path is given."""

    final: bool = True
    """Save when training is complete or was stopped, unless that very state is saved already."""

    name: Template = DEFAULT
    """The names of snapshots: counters (`step`, `epoch`, `batch_index`, `samples`) and metrics in braces, as in
    `epoch-{epoch}-{val/loss:.4f}`. A metric is the newest known value."""

    on_failure: OnFailure = "warn"
    """What to do when the disk is full or broken, or the directory gone: `warn` and go on, `stop` after this step, or
    `raise`, so that the run fails. The snapshots before stay in any case."""

    @property
    def direction(self) -> Mode:
        """The mode, said or known by the monitor's name."""
        return self.mode or mode_of(self.monitor or "") or "min"

    @model_validator(mode="after")
    def _check_monitor(self) -> Self:
        if self.monitor is None:
            useless = [name for name in ABOUT_THE_MONITOR if name in self.model_fields_set]
            if useless:
                raise ValueError(
                    f"{', '.join(useless)} without a monitor: say which metric, as in monitor = 'val/loss'."
                )
        elif self.mode is None and mode_of(self.monitor) is None:
            raise ValueError(f"say whether a low or a high '{self.monitor}' is good: mode = 'min' or mode = 'max'.")
        return self
