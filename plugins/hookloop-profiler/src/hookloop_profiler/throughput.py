"""The plugin ``throughput``: samples, tokens or whatever else a second, in training and in every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import PluginConfig, check_function_location, hookimpl, import_function
from hookloop_profiler.meter import Meter

if TYPE_CHECKING:
    from hookloop import Run

PREFIX = {"validate": "val/", "test": "test/", "predict": "predict/"}
Amount = Annotated[float, Field(gt=0)]


class Throughput:
    """Counts what is in each batch, so that the last one, which may be smaller, counts for what it holds."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.throughput]``."""

        samples: bool = True
        """Measure samples a second."""

        units: dict[str, Amount | Annotated[str, AfterValidator(check_function_location)]] = Field({})
        """What else to measure, by name: how many of it are in a sample, as in `{ pixels = 784 }`, or your function of
        a batch, as in `{ tokens = "data.py:count_tokens" }`, which returns a number or a tensor of one element."""

        warmup_steps: int = Field(3, ge=0)
        """How many steps to leave out, the first of training in this process. An epoch counts as a whole."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset(float)

    def reset(self, clock: Callable[[], float]) -> None:
        """Begin with nothing counted."""
        self.functions: dict[str, Callable[[Any], Any]] = {}
        self.recent, self.epoch, self.evaluation = Meter(clock), Meter(clock), Meter(clock)
        self.steps = 0

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Import the functions, and have the rate of training read at each logging boundary."""
        self.reset(run.clock)
        locations = {unit: each for unit, each in self.config.units.items() if isinstance(each, str)}
        self.functions = {unit: import_function(each) for unit, each in locations.items()}
        run.gauge(lambda: self.publish(run, self.recent, ""))

    def amounts(self, run: Run, batch: Any) -> dict[str, Any]:
        """Return what *batch* holds, by unit."""
        samples = run.task.batch_size(batch)
        found: dict[str, Any] = {"samples": samples} if self.config.samples else {}
        for unit, each in self.config.units.items():
            found[unit] = self.functions[unit](batch) if isinstance(each, str) else samples * each
        return found

    def publish(self, run: Run, meter: Meter, prefix: str) -> None:
        """Log the rates of *meter*."""
        for unit, rate in meter.take().items():
            run.log(f"throughput/{prefix}{unit}_per_second", rate)

    @hookimpl(trylast=True)
    def on_fetch_start(self) -> None:
        """Let the time run; waiting for data is part of it."""
        self.epoch.go_on()
        if self.steps >= self.config.warmup_steps:
            self.recent.go_on()

    @hookimpl
    def on_batch_end(self, run: Run) -> None:
        """Count a micro-batch."""
        amounts = self.amounts(run, run.batch)
        self.recent.count(amounts)
        self.epoch.count(amounts)

    @hookimpl
    def on_step_end(self) -> None:
        """Count a step of the warm-up."""
        self.steps += 1

    @hookimpl(tryfirst=True)
    def on_train_epoch_end(self, run: Run) -> None:
        """Log the rate of the whole epoch, or of what a resumed run had left of it."""
        self.pause()
        self.publish(run, self.epoch, "epoch/")

    def pause(self) -> None:
        """Let the time of training stand."""
        self.recent.pause()
        self.epoch.pause()

    def evaluation_starts(self) -> None:
        """Measure the evaluation instead of training."""
        self.pause()
        self.evaluation.take()
        self.evaluation.go_on()

    def evaluation_ends(self, run: Run) -> None:
        """Log the rate of the evaluation."""
        self.evaluation.pause()
        self.publish(run, self.evaluation, PREFIX[run.stage])

    @hookimpl(trylast=True)
    def on_validation_start(self) -> None:
        """Begin."""
        self.evaluation_starts()

    @hookimpl
    def on_validation_batch_end(self, run: Run, batch: Any) -> None:
        """Count a batch."""
        self.evaluation.count(self.amounts(run, batch))

    @hookimpl(tryfirst=True)
    def on_validation_end(self, run: Run) -> None:
        """End."""
        self.evaluation_ends(run)

    @hookimpl(trylast=True)
    def on_test_start(self) -> None:
        """Begin."""
        self.evaluation_starts()

    @hookimpl
    def on_test_batch_end(self, run: Run, batch: Any) -> None:
        """Count a batch."""
        self.evaluation.count(self.amounts(run, batch))

    @hookimpl(tryfirst=True)
    def on_test_end(self, run: Run) -> None:
        """End."""
        self.evaluation_ends(run)

    @hookimpl(trylast=True)
    def on_predict_start(self) -> None:
        """Begin."""
        self.evaluation_starts()

    @hookimpl
    def on_predict_batch_end(self, run: Run, batch: Any) -> None:
        """Count a batch."""
        self.evaluation.count(self.amounts(run, batch))

    @hookimpl(tryfirst=True)
    def on_predict_end(self, run: Run) -> None:
        """End."""
        self.evaluation_ends(run)
