"""Schedules that are pure functions: of how many steps or epochs are over, and of a parameter group's own rate.

Each function here takes options and returns ``rate(t, lr)``. The optimizer's own rate ``lr`` is where a schedule starts
or, of those that rise and fall, the highest. Options are checked when the rate is made: ValueError says what is wrong.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from hookloop.schedules import Rate, between

CycleMode = Literal["triangular", "triangular2", "exp_range"]
Anneal = Literal["cos", "linear"]
Interpolation = Literal["none", "linear", "cosine"]


def cosine_part(part: float) -> float:
    """Return ``(1 + cos(pi * part)) / 2``, which falls from 1 to 0 as *part* goes from 0 to 1."""
    return (1.0 + math.cos(math.pi * part)) / 2.0


def cosine(period: int, min_lr: float = 0.0, restarts: int = 0, growth: float = 1.0) -> Rate:
    """Fall along half a cosine from the optimizer's rate to *min_lr*; *restarts* times jump back and fall anew.

    ``min_lr + (lr - min_lr) * (1 + cos(pi * t_cur / T_i)) / 2``, Loshchilov and Hutter (2017), equation 5, where t_cur
    counts from the last restart. With n = restarts + 1, cycle i of them begins at ``period * (g**i - 1) / (g**n - 1)``:
    each is *growth* times as long as the one before, and together they are *period*. Afterwards it stays at *min_lr*.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    if restarts < 0:
        raise ValueError(f"restarts must be 0 or more, not {restarts}")
    if growth <= 0:
        raise ValueError(f"growth must be more than 0, not {growth}")
    starts = cycle_starts(period, restarts + 1, growth)

    def rate(t: int, lr: float) -> float:
        if t >= period:
            return min_lr
        cycle = bisect_right(starts, t) - 1
        part = (t - starts[cycle]) / (starts[cycle + 1] - starts[cycle])
        return between(min_lr, lr, cosine_part(part))

    return rate


def cycle_starts(period: int, cycles: int, growth: float) -> list[float]:
    """Return where each of *cycles* begins, and where the last one ends: at *period*."""
    if growth == 1.0:
        return [period * index / cycles for index in range(cycles + 1)]
    whole = growth**cycles - 1.0
    return [period * (growth**index - 1.0) / whole for index in range(cycles + 1)]


def cyclical(half_cycle: int, min_lr: float, mode: CycleMode = "triangular", gamma: float | None = None) -> Rate:
    """Rise from *min_lr* to the optimizer's rate in *half_cycle*, fall back in as much, and begin again.

    Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3, with m = half_cycle:
    ``cycle = floor(1 + t / (2m))``, ``x = |t / m - 2 * cycle + 1|``, ``min_lr + (lr - min_lr) * max(0, 1 - x) * s``.
    s is 1 for ``triangular``, ``1 / 2**(cycle - 1)`` for ``triangular2``, and ``gamma**t`` for ``exp_range``.
    """
    if half_cycle <= 0:
        raise ValueError(f"half_cycle must be more than 0, not {half_cycle}")
    scales = cycle_scales(1.0 if gamma is None else gamma)
    if mode not in scales:
        raise ValueError(f"mode must be one of {', '.join(scales)}, not {mode!r}")
    if (mode == "exp_range") != (gamma is not None):
        raise ValueError("gamma belongs to mode = 'exp_range', which needs it")
    scale = scales[mode]

    def rate(t: int, lr: float) -> float:
        cycle = math.floor(1 + t / (2 * half_cycle))
        x = abs(t / half_cycle - 2 * cycle + 1)
        return between(min_lr, lr, max(0.0, 1.0 - x) * scale(t, cycle))

    return rate


def cycle_scales(gamma: float) -> dict[str, Callable[[int, int], float]]:
    """Return by mode what the height of a cycle is multiplied by, given t and the number of the cycle, from 1."""
    return {
        "triangular": lambda t, cycle: 1.0,
        "triangular2": lambda t, cycle: 0.5 ** (cycle - 1),
        "exp_range": lambda t, cycle: gamma**t,
    }


