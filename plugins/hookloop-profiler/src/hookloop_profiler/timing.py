"""The plugin ``timing``: how long an iteration takes, what of it, and how long it waits for data."""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import inf
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.instances import dismiss, invite
from hookloop_profiler.marks import HostMarks, marks_for
from hookloop_profiler.phase_times import PhaseTimes
from hookloop_profiler.timeline import Span, Timeline

if TYPE_CHECKING:
    from hookloop import Run

PREFIX = {"train": "", "validate": "val/", "test": "test/", "predict": "predict/"}

# To time the phases takes about five microseconds, which steps as short as this would feel.
SHORT_SECONDS = 1e-3
REST_SECONDS = 10.0


class Timing:
    """Times iterations: on a device by events that are read once the device has passed them, never by waiting.

    Hooks are placed so that what other plugins do at the start and the end of a step is not counted. All that they do
    is to take marks; how far these are apart is worked out at a logging boundary.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.timing]``."""

        window: int = Field(50, ge=1)
        """Over how many iterations, the latest, to average. Each evaluation has a window of its own."""

        warmup: int = Field(3, ge=0)
        """How many iterations to leave out: the first of training in this process, and the first of each kind of
        evaluation."""

        phases: bool = True
        """Time forward, backward and update as well. Where iterations are shorter than a millisecond, those of `window`
        iterations every ten seconds: to time them all would be felt."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset(float)

    def reset(self, clock: Callable[[], float]) -> None:
        """Begin with nothing measured."""
        self.clock = clock
        self.mark: Callable[[], Any] = clock
        self.timelines = {stage: Timeline(HostMarks(clock), self.config.window, self.config.warmup) for stage in PREFIX}
        self.training = self.timelines["train"]
        self.spans: list[Span] = []
        self.began: Any = None
        self.wait_began = self.waited_seconds = 0.0
        self.guest = ""
        self.phases_from_step = 0
        self.phases_rest_until = inf

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Have the means of training read at each logging boundary."""
        self.reset(run.clock)
        run.gauge(lambda: self.read(run))

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Take the device's own time where it has one."""
        marks = marks_for(run.device, run.clock)
        self.mark = marks.mark
        for each in self.timelines.values():
            each.marks = marks

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Have the phases timed."""
        if self.config.phases:
            self.time_phases(run)

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Time no more phases."""
        guest, self.guest = self.guest, ""
        dismiss(guest, run)
        self.phases_rest_until = inf

    def time_phases(self, run: Run) -> None:
        """Have the phases timed from now on."""
        self.phases_from_step = run.step
        self.guest = invite(self, PhaseTimes(self.mark, self.spans), run)

    def read(self, run: Run) -> None:
        """Log the means of training; let the phases rest where that is worth it, and have them timed again."""
        self.publish(run, "train")
        if self.guest and self.has_seen_enough(run):
            guest, self.guest = self.guest, ""
            dismiss(guest, run)
            self.phases_rest_until = run.clock() + REST_SECONDS
        elif not self.guest and run.clock() >= self.phases_rest_until:
            self.time_phases(run)

    def has_seen_enough(self, run: Run) -> bool:
        """Return whether the phases of a whole window were timed, in steps so short that more would be felt."""
        if run.step - self.phases_from_step < self.config.window + self.config.warmup:
            return False
        return min((row["iteration"] for row in self.training.rows), default=inf) < SHORT_SECONDS

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Begin to wait."""
        self.wait_began = self.clock()

    @hookimpl(tryfirst=True)
    def on_fetch_end(self, run: Run, batch: Any) -> None:
        """The batch is here. What ends without one, as at the end of the data, was no wait for a batch."""
        self.waited_seconds += self.clock() - self.wait_began

    @hookimpl(trylast=True)
    def on_step_start(self, run: Run) -> None:
        """Begin the iteration."""
        self.began = self.mark()

    @hookimpl(tryfirst=True)
    def on_step_end(self, run: Run) -> None:
        """End the iteration."""
        ended, spans = self.mark(), self.spans
        if spans:
            self.training.add(self.began, ended, self.waited_seconds, tuple(spans))
            spans.clear()
        else:
            self.training.add(self.began, ended, self.waited_seconds)
        self.waited_seconds = 0.0

    @hookimpl(tryfirst=True)
    def on_optimizer_step_skipped(self, run: Run) -> None:
        """Leave out an iteration that did not come to its end."""
        self.spans.clear()
        self.waited_seconds = 0.0

    # An evaluation has no hooks around its fetches: the wait is from the end of a batch to the start of the next.

    @hookimpl(trylast=True)
    def on_validation_start(self, run: Run) -> None:
        """Begin to wait; what an evaluation before this one took is history."""
        self.timelines[run.stage].forget()
        self.wait_began = self.clock()

    @hookimpl(wrapper=True, tryfirst=True)
    def on_validation_batch_start(self, run: Run) -> Generator[None, Any, Any]:
        """The batch is here; begin the iteration when all others have seen it."""
        self.waited_seconds = self.clock() - self.wait_began
        result = yield
        self.began = self.mark()
        return result

    @hookimpl(wrapper=True, tryfirst=True)
    def on_validation_batch_end(self, run: Run) -> Generator[None, Any, Any]:
        """End the iteration, and begin to wait when all others have seen it."""
        self.timelines[run.stage].add(self.began, self.mark(), self.waited_seconds)
        result = yield
        self.wait_began = self.clock()
        return result

    @hookimpl
    def on_validation_end(self, run: Run) -> None:
        """Log the means of the stage; what the device has not come to yet is left out."""
        self.waited_seconds = 0.0
        self.publish(run, run.stage)

    on_test_start = on_predict_start = on_validation_start
    on_test_batch_start = on_predict_batch_start = on_validation_batch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end
    on_test_end = on_predict_end = on_validation_end

    def publish(self, run: Run, stage: str) -> None:
        """Log the means of *stage*, if there is anything new."""
        for name, seconds in self.timelines[stage].means().items():
            run.log(f"time/{PREFIX[stage]}{name}_seconds", seconds)
