"""Losses of numbers. Each speaks of the error e = y − ŷ, target minus output: e > 0 means that too little was
predicted.

Output and target have the same shape. ``weight`` has one number a sample, (N,), or one an element; what weighs nothing
may be anything, NaN included. Half precision is computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hookloop import ConfigError
from hookloop_losses.checks import checked_reduction, number, numbers, same_shape
from hookloop_losses.errors import LossError
from hookloop_losses.reducing import full_precision, reduce, without


def errors(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return y − ŷ, zero where the weight is."""
    same_shape(output, target)
    output = full_precision(output)
    return without(target.to(output.dtype) - output, weight)


class AsymmetricMSE(nn.Module):
    """Squared error that weighs too little predicted by α: l = α·e² where e > 0, else e².

    The mean over N elements is 1/N Σ α(y−ŷ)² where y > ŷ, (y−ŷ)² otherwise: Newey and Powell (1987), *Asymmetric least
    squares estimation and testing*, with τ = α / (1 + α). α = 1 is the mean squared error.

    Args:
        alpha: α, above 0; more than 1 lets the model predict too much rather than too little.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(self, alpha: float = 4.0, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, above=0)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        e = errors(output, target, weight)
        return reduce(torch.where(e > 0, self.alpha * e, e) * e, self.reduction, weight)


class Pinball(nn.Module):
    """Quantile loss: l = τ·e where e > 0, else (τ − 1)·e. Koenker and Bassett (1978), *Regression quantiles*.

    The prediction becomes the τ-quantile of the target; τ = 0.5 is half of the absolute error, whose best is the
    median.

    Args:
        quantile: τ, between 0 and 1; or a list of Q, for an output of (..., Q) beside a target of (...).
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    quantile: Tensor | float

    def __init__(self, quantile: float | Sequence[float] = 0.5, reduction: str = "mean") -> None:
        super().__init__()
        if isinstance(quantile, (list, tuple, Tensor)):
            self.register_buffer("quantile", torch.tensor(numbers("quantile", quantile, above=0, below=1)))
        else:
            self.quantile = number("quantile", quantile, above=0, below=1)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        quantile = self.quantile
        if isinstance(quantile, Tensor):
            shape = (*target.shape, len(quantile))
            if output.shape != shape:
                raise LossError(
                    f"the output has shape {tuple(output.shape)} and the target {tuple(target.shape)}; {len(quantile)} "
                    f"quantiles of such a target are an output of {shape}."
                )
            target = target.unsqueeze(-1).expand(shape)
        e = errors(output, target, weight)
        return reduce(torch.where(e > 0, quantile * e, (quantile - 1) * e), self.reduction, weight)


class Linex(nn.Module):
    """Linear-exponential: l = b·(exp(a·e) − a·e − 1). Varian (1975), *A Bayesian approach to real estate assessment*.

    With a > 0 the cost of too little grows exponentially and that of too much linearly; with a < 0 it is the other way
    round. Near 0 it is b·a²·e²/2.

    Args:
        a: how lopsided, not 0, in units of 1/target.
        b: a factor, above 0.
        limit: beyond a·e = limit the exponential goes on as its tangent, so that an early large error overflows
        nothing. reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(self, a: float = 1.0, b: float = 1.0, limit: float = 20.0, reduction: str = "mean") -> None:
        super().__init__()
        self.a = number("a", a)
        self.b = number("b", b, above=0)
        self.limit = number("limit", limit, above=0, most=80)
        self.reduction = checked_reduction(reduction)
        if self.a == 0:
            raise ConfigError("a: got 0, which is no loss: more than 0 makes too little costly, less than 0 too much.")

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        x = self.a * errors(output, target, weight)
        beyond = x > self.limit
        exponential = torch.expm1(torch.where(beyond, self.limit, x))
        # Without it, inf·0 of the branch that is not taken would be a gradient of NaN.
        over = torch.where(beyond, x - self.limit, 0.0)
        steep = math.exp(self.limit)
        below = torch.where(beyond, self.limit, x)
        return reduce(self.b * (exponential - below + (steep - 1) * over), self.reduction, weight)


class Huber(nn.Module):
    """Squared near 0, linear beyond δ: l = e²/2 where |e| ≤ δ, else δ·(|e| − δ/2). Huber (1964), *Robust estimation*.

    That is ``torch.nn.HuberLoss``, with weights, and with finite gradients for infinite errors.

    Args:
        delta: δ, above 0, in units of the target.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.delta = number("delta", delta, above=0)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        e = errors(output, target, weight)
        near = e.abs() <= self.delta
        square = torch.where(near, e, 0.0).square() / 2
        values = torch.where(near, square, self.delta * (e.abs() - self.delta / 2))
        return reduce(values, self.reduction, weight)
