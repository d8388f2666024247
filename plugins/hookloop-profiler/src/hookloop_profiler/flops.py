"""The plugin ``flops``: the operations of a step, how many a second, and the share of what the device could do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.counting import Counts, StepCounter
from hookloop_profiler.instances import dismiss, invite
from hookloop_profiler.meter import SAMPLES, Meter
from hookloop_profiler.peaks import TERA, kind_of, peak_of

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.profiler")


class Flops:
    """Counts some steps, and takes the operations a sample from the last that was counted for all others.

    So a step that is not counted costs no more than a look at whether the time stands: samples are counted anyway.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.flops]``."""

        peak_tflops: float | None = Field(None, gt=0)
        """What the device can do at most, in 10^12 operations a second, in the precision of the run: for the share
        of it, `flops/mfu`. Known by itself for the usual cards of data centers."""

        recount_every_steps: int = Field(10_000, ge=1)
        """How often to count anew, for data whose samples differ in size; it is begun at a logging boundary. The first
        step is counted in any case; to count takes some ten milliseconds, and is left out of the rates."""

        per_sample: float | None = Field(None, gt=0)
        """The operations of a sample, forward and backward, where you know them: then nothing is counted. A compiled
        model needs it, as counting would keep it from being compiled; `summary` tells it without compilation."""

        warmup_steps: int = Field(3, ge=0)
        """How many steps after the first to leave out of the rates."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset(float)

    def reset(self, clock: Callable[[], float]) -> None:
        """Begin with nothing counted."""
        self.meter = Meter(clock)
        self.stands = True
        self.guest = ""
        self.is_counted = False
        self.first_step = self.next_count = 0
        self.per_sample = 0.0
        self.peak: float | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Have the rates read at each logging boundary."""
        self.reset(run.clock)
        run.gauge(lambda: self.publish(run))

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Count the first step."""
        from hookloop_profiler.modules import is_compiled

        self.first_step = run.step
        self.peak = self.find_peak(run)
        if self.config.per_sample is not None:
            self.per_sample = self.config.per_sample
        elif is_compiled(run.model):
            log.warning(
                "flops: a compiled model is not counted, as that would keep it from being compiled: per_sample says it"
            )
        else:
            self.count(run)

    def find_peak(self, run: Run) -> float | None:
        """Return the operations a second that the device could make; None, which is said, when nobody knows."""
        if self.config.peak_tflops is not None:
            return self.config.peak_tflops * TERA
        what, peak = f"'{run.device}'", None
        if run.device.type == "cuda":
            import torch

            name, kind = torch.cuda.get_device_name(run.device), kind_of(run)
            what = f"'{name}' in {kind or 'its types'}"
            peak = None if kind is None else peak_of(name, kind)
        if peak is None and run.rank == 0:
            log.info("flops: no flops/mfu: the peak of %s is not known here: peak_tflops says it", what)
        return peak

    def count(self, run: Run) -> None:
        """Have the next step counted."""
        self.pause(run)
        self.is_counted = False
        self.next_count = run.step + self.config.recount_every_steps
        self.guest = invite(self, StepCounter(self.over, self.counted), run)

    def counted(self, run: Run, counts: Counts, samples: int) -> None:
        """Take in what a step was counted to have."""
        if samples and run.stage == "train":
            self.is_counted = True
            self.per_sample = counts[""] / samples
            run.log("flops/per_step", counts[""])
            run.log("flops/per_sample", self.per_sample)

    def over(self, run: Run) -> None:
        """Let the counter go when it has counted."""
        if self.is_counted:
            self.let_go(run)

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Let the time run."""
        if self.stands:
            self.go_on(run)

    def go_on(self, run: Run) -> None:
        """Let the time run when the warm-up is over, and nothing is being counted."""
        if not self.guest and run.step - self.first_step > self.config.warmup_steps:
            self.meter.go_on(run.samples)
            self.stands = False

    def let_go(self, run: Run) -> None:
        """Let the counter go."""
        guest, self.guest = self.guest, ""
        dismiss(guest, run)

    def pause(self, run: Run) -> None:
        """Let the time stand, until the next batch is fetched."""
        self.meter.pause(run.samples)
        self.stands = True

    @hookimpl
    def on_validation_start(self, run: Run) -> None:
        """Measure training only."""
        self.pause(run)

    @hookimpl
    def on_train_epoch_end(self, run: Run) -> None:
        """Leave what lies between two epochs out."""
        self.pause(run)

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Let go of the counter."""
        self.pause(run)
        self.let_go(run)
        self.next_count = 0

    def publish(self, run: Run) -> None:
        """Log the rates, and have a step counted when it is time."""
        rates = self.meter.take(run.samples)
        if rates and self.per_sample:
            rate = self.per_sample * rates[SAMPLES]
            run.log("flops/per_second", rate)
            if self.peak is not None:
                run.log("flops/mfu", rate / self.peak)
        if self.next_count and run.step >= self.next_count and not self.guest:
            self.count(run)
