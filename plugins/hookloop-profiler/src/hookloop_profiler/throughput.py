"""The plugin ``throughput``: samples, tokens or whatever else a second, in training and in every evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import PluginConfig, check_function_location, hookimpl, import_function
from hookloop_profiler.instances import invite
from hookloop_profiler.meter import SAMPLES, Meter

if TYPE_CHECKING:
    from hookloop import Run

PREFIX = {"validate": "val/", "test": "test/", "predict": "predict/"}
Amount = Annotated[float, Field(gt=0)]
Functions = Mapping[str, Callable[[Any], Any]]


@functools.cache
def metric(prefix: str, unit: str) -> str:
    """Return the name of the metric, the same text each time: a new one in each row would be hashed and kept."""
    return f"throughput/{prefix}{unit}_per_second"


class UnitCounter:
    """Asks the user's functions about every batch of training; only runs that have such functions have it."""

    role = "observer"

    def __init__(self, functions: Functions, *meters: Meter) -> None:
        self.functions = functions
        self.meters = meters

    @hookimpl
    def on_batch_end(self, run: Run) -> None:
        """Count a micro-batch."""
        count_units(self.functions, run.batch, *self.meters)


def count_units(functions: Functions, batch: Any, *meters: Meter) -> None:
    """Count what *functions* find in *batch*; nobody reads it, should it be on a device."""
    for unit, function in functions.items():
        amount = function(batch)
        for meter in meters:
            meter.count(unit, amount)


class Throughput:
    """Reads the engine's count of samples, in which the last batch counts for what it holds, at logging boundaries.

    So a step of training costs no more than a look at whether the time stands.
    """

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
        self.samples, self.units = config.samples, config.units
        self.reset(float)

    def reset(self, clock: Callable[[], float]) -> None:
        """Begin with nothing counted."""
        self.functions: Functions = {}
        self.recent, self.epoch, self.evaluation = Meter(clock), Meter(clock), Meter(clock)
        self.first_step: int | None = None
        self.in_epoch = False

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Import the functions, and have the rate of training read at each logging boundary."""
        self.reset(run.clock)
        locations = {unit: each for unit, each in self.config.units.items() if isinstance(each, str)}
        self.functions = {unit: import_function(each) for unit, each in locations.items()}
        if self.functions:
            invite(self, UnitCounter(self.functions, self.recent, self.epoch), run)
        run.gauge(lambda: self.rates(self.recent.take(run.samples)))

    def rates(self, measured: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """Return what to log of what was *measured*, by unit."""
        if not measured:
            return {}
        samples = measured[SAMPLES]
        rates = {metric(prefix, SAMPLES): samples} if self.samples else {}
        for unit, each in self.units.items():
            rates[metric(prefix, unit)] = measured[unit] if isinstance(each, str) else samples * each
        return rates

    def publish(self, run: Run, measured: Mapping[str, Any], prefix: str) -> None:
        """Log what was *measured* in all of an epoch or an evaluation."""
        for name, rate in self.rates(measured, prefix).items():
            run.log(name, rate)

    @hookimpl(trylast=True)
    def on_fetch_start(self, run: Run) -> None:
        """Let the time run, which waiting for data is part of; later steps are not looked at."""
        if self.first_step is None:
            self.first_step = run.step
        self.in_epoch = True
        self.go_on(run)
        if self.is_warm(run):
            vars(self)["on_fetch_start"] = None  # so that it costs no step anything
            run.plugins.refresh()

    def is_warm(self, run: Run) -> bool:
        """Return whether the steps to leave out are over."""
        return self.first_step is not None and run.step - self.first_step >= self.config.warmup_steps

    def go_on(self, run: Run) -> None:
        """Let the time of training run."""
        self.epoch.go_on(run.samples)
        if self.is_warm(run):
            self.recent.go_on(run.samples)

    def pause(self, run: Run) -> None:
        """Let the time of training stand."""
        self.recent.pause(run.samples)
        self.epoch.pause(run.samples)

    @hookimpl(trylast=True)
    def on_epoch_start(self, run: Run) -> None:
        """Go on measuring."""
        self.in_epoch = True
        self.go_on(run)

    @hookimpl(tryfirst=True)
    def on_train_epoch_end(self, run: Run) -> None:
        """Log the rate of the whole epoch, or of what a resumed run had left of it."""
        self.in_epoch = False
        self.pause(run)
        self.publish(run, self.epoch.take(run.samples), "epoch/")

    @hookimpl(trylast=True)
    def on_validation_start(self, run: Run) -> None:
        """Measure the evaluation instead of training."""
        self.pause(run)
        self.evaluation.forget()
        self.evaluation.go_on()

    @hookimpl
    def on_validation_batch_end(self, run: Run, batch: Any) -> None:
        """Count a batch."""
        self.evaluation.count(SAMPLES, run.task.batch_size(batch))
        count_units(self.functions, batch, self.evaluation)

    @hookimpl(tryfirst=True)
    def on_validation_end(self, run: Run) -> None:
        """Log the rate of the evaluation."""
        self.evaluation.pause()
        self.publish(run, self.evaluation.take(), PREFIX[run.stage])
        if self.in_epoch:
            self.go_on(run)

    @hookimpl
    def on_run_end(self) -> None:
        """Look at the first steps of another run again."""
        vars(self).pop("on_fetch_start", None)

    on_test_start = on_predict_start = on_validation_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end
    on_test_end = on_predict_end = on_validation_end
