"""All schedules by name: the pure ones, those with a memory, and torch's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hookloop import schedules
from hookloop_schedules import rates
from hookloop_schedules.own import function
from hookloop_schedules.plateau import reduce_on_plateau
from hookloop_schedules.torchs import torch_schedules
from hookloop_schedules.warmup import warmup

Factory = Callable[..., Any]

OWN: Mapping[str, Factory] = {
    "constant": schedules.constant,
    "step": schedules.step,
    "exponential": schedules.exponential,
    "linear": schedules.linear,
    "cosine": rates.cosine,
    "cyclical": rates.cyclical,
    "polynomial": rates.polynomial,
    "one_cycle": rates.one_cycle,
    "piecewise": rates.piecewise,
    "function": function,
    "warmup": warmup,
    "reduce_on_plateau": reduce_on_plateau,
}


def offered() -> dict[str, Factory]:
    """Return name → factory of everything."""
    return {**OWN, **torch_schedules()}
