"""Learning-rate schedules: pure functions of the progress made, with their formulas.

A schedule is made of options and called with the number of completed steps or epochs and the learning rate that a
parameter group was given; it returns the learning rate that holds from then on. `hookloop.scheduling` applies it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hookloop.previewing import Curve, Preview, preview_schedule
    from hookloop.scheduling import Schedule, Stepper

__all__ = [
    "Curve",
    "Preview",
    "Rate",
    "Schedule",
    "Stepper",
    "Unit",
    "between",
    "constant",
    "cosine",
    "decayed",
    "exponential",
    "linear",
    "preview_schedule",
    "step",
]

_LAZY = {
    "Curve": "hookloop.previewing",
    "Preview": "hookloop.previewing",
    "Schedule": "hookloop.scheduling",
    "Stepper": "hookloop.scheduling",
    "preview_schedule": "hookloop.previewing",
}

Unit = Literal["step", "epoch"]

# (completed steps or epochs, the parameter group's own learning rate) -> the learning rate from now on
Rate = Callable[[int, float], float]

MOST_BITS = 1000  # of a divisor, below the 1024 at which a float overflows


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop.schedules' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def between(start: float, end: float, part: float) -> float:
    """Return what lies at *part*, from 0 to 1, of the way from *start* to *end*: exactly these at 0 and at 1."""
    return start * (1.0 - part) + end * part


def decayed(lr: float, gamma: float, times: int) -> float:
    """Return ``lr * gamma ** times``.

    Where gamma is one divided by a whole number, lr is divided instead: 0.1 has no exact float, and 10 has one, so that
    a tenth of 0.1 is 0.01 and not 0.010000000000000002.
    """
    divisor = whole_divisor(gamma)
    if divisor is not None and times * math.log2(divisor) < MOST_BITS:
        return lr / divisor**times
    return lr * gamma**times


def whole_divisor(gamma: float) -> float | None:
    """Return the whole number that one divided by is *gamma*; None where there is none."""
    divisor = 1.0 / gamma if gamma > 0 else 0.5
    return divisor if divisor >= 2 and divisor.is_integer() else None


def constant() -> Rate:
    """Keep the optimizer's own rate."""
    return lambda t, lr: lr


def step(step_size: int, gamma: float = 0.1) -> Rate:
    """Multiply by *gamma* every *step_size*: ``lr * gamma ** floor(t / step_size)``."""
    if step_size <= 0:
        raise ValueError(f"step_size must be more than 0, not {step_size}")
    return lambda t, lr: decayed(lr, gamma, t // step_size)


def exponential(gamma: float) -> Rate:
    """Multiply by *gamma* each time: ``lr * gamma ** t``."""
    if whole_divisor(gamma) is None:
        return lambda t, lr: lr * gamma**t  # what `decayed` returns, without looking at gamma again in each step
    return lambda t, lr: decayed(lr, gamma, t)


def linear(period: int, min_lr: float = 0.0) -> Rate:
    """Go in a straight line from the optimizer's rate to *min_lr* in *period*, and stay there.

    ``lr + (min_lr - lr) * min(t, period) / period``.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    return lambda t, lr: between(lr, min_lr, min(t, period) / period)


def cosine(period: int, min_lr: float = 0.0) -> Rate:
    """Fall along half a cosine from the optimizer's rate to *min_lr* in *period*, and stay there.

    ``min_lr + (lr - min_lr) * (1 + cos(pi * t / period)) / 2``, Loshchilov and Hutter (2017), equation 5.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    return lambda t, lr: between(min_lr, lr, (1.0 + math.cos(math.pi * min(t, period) / period)) / 2.0)
