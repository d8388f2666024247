"""The plugin ``slow-rank``: which process the others wait for."""

from __future__ import annotations

import logging
from statistics import median_low as typical_of
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import Interval, PluginConfig, Trigger, hookimpl
from hookloop_profiler.instances import dismiss, invite
from hookloop_profiler.marks import Marks, marks_for
from hookloop_profiler.timeline import Span, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookloop import Run

log = logging.getLogger("hookloop.profiler")

WINDOW = 1000


def check_counted(interval: Interval) -> Interval:
    """Return *interval* if all processes come to it at the same step."""
    if interval.unit not in ("step", "epoch"):
        raise ValueError(f"got '{interval}', expected steps or epochs, which all processes count alike.")
    return interval


class BusyTimes:
    """Times what a process does by itself: waiting for data, and the forward pass.

    *compare* is called at the end of every step, to see whether it is time for it.
    """

    role = "observer"

    def __init__(self, marks: Marks, clock: Callable[[], float], compare: Callable[[Run], None]) -> None:
        self.mark = marks.mark
        self.clock = clock
        self.compare = compare
        self.timeline = Timeline(marks, WINDOW, 0)
        self.spans: list[Span] = []
        self.began: Any = None
        self.wait_began = self.waited_seconds = 0.0

    def seconds(self) -> float:
        """Return the mean of a step since the last time."""
        means = self.timeline.means()
        self.timeline.forget()
        return means.get("data_wait", 0.0) + means.get("forward", 0.0)

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Begin to wait for data."""
        self.wait_began = self.clock()

    @hookimpl(tryfirst=True)
    def on_fetch_end(self, run: Run, batch: Any) -> None:
        """End waiting."""
        self.waited_seconds += self.clock() - self.wait_began

    @hookimpl(trylast=True)
    def on_forward_start(self, run: Run, batch: Any) -> None:
        """Begin the forward pass."""
        self.began = self.mark()

    @hookimpl(tryfirst=True)
    def on_forward_end(self, run: Run, output: Any) -> None:
        """End it."""
        self.spans.append(("forward", self.began, self.mark()))

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Take in the step, and compare when it is time: all processes come to it at the same step."""
        if self.spans:
            self.timeline.add(self.began, self.spans[-1][2], self.waited_seconds, tuple(self.spans))
        self.leave_out()
        self.compare(run)

    @hookimpl
    def on_optimizer_step_skipped(self, run: Run) -> None:
        """Leave out a step that did not come to its end."""
        self.leave_out()

    def leave_out(self) -> None:
        """Begin with the next step."""
        self.spans.clear()
        self.waited_seconds = 0.0


class SlowRank:
    """Compares how long each process is busy by itself.

    Whole steps are equally long everywhere, since all wait for the slowest. Durations are compared and no clocks, as
    those of two machines have nothing to do with each other. A single process has nobody to compare with, and no hook
    in its steps for it.
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
        self.trigger = Trigger(self.config.every)
        self.times: BusyTimes | None = None
        self.guest = ""

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Begin, unless there is nobody to compare with."""
        self.reset()
        if run.world_size == 1:
            log.info("slow-rank: rests, as there is only one process")
            return
        self.times = BusyTimes(marks_for(run.device, run.clock), run.clock, self.compare_if_due)
        self.guest = invite(self, self.times, run)

    def compare_if_due(self, run: Run) -> None:
        """Compare when it is time after a step."""
        if self.trigger.due(run):
            self.compare(run)

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """Compare when it is time after an epoch."""
        if self.times is not None and self.trigger.due_at_epoch(run):
            self.compare(run)

    def compare(self, run: Run) -> None:
        """Tell all how long each was busy, and log what is to be said of it."""
        import torch.distributed

        busy: list[Any] = [None] * run.world_size
        own = self.times.seconds() if self.times is not None else 0.0
        torch.distributed.all_gather_object(busy, own, group=run.host_group)
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
    def on_fit_end(self, run: Run) -> None:
        """Compare no more."""
        self.times = None
        dismiss(self.guest, run)


def judge(busy_seconds: list[float]) -> tuple[float, int]:
    """Return how many seconds are between the quickest and the slowest rank, and which is the slowest."""
    slowest = max(range(len(busy_seconds)), key=busy_seconds.__getitem__)
    return busy_seconds[slowest] - min(busy_seconds), slowest
