"""The plugin ``timing``: how long an iteration takes, what of it, and how long it waits for data."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.marks import HostMarks, marks_for
from hookloop_profiler.timeline import Averages, Timeline

if TYPE_CHECKING:
    from hookloop import Run

PREFIX = {"train": "", "validate": "val/", "test": "test/", "predict": "predict/"}


class Timing:
    """Times iterations: on a device by events that are read once the device has passed them, never by waiting.

    Hooks are placed so that what other plugins do at the start and the end of a step is not counted.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.timing]``."""

        window: int = Field(50, ge=1)
        """Over how many iterations, the latest, to average. An evaluation has a window of its own."""

        warmup: int = Field(3, ge=0)
        """How many iterations to leave out: the first of training in this process, and the first of each kind of
        evaluation."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing measured."""
        self.averages: dict[str, Averages] = {}
        self.timeline = Timeline(HostMarks(float))
        self.waits_since: float | None = None
        self.waited_seconds = 0.0

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Have the means of training read at each logging boundary."""
        self.reset()
        run.gauge(lambda: self.publish(run, "train"))

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Take the device's own time where it has one."""
        self.timeline = Timeline(marks_for(run.device, run.clock))

    def of_stage(self, stage: str) -> Averages:
        """Return the averages of *stage*."""
        if stage not in self.averages:
            self.averages[stage] = Averages(self.config.window, self.config.warmup)
        return self.averages[stage]

    def publish(self, run: Run, stage: str) -> None:
        """Log the means of *stage*, if there is anything new."""
        for name, seconds in self.of_stage(stage).take().items():
            run.log(f"time/{PREFIX[stage]}{name}_seconds", seconds)

    def close(self, run: Run) -> None:
        """End an iteration, and take in what is complete by now."""
        self.timeline.end("iteration")
        self.timeline.add("data_wait", self.waited_seconds)
        self.waited_seconds = 0.0
        self.timeline.close()
        averages = self.of_stage(run.stage)
        for seconds in self.timeline.finished():
            averages.add(seconds)

    def wait(self, run: Run) -> None:
        """Begin to wait for data."""
        self.waits_since = run.clock()

    def waited(self, run: Run) -> None:
        """End waiting for data."""
        if self.waits_since is not None:
            self.waited_seconds += run.clock() - self.waits_since
        self.waits_since = None

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Begin to wait."""
        self.wait(run)

    @hookimpl(tryfirst=True)
    def on_fetch_end(self, run: Run) -> None:
        """The batch is here."""
        self.waited(run)

    @hookimpl(tryfirst=True)
    def on_data_exhausted(self) -> None:
        """What was waited for did not come: that was no wait for a batch."""
        self.waits_since = None

    @hookimpl(trylast=True)
    def on_step_start(self) -> None:
        """Begin the iteration."""
        self.timeline.begin("iteration")

    @hookimpl(tryfirst=True)
    def on_step_end(self, run: Run) -> None:
        """End the iteration."""
        self.close(run)

    @hookimpl(tryfirst=True)
    def on_optimizer_step_skipped(self) -> None:
        """Leave out an iteration that did not come to its end."""
        self.timeline.drop()
        self.waited_seconds = 0.0

    @hookimpl(trylast=True)
    def on_forward_start(self) -> None:
        """Begin the forward pass and the loss."""
        self.timeline.begin("forward")

    @hookimpl(tryfirst=True)
    def on_forward_end(self) -> None:
        """End them."""
        self.timeline.end("forward")

    @hookimpl(trylast=True)
    def on_backward_start(self) -> None:
        """Begin the backward pass."""
        self.timeline.begin("backward")

    @hookimpl(tryfirst=True)
    def on_backward_end(self) -> None:
        """End it."""
        self.timeline.end("backward")

    @hookimpl(trylast=True)
    def on_optimizer_step_start(self) -> None:
        """Begin the update of the weights."""
        self.timeline.begin("optimizer")

    @hookimpl(tryfirst=True)
    def on_optimizer_step_end(self) -> None:
        """End it."""
        self.timeline.end("optimizer")

    # An evaluation has no hooks around its fetches: the wait is from the end of a batch to where the next is moved.

    def evaluation_starts(self, run: Run) -> None:
        """Begin to wait, with what is left of training put away."""
        for seconds in self.timeline.finished():
            self.of_stage("train").add(seconds)
        self.timeline.pending.clear()
        self.timeline.drop()
        self.waited_seconds = 0.0
        self.wait(run)

    @hookimpl(tryfirst=True)
    def transfer_batch(self, run: Run) -> None:
        """The batch of an evaluation is here."""
        if run.stage != "train":
            self.waited(run)

    @hookimpl(trylast=True)
    def on_validation_start(self, run: Run) -> None:
        """Begin to wait."""
        self.evaluation_starts(run)

    @hookimpl(trylast=True)
    def on_validation_batch_start(self) -> None:
        """Begin the iteration."""
        self.timeline.begin("iteration")

    @hookimpl(wrapper=True)
    def on_validation_batch_end(self, run: Run) -> Generator[None, Any, Any]:
        """End the iteration, and begin to wait when all others have seen it."""
        self.close(run)
        result = yield
        self.wait(run)
        return result

    @hookimpl
    def on_validation_end(self, run: Run) -> None:
        """Log the means of validation."""
        self.evaluation_ends(run)

    @hookimpl(trylast=True)
    def on_test_start(self, run: Run) -> None:
        """Begin to wait."""
        self.evaluation_starts(run)

    @hookimpl(trylast=True)
    def on_test_batch_start(self) -> None:
        """Begin the iteration."""
        self.timeline.begin("iteration")

    @hookimpl(wrapper=True)
    def on_test_batch_end(self, run: Run) -> Generator[None, Any, Any]:
        """End the iteration, and begin to wait when all others have seen it."""
        self.close(run)
        result = yield
        self.wait(run)
        return result

    @hookimpl
    def on_test_end(self, run: Run) -> None:
        """Log the means of the test."""
        self.evaluation_ends(run)

    @hookimpl(trylast=True)
    def on_predict_start(self, run: Run) -> None:
        """Begin to wait."""
        self.evaluation_starts(run)

    @hookimpl(trylast=True)
    def on_predict_batch_start(self) -> None:
        """Begin the iteration."""
        self.timeline.begin("iteration")

    @hookimpl(wrapper=True)
    def on_predict_batch_end(self, run: Run) -> Generator[None, Any, Any]:
        """End the iteration, and begin to wait when all others have seen it."""
        self.close(run)
        result = yield
        self.wait(run)
        return result

    @hookimpl
    def on_predict_end(self, run: Run) -> None:
        """Log the means of the prediction."""
        self.evaluation_ends(run)

    def evaluation_ends(self, run: Run) -> None:
        """Log the means of the stage; what the device has not come to yet is left out."""
        for seconds in self.timeline.finished():
            self.of_stage(run.stage).add(seconds)
        self.timeline.pending.clear()
        self.waits_since = None
        self.publish(run, run.stage)
