"""Scores of classes: their log-probabilities, exact at the ends where a class is certain or impossible.

Letters: N samples, C classes; further dimensions, as of images, follow after C.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hookloop_losses.checks import class_scores
from hookloop_losses.reducing import full_precision, spread, without

# Stands for infinity: sums and products of it stay finite, and its exponential is exactly 0.
HUGE = 1e30


class Batch(NamedTuple):
    """What a loss of classes is computed of.

    ``logits`` have shape (N, C, ...). ``target`` has shape (N, ...): class numbers or, for two classes, the share of
    the second as a float. ``weight`` is None or has one number for each target, 0 for those to ignore.
    """

    logits: Tensor
    target: Tensor
    weight: Tensor | None


def finite(output: Tensor) -> Tensor:
    """Return *output* in float32 or more, infinities as huge numbers; NaN stays NaN."""
    return torch.nan_to_num(full_precision(output), nan=math.nan, posinf=HUGE, neginf=-HUGE)


def prepare(output: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> Batch:
    """Return a batch of class scores, from several classes or from one score each.

    A target of *ignore_index* weighs nothing, and what weighs nothing has scores of zero. Raises LossError for shapes
    that do not fit.
    """
    if class_scores(output, target):
        target, weight = heed(target.long(), weight, ignore_index)
        logits = torch.where((weight == 0).unsqueeze(1), 0.0, finite(output))
        return Batch(logits, target, weight)
    score = without(finite(output), weight)
    return Batch(torch.stack((torch.zeros_like(score), score), 1), target.to(score.dtype), weight)


def heed(target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return a target without *ignore_index*, and a weight that is zero there."""
    ignored = target == ignore_index
    each = 1.0 if weight is None else spread(weight, target.shape)
    return torch.where(ignored, 0, target), torch.where(ignored, 0.0, each)


def log_complements(logits: Tensor) -> Tensor:
    """Return log(1 − p) of each class, of shape (N, C, ...).

    Only the likeliest class can have p near 1, where 1 − p would lose all its digits: for it, the other classes are
    summed instead.
    """
    log_p = logits.log_softmax(1)
    top = torch.zeros_like(log_p, dtype=torch.bool).scatter(1, log_p.argmax(1, keepdim=True), True)
    others = log_p.masked_fill(top, -math.inf).logsumexp(1, keepdim=True)
    rest = torch.log1p(-torch.where(top, 0.0, log_p.exp()))
    return torch.where(top, others, rest)


def pick(values: Tensor, target: Tensor) -> Tensor:
    """Return of *values*, (N, C, ...), those of the right class, (N, ...); of two classes by share, their mean."""
    if target.is_floating_point():
        return (1 - target) * values[:, 0] + target * values[:, 1]
    return values.gather(1, target.unsqueeze(1)).squeeze(1)


def rows(table: Tensor, target: Tensor) -> Tensor:
    """Return the rows of *table*, (C, ...), that *target* names, of shape (N, ..., ...)."""
    if target.is_floating_point():
        share = target.reshape(target.shape + (1,) * (table.ndim - 1))
        return (1 - share) * table[0] + share * table[1]
    return table[target]
