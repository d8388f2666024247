"""Decides when a metric has stopped getting better. Plain numbers: no run, no model, no torch."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Mode = Literal["min", "max"]
Convention = Literal["consecutive", "keras"]

LOW_IS_GOOD = ("loss", "error", "perplexity")


def mode_of(metric: str) -> Mode | None:
    """Return ``"min"`` for a metric whose name says that low is good, and None for any other."""
    return "min" if metric.lower().endswith(LOW_IS_GOOD) else None


@dataclass(frozen=True)
class Rules:
    """What counts as better, and what as enough.

    ``"consecutive"``: training stops at the *patience*-th value in a row that is no improvement. One is an improvement
    if it beats the best so far, and the *baseline*, each by more than *min_delta*. NaN and infinities are none.

    ``"keras"``: as Keras 3 does it, in its float32. A patience of 0 is one of 1; a run that has not yet beaten the
    *baseline* goes on as long as it improves at all, and the first value that does not improve may end it, since
    patience was used up all along; the first epoch never does. An infinity is a value like any other. NaN is the
    exception: with Keras one that comes first is the best for ever, here it never is.
    """

    mode: Mode = "min"
    patience: int = 3
    min_delta: float = 0.0
    relative: bool = False
    baseline: float | None = None
    check_finite: bool = False
    stopping_threshold: float | None = None
    divergence_threshold: float | None = None
    convention: Convention = "consecutive"

    def beats(self, value: float, other: float | None) -> bool:
        """Return whether *value* is better than *other* by more than the least difference that counts."""
        if other is None:
            return math.isfinite(value) or (self.convention == "keras" and not math.isnan(value))
        delta = abs(self.min_delta) * (abs(other) if self.relative else 1.0)
        moved = value + delta if self.mode == "min" else value - delta
        if self.convention == "keras":
            moved, other = as_float32(moved), as_float32(other)
            return moved < other if self.mode == "min" else moved > other
        return (moved < other if self.mode == "min" else moved > other) and math.isfinite(value)

    def is_beyond(self, value: float, threshold: float) -> bool:
        """Return whether *value* is strictly better than *threshold*."""
        return value < threshold if self.mode == "min" else value > threshold

    def is_short_of(self, value: float, threshold: float) -> bool:
        """Return whether *value* is strictly worse than *threshold*."""
        return value > threshold if self.mode == "min" else value < threshold

    def enough(self, value: float) -> str | None:
        """Return why *value* by itself ends training, or None."""
        if self.check_finite and not math.isfinite(value):
            return f"is {value}"
        limit = self.stopping_threshold
        if limit is not None and math.isfinite(value) and self.is_beyond(value, limit):
            return f"has come to {value:.6g}, beyond the stopping threshold {limit:.6g}"
        limit = self.divergence_threshold
        if limit is not None and self.is_short_of(value, limit):
            return f"has come to {value:.6g}, worse than the divergence threshold {limit:.6g}"
        return None

    def impatient(self, best: float | None, wait: int) -> str | None:
        """Return why *wait* values without an improvement end training, or None."""
        if wait < max(self.patience, 1):
            return None
        so_far = "it was never a number to compare with" if best is None else f"the best was {best:.6g}"
        return f"has not improved {wait} times in a row; {so_far}"


def as_float32(value: float) -> float:
    """Return the float32 that is nearest to *value*, in which Keras compares."""
    return ctypes.c_float(value).value


class Verdict(NamedTuple):
    """What one value means: whether it is the best so far, and why training ends, or None."""

    improved: bool
    reason: str | None = None


BETTER, NO_BETTER = Verdict(improved=True), Verdict(improved=False)


class Stopper:
    """Follows the values of one metric, one after the other."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.limited = rules.check_finite or (rules.stopping_threshold, rules.divergence_threshold) != (None, None)
        # Where rules are no more than a difference, `judge` looks at it without another call, as it may in each step.
        plain = rules.convention == "consecutive" and not rules.relative and rules.baseline is None
        self.sign = 0 if not plain else 1 if rules.mode == "min" else -1
        self.best: float | None = None
        self.last: float | None = None
        self.wait = 0

    def judge(self, value: float, *, first_epoch: bool = False) -> Verdict:
        """Take in the next value. *first_epoch* says that it was measured in or after the first epoch."""
        rules = self.rules
        sign, best = self.sign, self.best
        if sign and best is not None:
            improved = good = sign * value + abs(rules.min_delta) < sign * best and math.isfinite(value)
        else:
            improved = rules.beats(value, best)
            good = improved and (rules.baseline is None or rules.beats(value, rules.baseline))
        self.last = value
        self.wait = 0 if good else self.wait + 1
        if improved:
            self.best = value
        reason = rules.enough(value) if self.limited else None
        if (
            reason is None
            and self.wait >= rules.patience
            and (rules.convention != "keras" or not (improved or first_epoch))
        ):
            reason = rules.impatient(self.best, self.wait)
        return Verdict(improved, reason) if reason is not None else BETTER if improved else NO_BETTER

    def standing(self) -> str | None:
        """Return why training would have ended at the last value by the rules of now, which may be others than then."""
        if self.last is None:
            return None
        return self.rules.enough(self.last) or self.rules.impatient(self.best, self.wait)

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen; the rules are not part of it, so that a resumed run follows its own."""
        return {"best": self.best, "last": self.last, "wait": self.wait}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from *state*."""
        self.best, self.last, self.wait = state["best"], state["last"], state["wait"]
