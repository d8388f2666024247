"""Types of options that several guards have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from hookloop import Interval


def check_counted(interval: Interval) -> Interval:
    """Return *interval* if it is of steps or epochs: what a resumed run passes at the same places."""
    if interval.unit not in ("step", "epoch"):
        raise ValueError(f"got '{interval}', expected steps or epochs, as in '100 steps' or '1 epoch'.")
    return interval


def check_duration(interval: Interval) -> Interval:
    """Return *interval* if it is a time."""
    if interval.unit != "second":
        raise ValueError(f"got '{interval}', expected a time, as in '90 min', '26 hours' or '2 days'.")
    return interval


Counted = Annotated[Interval, AfterValidator(check_counted)]
Duration = Annotated[Interval, AfterValidator(check_duration)]
