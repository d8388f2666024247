"""Schedules at work: what sets the learning rates of an optimizer between two steps or epochs.

There are two kinds. A *rate* is a pure function of the run's counters, exact after a resume without a state of its own.
A *stepper* remembers, or follows a metric; torch's own schedulers are steppers, and their state is part of the run's.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hookloop.errors import ConfigError, suggest
from hookloop.schedules import Rate, Unit

if TYPE_CHECKING:
    import torch

    from hookloop.run import Run

log = logging.getLogger("hookloop")

DEFAULT_MONITOR = "val/loss"


class Stepper(Protocol):
    """A schedule that remembers: made for one optimizer, whose learning rates it sets itself.

    ``step()`` is called after each counted step or epoch. One that takes a value, ``step(value)``, is called for each
    new value of the metric that ``monitor`` names, and so is ``observe(value)`` beside a ``step()`` without one. The
    state is tensors and plain values; ``load_state_dict`` raises ValueError for one that is not its own. A stepper
    whose state brings its old options back says so with ``keeps_options = True``: such a state is loaded only where the
    options are the same. torch's schedulers are of this kind.
    """

    step: Callable[..., None]

    def state_dict(self) -> dict[str, Any]:
        """Return what it has to know to go on."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on from *state*."""


class Schedule(Protocol):
    """What sets the learning rates of one optimizer; ``monitor`` names the metric that it follows, if it does."""

    optimizer: torch.optim.Optimizer
    unit: Unit
    monitor: str | None
    pending: float | None

    def apply(self, run: Run) -> None:
        """Set the learning rates that hold from now on."""

    def observe(self, value: float) -> None:
        """Take a new value of the metric."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the run's state has to hold, nothing for a pure function."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; ValueError says why that cannot be."""


class RateSchedule:
    """Sets the learning rate of every parameter group to ``rate(progress, initial_lr)``.

    ``progress`` is the number of completed steps or epochs, as ``unit`` says.
    """

    monitor: str | None = None
    pending: float | None = None

    def __init__(self, optimizer: torch.optim.Optimizer, rate: Rate, unit: Unit) -> None:
        self.optimizer = optimizer
        self.rate = rate
        self.unit = unit

    def apply(self, run: Run) -> None:
        """Set the learning rates that hold from now on."""
        progress = run.step if self.unit == "step" else run.epoch
        for group in self.optimizer.param_groups:
            if "initial_lr" not in group:
                group["initial_lr"] = float(group["lr"])
            lr = self.rate(progress, group["initial_lr"])
            old = group["lr"]
            if isinstance(old, float) or not hasattr(old, "fill_"):
                group["lr"] = lr
            else:
                old.fill_(lr)

    def observe(self, value: float) -> None:
        """Nothing: there is no metric that it follows."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the counters say it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on; a state that another kind of schedule left is of no use."""
        if state:
            log.warning("the state of the schedule %s is dropped, as the schedule is another one now", state["kind"])


