"""Losses of classes, from scores before softmax or sigmoid.

Output (N, C) or (N, C, ...) with class numbers of (N,) or (N, ...), where a target of ``ignore_index`` counts for
nothing; or, for two classes, one score each, output and target of equal shapes, where the target is 0, 1, or the share
of class 1. ``weight`` has one number a sample or one a target. p is the probability that the output gives a class, y
the right one. Half precision is computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hookloop import ConfigError
from hookloop_losses.checks import checked_reduction, for_classes, number, numbers, whole
from hookloop_losses.logits import log_complements, pick, prepare, rows
from hookloop_losses.reducing import reduce, spread


class Focal(nn.Module):
    """Cross entropy that lets go of what is easy: l = −α_y·(1 − p_y)^γ·log p_y.

    Lin et al. (2017), *Focal loss for dense object detection*. γ = 0 without α is the cross entropy. As there, the mean
    is over all elements: α is no part of the divisor.

    Args:
        gamma: γ, 0 or more.
        alpha: a list with a number a class or, of two classes, the number of class 1, while class 0 has 1 − α.
        ignore_index: the class number that counts for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.gamma = number("gamma", gamma, least=0)
        self.register_buffer("alpha", None if alpha is None else torch.tensor(alphas(alpha)))
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        logits, target, weight = prepare(output, target, weight, self.ignore_index)
        values = pick(focal(logits, self.gamma, self.alpha), target)
        return reduce(values, self.reduction, weight)


def alphas(alpha: Any) -> list[float]:
    """Return the number of each class."""
    if isinstance(alpha, (list, tuple, Tensor)):
        return numbers("alpha", alpha, least=0)
    share = number("alpha", alpha, least=0, most=1)
    return [1 - share, share]


def focal(logits: Tensor, gamma: float, alpha: Tensor | None = None) -> Tensor:
    """Return the focal loss of each class if it were the right one, (N, C, ...)."""
    values = -logits.log_softmax(1)
    if gamma:
        # By logarithms: of (1 − p)^γ itself the gradient is infinite at p = 1 for γ below 1.
        values = torch.exp(gamma * log_complements(logits)) * values
    if alpha is None:
        return values
    each = for_classes("alpha", alpha, logits.shape[1]).to(logits.dtype)
    return values * each.reshape(-1, *(1,) * (logits.ndim - 2))


class ClassBalanced(nn.Module):
    """Weights from how often each class occurs: l = w_y·(1 − p_y)^γ·(−log p_y), with w_c = (1 − β) / (1 − β^n_c).

    Cui et al. (2019), *Class-balanced loss based on effective number of samples*. β = 0 weighs all alike, β = 1 is
    taken as its limit, 1 / n_c. The weights are scaled to sum to the number of classes that occur. The mean is Σ w·l /
    Σ w, as with ``torch.nn.CrossEntropyLoss(weight=...)``. A class with a count of 0 weighs nothing.

    Args:
        counts: how many samples of each class there are in the training data.
        beta: β, from 0 to 1.
        gamma: γ of the focal loss, 0 or more; 0 leaves the cross entropy.
        ignore_index: the class number that counts for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    class_weight: Tensor

    def __init__(
        self,
        counts: Sequence[float],
        beta: float = 0.999,
        gamma: float = 0.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        found = numbers("counts", counts, least=0)
        beta = number("beta", beta, least=0, most=1)
        self.register_buffer("class_weight", torch.tensor(balance(found, beta)))
        self.gamma = number("gamma", gamma, least=0)
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        logits, target, weight = prepare(output, target, weight, self.ignore_index)
        by_class = for_classes("counts", self.class_weight, logits.shape[1]).to(logits.dtype)
        balanced = rows(by_class, target)
        values = pick(focal(logits, self.gamma), target)
        return reduce(values, self.reduction, balanced if weight is None else balanced * spread(weight, balanced.shape))


def balance(counts: Sequence[float], beta: float) -> list[float]:
    """Return the weight of each class; ConfigError when no class occurs."""
    if not any(counts):
        raise ConfigError("counts: all are 0, so there is nothing to balance.")
    # By expm1 and log1p, as 1 − β^n has few digits left where β is near 1. A negative count has been refused.
    log_beta = math.log(beta) if beta else -math.inf
    raw = [effective(count, beta, log_beta) for count in counts]
    scale = sum(1 for count in counts if count) / sum(raw)
    return [each * scale for each in raw]


def effective(count: float, beta: float, log_beta: float) -> float:
    """Return 1 over the effective number of *count* samples, and 0 for none."""
    if count == 0:
        return 0.0
    return 1 / count if beta == 1 else (1 - beta) / -math.expm1(count * log_beta)


class LabelSmoothing(nn.Module):
    """Cross entropy to a target that is not quite sure: l = −(1 − ε)·log p_y − ε/C·Σ_c log p_c.

    Szegedy et al. (2016), *Rethinking the Inception architecture*, section 7; what
    ``torch.nn.CrossEntropyLoss(label_smoothing=ε)`` computes, for one score of two classes as well.

    Args:
        smoothing: ε, from 0 to below 1.
        ignore_index: the class number that counts for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(self, smoothing: float = 0.1, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.smoothing = number("smoothing", smoothing, least=0, below=1)
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        logits, target, weight = prepare(output, target, weight, self.ignore_index)
        surprise = -logits.log_softmax(1)
        values = (1 - self.smoothing) * pick(surprise, target) + self.smoothing * surprise.mean(1)
        return reduce(values, self.reduction, weight)
