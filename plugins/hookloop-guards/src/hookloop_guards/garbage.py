"""The plugin ``gc``: collects Python's garbage at chosen steps, on all ranks at the same, and not in between."""

from __future__ import annotations

import gc

from pydantic import Field

from hookloop import Interval, PluginConfig, hookimpl
from hookloop_guards.cadence import Cadence
from hookloop_guards.options import Counted


class GarbageCollection:
    """Switches the automatic collection off while the run lasts, and puts back what was before, however it ends."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.gc]``."""

        every: Counted = Interval(100, "step")
        """How often to collect: `100 steps`, batches of validation, test and prediction counted like steps, or
        `1 epoch`."""

        generation: int = Field(2, ge=0, le=2)
        """The oldest generation to collect: 2 is everything. For the young ones more often, use a second instance."""

        freeze: bool = True
        """Leave what exists when everything is built out of the collections, which makes them quicker."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.has_frozen = False
        self.cadence = Cadence(config.every)
        self.was_enabled: bool | None = None

    @hookimpl
    def on_run_start(self) -> None:
        """Take over."""
        self.cadence = Cadence(self.config.every)
        self.was_enabled = gc.isenabled()
        gc.disable()

    @hookimpl(trylast=True)
    def on_ready(self) -> None:
        """Freeze what is built by now, unless somebody else has frozen something: there is but one heap to thaw."""
        if self.config.freeze and gc.get_freeze_count() == 0:
            gc.collect(2)
            gc.freeze()
            self.has_frozen = True

    @hookimpl
    def on_run_end(self) -> None:
        """Put back what was before."""
        if self.has_frozen:
            gc.unfreeze()
        self.has_frozen = False
        if self.was_enabled:
            gc.enable()
        self.was_enabled = None

    @hookimpl
    def on_step_end(self) -> None:
        """Count a step."""
        self.collect_if(self.cadence.step())

    @hookimpl
    def on_validation_batch_end(self) -> None:
        """Count a batch of validation."""
        self.collect_if(self.cadence.step())

    @hookimpl
    def on_test_batch_end(self) -> None:
        """Count a batch of the test."""
        self.collect_if(self.cadence.step())

    @hookimpl
    def on_predict_batch_end(self) -> None:
        """Count a batch of prediction."""
        self.collect_if(self.cadence.step())

    @hookimpl
    def on_epoch_end(self) -> None:
        """Count an epoch."""
        self.collect_if(self.cadence.epoch())

    def collect_if(self, due: bool) -> None:
        """Collect when it is time."""
        if due:
            gc.collect(self.config.generation)