class SteppedSchedule:
    """Lets a stepper set the learning rates. ``options`` are what it was made with."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        stepper: Stepper,
        unit: Unit,
        monitor: str | None,
        options: Mapping[str, Any],
    ) -> None:
        self.optimizer = optimizer
        self.stepper = stepper
        self.unit = unit
        self.monitor = (monitor or DEFAULT_MONITOR) if follows_metric(stepper) else None
        self.pending: float | None = None  # a value of the metric that was not shown to the stepper yet
        self.options = options

    def apply(self, run: Run) -> None:
        """Count one step or epoch."""
        if not takes_value(self.stepper):
            self.stepper.step()

    def observe(self, value: float) -> None:
        """Show the stepper a new value of the metric."""
        self.pending = None
        take = self.stepper.step if takes_value(self.stepper) else self.stepper.observe  # type: ignore[attr-defined]
        take(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the stepper's state, with what it is the state of."""
        return {
            "kind": type(self.stepper).__name__,
            "options": plain_options(self.options),
            "pending": self.pending,
            "state": self.stepper.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; ValueError for that of another kind, and for one that would bring other options back."""
        kind = type(self.stepper).__name__
        if not state:
            log.warning("the state to resume from has none for the schedule %s, which begins here", kind)
            return
        if state["kind"] != kind:
            raise ValueError(f"it is that of {state['kind']}, and the schedule is {kind} now")
        own, saved = plain_options(self.options), dict(state["options"])
        if keeps_options(self.stepper) and own != saved:
            raise ValueError(f"{kind} had the options {saved} then and has {own} now")
        try:
            self.stepper.load_state_dict(copy.deepcopy(state["state"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{kind} cannot read it: {type(error).__name__}: {error}") from error
        self.pending = state["pending"]


def takes_value(stepper: Stepper) -> bool:
    """Return whether ``step`` wants the value of a metric, as that of torch's ReduceLROnPlateau does."""
    parameters = inspect.signature(stepper.step).parameters.values()
    return any(each.default is each.empty and each.kind is not each.VAR_POSITIONAL for each in parameters)


def follows_metric(stepper: Stepper) -> bool:
    """Return whether *stepper* goes by a metric."""
    return takes_value(stepper) or callable(getattr(stepper, "observe", None))


def keeps_options(stepper: Stepper) -> bool:
    """Return whether the state of *stepper* brings back the options that it was made with."""
    from torch.optim.lr_scheduler import LRScheduler

    return isinstance(stepper, LRScheduler) or bool(getattr(stepper, "keeps_options", False))


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *options* that can be saved and compared: no functions."""
    plain = {}
    for name, value in options.items():
        try:
            plain[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return plain


def advance(run: Run, unit: Unit) -> bool:
    """Set the learning rates of the schedules that count in *unit*; return whether there are any."""
    moved = False
    for each in run.schedules:
        if each.unit == unit:
            each.apply(run)
            moved = True
    return moved


def note(schedules: Sequence[Schedule], metrics: Mapping[str, float]) -> None:
    """Keep the values of *metrics* for the schedules that follow them."""
    for each in schedules:
        if each.monitor is not None and each.monitor in metrics:
            each.pending = metrics[each.monitor]


def follow(run: Run, *, epoch_ended: bool) -> bool:
    """Show each schedule that follows a metric its newest value, if that is new; return whether any was.

    One that counts epochs is shown a value an epoch at most, the newest; one that counts steps each value that is
    logged. Raises ConfigError for a metric that nobody logs.
    """
    moved = False
    for each in run.schedules:
        if each.monitor is None or not (epoch_ended or each.unit == "step"):
            continue
        value = everywhere(run, each.pending)
        if value is not None:
            each.observe(value)
            moved = True
        elif epoch_ended:
            check_known(each.monitor, run)
    return moved


def everywhere(run: Run, value: float | None) -> float | None:
    """Return what is *value* on rank 0: where ranks logged different values, all of them must decide by one."""
    if run.world_size == 1:
        return value
    from hookloop.topology import gather_parts

    first: float | None = gather_parts(value, run.host_group)[0]
    return first


def check_known(monitor: str, run: Run) -> None:
    """Raise ConfigError, at the end of an epoch, for a metric that was never logged; validations may be rarer."""
    group = monitor.partition("/")[0] + "/"
    validated = any(name.startswith("val/") for name in run.metrics)
    if monitor not in run.metrics and (group != "val/" or validated):
        known = ", ".join(sorted(run.metrics)) or "none"
        raise ConfigError(
            f"schedule.monitor: nobody logs '{monitor}'.{suggest(monitor, run.metrics)} Logged so far: {known}."
        )


def load_schedules(schedules: Sequence[Schedule], saved: Sequence[Mapping[str, Any]], *, strict: bool) -> None:
    """Put the state of each schedule back.

    Raises ConfigError for a state that does not fit; unless *strict*, the schedule begins anew then, with a warning.
    """
    for number, schedule in enumerate(schedules):
        try:
            schedule.load_state_dict(saved[number] if number < len(saved) else {})
        except ValueError as error:
            if strict:
                raise ConfigError(
                    f"the state of schedule {number} does not fit: {error}. To begin the schedule anew from here: "
                    "--set run.strict_resume=false"
                ) from error
            log.warning("run.strict_resume is false, so schedule %d begins anew: %s", number, error)
    for state in saved[len(schedules) :]:
        if state:
            log.warning("the state of the schedule %s is dropped, as there is no such schedule now", state["kind"])
