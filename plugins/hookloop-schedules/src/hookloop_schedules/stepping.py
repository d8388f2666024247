"""What schedules with a memory have in common with torch's, and how they are told of a metric."""

from __future__ import annotations

import inspect
from typing import Any


def takes_value(stepper: Any) -> bool:
    """Return whether ``step`` wants the value of a metric."""
    parameters = inspect.signature(stepper.step).parameters.values()
    return any(each.default is each.empty and each.kind is not each.VAR_POSITIONAL for each in parameters)


def show(stepper: Any, value: float) -> None:
    """Tell *stepper* of a new value of its metric."""
    if takes_value(stepper):
        stepper.step(value)
    else:
        stepper.observe(value)


def brings_options(stepper: Any) -> bool:
    """Return whether the state of *stepper* holds its options, as that of torch's schedulers does."""
    from torch.optim.lr_scheduler import LRScheduler

    return isinstance(stepper, LRScheduler) or bool(getattr(stepper, "keeps_options", False))
