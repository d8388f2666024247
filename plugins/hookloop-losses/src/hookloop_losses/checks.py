"""What is asked of options and tensors before anything is computed, so that a mistake is told and not broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hookloop import ConfigError
from hookloop_losses.errors import LossError
from hookloop_losses.reducing import REDUCTIONS


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return *value* if it is one of *choices*; ConfigError names the option otherwise."""
    if value not in choices:
        raise ConfigError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, choices))}.")
    return str(value)


def checked_reduction(value: Any) -> str:
    """Return *value* if it is a reduction."""
    return choice("reduction", value, REDUCTIONS)


def number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return *value* if it is a finite number within the bounds, of which *above* and *below* are left out."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{name}: got {value!r}, expected a finite number.")
    if not (least <= value <= most and above < value < below):
        bounds = {"at least": least, "at most": most, "above": above, "below": below}
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        raise ConfigError(f"{name}: got {value!r}, expected a number {wanted}.")
    return float(value)


def numbers(name: str, value: Any, **bounds: float) -> list[float]:
    """Return *value* if it is a list of at least one such number."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not value:
        raise ConfigError(f"{name}: got {value!r}, expected a list of numbers.")
    return [number(f"{name}[{index}]", each, **bounds) for index, each in enumerate(value)]


def whole(name: str, value: Any) -> int:
    """Return *value* if it is a whole number."""
    if type(value) is not int:
        raise ConfigError(f"{name}: got {value!r}, expected a whole number.")
    return value


def same_shape(output: Tensor, target: Tensor) -> None:
    """Raise LossError unless the shapes are equal: (N, 1) and (N,) would be broadcast to (N, N)."""
    if output.shape != target.shape:
        raise LossError(
            f"the output has shape {tuple(output.shape)} and the target {tuple(target.shape)}; they must be equal. "
            "Take a dimension of one away with squeeze(-1), or add it to the target with unsqueeze(-1)."
        )


def class_scores(output: Tensor, target: Tensor) -> bool:
    """Return True for scores of several classes, (N, C, ...) and (N, ...), False for one score each, of equal shapes.

    Raises LossError for anything else.
    """
    if output.shape == target.shape and output.ndim:
        return False
    apart = output.ndim == target.ndim + 1 and target.ndim > 0
    if not apart or output.shape[0] != target.shape[0] or output.shape[2:] != target.shape[1:]:
        raise LossError(
            f"the output has shape {tuple(output.shape)} and the target {tuple(target.shape)}. Several classes are an "
            "output of (N, C) or (N, C, ...) and a target of (N,) or (N, ...); two classes may also be one score each, "
            "with equal shapes."
        )
    if output.shape[1] < 2:
        raise LossError(
            f"the output has shape {tuple(output.shape)}, one class. One score a sample is an output of the target's "
            f"shape, {tuple(target.shape)}: take the dimension away with squeeze(1)."
        )
    if target.is_floating_point() or target.is_complex():
        raise LossError(f"the target is of {target.dtype}; with {output.shape[1]} classes it must hold their numbers.")
    return True


def for_classes(name: str, values: Tensor, classes: int) -> Tensor:
    """Return *values*, of which there must be one a class."""
    if values.shape[0] != classes:
        raise LossError(f"{name} is for {values.shape[0]} classes, but the output has {classes}.")
    return values
