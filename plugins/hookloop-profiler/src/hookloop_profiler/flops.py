"""The plugin ``flops``: the operations of a step, how many a second, and the share of what the device could do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.counting import Counts, StepCounter
from hookloop_profiler.instances import dismiss, invite
from hookloop_profiler.meter import Meter

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.profiler")

# Dense products of 16-bit floats a second, from the makers' data sheets; the first name that fits counts.
PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12, "A10G": 70e12,
    "A10": 125e12, "L40S": 362e12, "L4": 121e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip


class Flops:
    """Counts some steps, and takes the operations a sample from the last that was counted for all others."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.flops]``."""

        peak_tflops: float | None = Field(None, gt=0)
        """What the device can do at most, in 10^12 operations a second, in the precision of the run: for the share
        of it, `flops/mfu`. Known by itself for some NVIDIA cards in mixed precision."""

        recount_every_steps: int = Field(1000, ge=1)
        """How often to count anew, for data whose samples differ in size. The first step is counted in any case; a
        counted step is several times slower, and is left out of the rates."""

        warmup_steps: int = Field(3, ge=0)
        """How many steps after the first to leave out of the rates."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing counted."""
        self.guest = ""
        self.steps = 0
        self.per_sample = 0.0
        self.peak: float | None = None
        self.meter: Meter | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Have the rates read at each logging boundary."""
        self.reset()
        self.meter = Meter(run.clock)
        run.gauge(lambda: self.publish(run))

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Count the first step."""
        self.peak = self.peak_of(run)
        if self.peak is None and run.rank == 0:
            log.info("flops: no flops/mfu, as the peak of this device is not known: peak_tflops says it")
        self.guest = invite(self, StepCounter(self.counted), run)

    def peak_of(self, run: Run) -> float | None:
        """Return the operations a second that the device could make, or None."""
        if self.config.peak_tflops is not None:
            return self.config.peak_tflops * 1e12
        if run.device.type != "cuda" or run.precision == "fp32":
            return None
        import torch

        name = torch.cuda.get_device_name(run.device)
        return next((peak for part, peak in PEAKS.items() if part in name), None)

    def counted(self, run: Run, counts: Counts, samples: int) -> None:
        """Take in what a step was counted to have."""
        if samples and run.stage == "train":
            self.per_sample = counts[""] / samples
            run.log("flops/per_step", counts[""])
            run.log("flops/per_sample", self.per_sample)

    @hookimpl(trylast=True)
    def on_fetch_start(self) -> None:
        """Let the time run."""
        if self.meter is not None and not self.guest and self.steps > self.config.warmup_steps:
            self.meter.go_on()

    @hookimpl
    def on_batch_end(self, run: Run) -> None:
        """Count the operations of a micro-batch."""
        if self.meter is not None:
            self.meter.count({"flops": self.per_sample * run.task.batch_size(run.batch)})

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Let the counter go after its step, and ask it in again when it is time."""
        self.steps += 1
        if self.guest and self.per_sample:
            dismiss(self.guest, run)
            self.guest = ""
        if self.steps % self.config.recount_every_steps == 0 and not self.guest:
            self.pause()
            self.guest = invite(self, StepCounter(self.counted), run)

    @hookimpl
    def on_validation_start(self) -> None:
        """Measure training only."""
        self.pause()

    @hookimpl
    def on_train_epoch_end(self) -> None:
        """Leave what lies between two epochs out."""
        self.pause()

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Let go of the counter."""
        self.pause()
        dismiss(self.guest, run)
        self.guest = ""

    def pause(self) -> None:
        """Let the time stand."""
        if self.meter is not None:
            self.meter.pause()

    def publish(self, run: Run) -> None:
        """Log the rates."""
        rates: dict[str, Any] = self.meter.take() if self.meter is not None else {}
        for rate in rates.values():
            run.log("flops/per_second", rate)
            if self.peak is not None:
                run.log("flops/mfu", rate / self.peak)
