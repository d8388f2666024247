"""From a value for each element to the loss: precision, weights, and the mean or sum."""

from __future__ import annotations

import torch
from torch import Tensor

from hookloop_losses.errors import LossError

REDUCTIONS = ("none", "mean", "sum")


def full_precision(values: Tensor) -> Tensor:
    """Return *values* in float32 if they have less, as torch's own losses do under autocast."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def spread(weight: Tensor, shape: torch.Size) -> Tensor:
    """Return *weight*, of shape (N,) or more of the leading dimensions of *shape*, for each element of it.

    Raises LossError when the shapes do not fit.
    """
    if weight.shape != shape[: weight.ndim]:
        raise LossError(
            f"the weight has shape {tuple(weight.shape)}, which is not how {tuple(shape)} begins: give one weight a "
            "sample, (N,), or one an element."
        )
    missing = (1,) * (len(shape) - weight.ndim)
    return full_precision(weight).reshape(weight.shape + missing).expand(shape)


def without(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return *values* with zero wherever the weight is zero: what does not count must not spoil gradients as NaN."""
    return values if weight is None else torch.where(spread(weight, values.shape) == 0, 0.0, values)


def reduce(values: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """Return the loss of *values*, one for each element.

    ``none`` gives w·l for each element, ``sum`` Σ w·l, and ``mean`` Σ w·l / Σ w, which is what torch's losses with
    class weights do; it is 0 when nothing weighs anything.
    """
    total = None
    if weight is not None:
        each = spread(weight, values.shape).to(values.dtype)
        values = torch.where(each == 0, 0.0, values * each)
        total = each.sum()
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if total is not None:
        return values.sum() / torch.where(total == 0, 1.0, total)
    return values.sum() / max(values.numel(), 1)
