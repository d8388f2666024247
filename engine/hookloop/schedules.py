"""Learning-rate schedules: pure functions of the progress made, and the object that applies one to an optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from hookloop.run import Run

Unit = Literal["step", "epoch"]

# (completed steps or epochs, the parameter group's own learning rate) -> the learning rate from now on
Rate = Callable[[int, float], float]


class Schedule:
    """Sets the learning rate of every parameter group to ``rate(progress, initial_lr)``.

    ``progress`` is the number of completed steps or epochs, as ``unit`` says, so the rate follows from the run's
    counters alone and is exact after a resume without a state of its own.
    """

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
            if hasattr(group["lr"], "fill_"):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr


def constant() -> Rate:
    """Keep the optimizer's own rate."""
    return lambda t, lr: lr


def step(step_size: int, gamma: float = 0.1) -> Rate:
    """Multiply by *gamma* every *step_size*: ``lr * gamma ** floor(t / step_size)``."""
    if step_size <= 0:
        raise ValueError(f"step_size must be more than 0, not {step_size}")
    return lambda t, lr: lr * gamma ** (t // step_size)


def exponential(gamma: float) -> Rate:
    """Multiply by *gamma* each time: ``lr * gamma ** t``."""
    return lambda t, lr: lr * gamma**t


def linear(period: int, min_lr: float = 0.0) -> Rate:
    """Go in a straight line from the optimizer's rate to *min_lr* in *period*, and stay there."""
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    return lambda t, lr: lr + (min_lr - lr) * min(t, period) / period


def cosine(period: int, min_lr: float = 0.0) -> Rate:
    """Fall along half a cosine from the optimizer's rate to *min_lr* in *period*, and stay there.

    ``min_lr + (lr - min_lr) * (1 + cos(pi * t / period)) / 2``, Loshchilov and Hutter (2017), equation 5.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    return lambda t, lr: min_lr + (lr - min_lr) * (1.0 + math.cos(math.pi * min(t, period) / period)) / 2.0