def polynomial(period: int, power: float = 1.0, min_lr: float = 0.0) -> Rate:
    """Fall from the optimizer's rate to *min_lr* in *period* along a power, and stay there.

    ``min_lr + (lr - min_lr) * (1 - t / period) ** power``, as in Chen et al. (2017), "DeepLab", section 4.1.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    if power <= 0:
        raise ValueError(f"power must be more than 0, not {power}")
    return lambda t, lr: between(min_lr, lr, (1.0 - min(t, period) / period) ** power)


def one_cycle(
    period: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: Anneal = "cos",
    three_phase: bool = False,
) -> Rate:
    """Rise from ``lr / div_factor`` to the optimizer's rate, then fall to ``lr / div_factor / final_div_factor``.

    Smith and Topin (2018), "Super-Convergence", in the form and with the names of torch's OneCycleLR: the top is at
    ``pct_start * period - 1``, the bottom at ``period - 1``. With *three_phase* it falls to where it began as fast as
    it rose, and then to the bottom. Momentum is left alone; torch's class by its name, OneCycleLR, cycles it too.
    """
    if period <= 0:
        raise ValueError(f"period must be more than 0, not {period}")
    if not 0 <= pct_start <= 1:
        raise ValueError(f"pct_start must be from 0 to 1, not {pct_start}")
    if anneal_strategy not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
    top, bottom = pct_start * period - 1.0, period - 1.0
    ends = [top, 2.0 * pct_start * period - 2.0, bottom] if three_phase else [top, bottom]
    anneal = cosine_anneal if anneal_strategy == "cos" else linear_anneal

    def rate(t: int, lr: float) -> float:
        low = lr / div_factor
        heights = [low, lr, low, low / final_div_factor] if three_phase else [low, lr, low / final_div_factor]
        step = min(float(t), bottom)
        phase = next((index for index, end in enumerate(ends[:-1]) if step <= end), len(ends) - 1)
        start = ends[phase - 1] if phase else 0.0
        part = (step - start) / (ends[phase] - start) if ends[phase] != start else 1.0
        return anneal(heights[phase], heights[phase + 1], part)

    return rate


def cosine_anneal(start: float, end: float, part: float) -> float:
    """Return ``end + (start - end) / 2 * (1 + cos(pi * part))``, rounded as torch's OneCycleLR rounds it."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def linear_anneal(start: float, end: float, part: float) -> float:
    """Return ``(end - start) * part + start``, rounded as torch's OneCycleLR rounds it."""
    return (end - start) * part + start


def piecewise(points: Sequence[Sequence[float]], interpolate: Interpolation = "none") -> Rate:
    """Multiply the optimizer's rate by the factor of the last of *points* that t has come to.

    A point is a pair ``[t, factor]``. Between two of them the factor is that of the first, or lies on the line or the
    half cosine from one to the other; before the first and after the last it is theirs.
    """
    if not points or any(len(point) != 2 for point in points):
        raise ValueError("points must be pairs of progress and factor, such as [[0, 1.0], [30, 0.1]]")
    times = [point[0] for point in points]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError(f"points must be in order of their progress, which is {times}")
    if interpolate not in ("none", "linear", "cosine"):
        raise ValueError(f"interpolate must be 'none', 'linear' or 'cosine', not {interpolate!r}")
    factors = [point[1] for point in points]

    def rate(t: int, lr: float) -> float:
        index = bisect_right(times, t) - 1
        if index < 0 or index == len(times) - 1 or interpolate == "none":
            return lr * factors[max(index, 0)]
        part = (t - times[index]) / (times[index + 1] - times[index])
        return lr * between(factors[index + 1], factors[index], fall(interpolate, part))

    return rate


def fall(interpolate: Interpolation, part: float) -> float:
    """Return how much of the first of two factors is left at *part* of the way to the second."""
    return cosine_part(part) if interpolate == "cosine" else 1.0 - part
