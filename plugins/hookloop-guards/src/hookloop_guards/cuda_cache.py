"""The plugin ``cuda-cache``: gives the memory that torch has cached on the accelerator back at chosen steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookloop import Interval, PluginConfig, hookimpl
from hookloop_guards.cadence import Cadence
from hookloop_guards.options import Counted

if TYPE_CHECKING:
    import torch

    from hookloop import Run


class CudaCache:
    """Empties the cache of the run's device; on one without a cache, such as the CPU, there is nothing to do."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.cuda-cache]``."""

        every: Counted = Interval(100, "step")
        """How often to empty the cache: `100 steps`, batches of validation, test and prediction counted like steps, or
        `1 epoch`. Each time the host waits for the device, and what is needed again is allocated anew."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cadence = Cadence(config.every)

    @hookimpl
    def on_run_start(self) -> None:
        """Count anew."""
        self.cadence = Cadence(self.config.every)

    @hookimpl
    def on_step_end(self, run: Run) -> None:
        """Count a step."""
        self.empty_if(run, self.cadence.step())

    @hookimpl
    def on_validation_batch_end(self, run: Run) -> None:
        """Count a batch of validation."""
        self.empty_if(run, self.cadence.step())

    @hookimpl
    def on_test_batch_end(self, run: Run) -> None:
        """Count a batch of the test."""
        self.empty_if(run, self.cadence.step())

    @hookimpl
    def on_predict_batch_end(self, run: Run) -> None:
        """Count a batch of prediction."""
        self.empty_if(run, self.cadence.step())

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """Count an epoch."""
        self.empty_if(run, self.cadence.epoch())

    def empty_if(self, run: Run, due: bool) -> None:
        """Empty the cache when it is time."""
        if due:
            empty_cache(run.device)


def empty_cache(device: torch.device) -> None:
    """Give cached memory of *device* back, if its kind of device has a cache."""
    import torch

    if device.type in ("cpu", "meta"):
        return
    empty = getattr(torch.get_device_module(device), "empty_cache", None)
    if empty is not None:
        empty()
