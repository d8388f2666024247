"""The plugin ``slow-rank``: which process the others wait for."""

from __future__ import annotations

import logging
from statistics import median_low as typical_of
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import Interval, PluginConfig, Trigger, hookimpl
from hookloop_profiler.marks import HostMarks, marks_for
from hookloop_profiler.timeline import Averages, Timeline

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.profiler")

WINDOW = 1000


def check_counted(interval: Interval) -> Interval:
    """Return *interval* if all processes come to it at the same step."""
    if interval.unit not in ("step", "epoch"):
        raise ValueError(f"got '{interval}', expected steps or epochs, which all processes count alike.")
    return interval


class SlowRank:
    """Compares how long each process is busy by itself: waiting for data, and in the forward pass.

    Whole steps are equally long everywhere, since all wait for the slowest. Durations are compared and no clocks, as
    those of two machines have nothing to do with each other.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.slow-rank]``."""

        every: Annotated[Interval, AfterValidator(check_counted)] = Interval(100, "step")
        """How often to compare: `100 steps`, or `1 epoch`. Each time, all processes wait for each other once."""

        tolerance: float = Field(1.2, gt=1)
        """How many times longer than the median a process may be busy before a warning names it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing measured."""
        self.timeline = Timeline(HostMarks(float))
        self.averages = Averages(WINDOW, 0)
        self.trigger = Trigger(self.config.every)
        self.waits_since: float | None = None
        self.waited_seconds = 0.0
        self.training = False

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Begin, unless there is nobody to compare with."""
        self.reset()
        self.training = run.world_size > 1
        if not self.training:
            log.info("slow-rank: rests, as there is only one process")
        self.timeline = Timeline(marks_for(run.device, run.clock))

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Begin to wait for data."""
        self.waits_since = run.clock()

    @hookimpl(tryfirst=True)
    def on_fetch_end(self, run: Run) -> None:
        """End waiting."""
        if self.waits_since is not None:
            self.waited_seconds += run.clock() - self.waits_since
        self.waits_since = None

    @hookimpl(trylast=True)
    def on_forward_start(self) -> None:
        """Begin the forward pass."""
        if self.training:
            self.timeline.begin("forward")

    @hookimpl(tryfirst=True)
    def on_forward_end(self) -> None:
        """End it."""
        self.timeline.end("forward")

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Take in the step, and compare when it is time: all processes come to it at the same step."""
        self.timeline.add("data_wait", self.waited_seconds)
        self.waited_seconds = 0.0
        self.timeline.close()
        for seconds in self.timeline.finished():
            self.averages.add(seconds)
        if self.training and self.trigger.due(run):
            self.compare(run)

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """Compare when it is time."""
        if self.training and self.trigger.due_at_epoch(run):
            self.compare(run)

    def compare(self, run: Run) -> None:
        """Tell all how long each was busy, and log what is to be said of it."""
        import torch.distributed

        means = self.averages.take()
        self.averages = Averages(WINDOW, 0)
        busy: list[Any] = [None] * run.world_size
        torch.distributed.all_gather_object(busy, sum(means.values()), group=run.host_group)
        gap, slowest = judge(busy)
        run.log("time/rank_gap_seconds", gap)
        run.log("time/slowest_rank", slowest)
        typical = typical_of(busy)
        if run.rank == 0 and typical > 0 and busy[slowest] > self.config.tolerance * typical:
            log.warning(
                "slow-rank: rank %d is busy for %.4g s a step before the others can go on, where %.4g s are usual",
                slowest, busy[slowest], typical,
            )  # fmt: skip

    @hookimpl
    def on_fit_end(self) -> None:
        """Compare no more."""
        self.training = False


def judge(busy_seconds: list[float]) -> tuple[float, int]:
    """Return how many seconds are between the quickest and the slowest rank, and which is the slowest."""
    slowest = max(range(len(busy_seconds)), key=busy_seconds.__getitem__)
    return busy_seconds[slowest] - min(busy_seconds), slowest
