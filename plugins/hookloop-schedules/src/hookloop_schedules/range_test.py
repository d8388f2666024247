"""The range test by itself: which rates to try, how to smooth what comes of them, and which to suggest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Method = Literal["steepest", "minimum"]

LEAST_FALL = 0.01  # of the first mean: less is chance
EDGE = 0.1  # of the points at the beginning, where the mean of a few losses is mostly chance


@dataclass(frozen=True)
class Point:
    """A rate that was tried, the loss that the step with it found, and the mean of the losses up to it."""

    lr: float
    loss: float
    smoothed: float


def candidates(min_lr: float, max_lr: float, steps: int) -> list[float]:
    """Return *steps* rates from *min_lr* to *max_lr*: ``min_lr * (max_lr / min_lr) ** (i / (steps - 1))``.

    Smith (2017), section 3.3, with equal ratios in place of equal differences, as a rate is a matter of its magnitude.
    """
    last = max(steps - 1, 1)
    return [min_lr * (max_lr / min_lr) ** (index / last) for index in range(steps)]


def smooth(losses: Sequence[float], weight: float) -> list[float]:
    """Return the exponential mean with *weight* on the past, corrected for beginning with nothing.

    ``m = weight * m + (1 - weight) * loss``, divided by ``1 - weight ** n``.
    """
    means: list[float] = []
    mean = 0.0
    for count, loss in enumerate(losses, 1):
        mean = weight * mean + (1.0 - weight) * loss
        means.append(mean / (1.0 - weight**count))
    return means


def diverges(smoothed: Sequence[float], factor: float) -> bool:
    """Return whether the newest mean is no number, or more than *factor* times the lowest."""
    return bool(smoothed) and not smoothed[-1] <= factor * min(smoothed)


def suggest(points: Sequence[Point], method: Method) -> float | None:
    """Return a rate to train with, or None when no rate made the loss fall.

    ``steepest`` is where the mean falls fastest against the logarithm of the rate; ``minimum`` is a tenth of the rate
    at which it is lowest.
    """
    usable = [each for each in points[int(EDGE * len(points)) :] if math.isfinite(each.smoothed)]
    if len(usable) < 3:
        return None
    first = usable[0].smoothed
    if min(each.smoothed for each in usable) > first - LEAST_FALL * abs(first):
        return None
    if method == "minimum":
        return min(usable, key=lambda each: each.smoothed).lr / 10.0
    slopes = [slope(before, after) for before, after in zip(usable, usable[2:], strict=False)]
    return usable[slopes.index(min(slopes)) + 1].lr


def slope(before: Point, after: Point) -> float:
    """Return how fast the mean changes between two points, per factor e of the rate."""
    return (after.smoothed - before.smoothed) / math.log(after.lr / before.lr)
