"""What penalties measure: the size of weights, and how much predictions jump in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hookloop import ConfigError
from hookloop_losses.errors import LossError
from hookloop_losses.reducing import full_precision

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_losses.penalties import Smoothness


def l1(parameters: Iterable[Tensor]) -> Tensor:
    """Return Σ|w|: Tibshirani (1996), *Regression shrinkage and selection via the lasso*."""
    return torch.stack([each.abs().sum() for each in parameters]).sum()


def l2(parameters: Iterable[Tensor]) -> Tensor:
    """Return Σ w²: Hoerl and Kennard (1970), *Ridge regression*. With plain SGD, λ of it is a weight decay of 2λ."""
    return torch.stack([each.square().sum() for each in parameters]).sum()


def difference(output: Tensor, order: int = 1, dim: int = 1, norm: str = "squared") -> Tensor:
    """Return the mean of squared or absolute differences along *dim*, which is time.

    Order 1 is the mean of (ŷ_{t+1} − ŷ_t)², order 2 that of (ŷ_{t+2} − 2ŷ_{t+1} + ŷ_t)²: Whittaker (1923), *On a new
    method of graduation*; of absolute values it is the total variation of Rudin, Osher and Fatemi (1992), and for order
    2 the trend filter of Kim et al. (2009). Half precision is computed in float32.

    Raises LossError when the output lacks the dimension or is too short in it.
    """
    if not -output.ndim <= dim < output.ndim:
        raise LossError(
            f"smoothness: an output of shape {tuple(output.shape)} has no dimension {dim} to be time; set dim."
        )
    if output.shape[dim] <= order:
        raise LossError(
            f"smoothness: dimension {dim} of an output of shape {tuple(output.shape)} has {output.shape[dim]} times; "
            f"order {order} needs {order + 1} or more. Is another dimension the time? Set dim."
        )
    jumps = torch.diff(full_precision(output), n=order, dim=dim)
    return jumps.square().mean() if norm == "squared" else jumps.abs().mean()


def parameters(model: nn.Module, patterns: Sequence[str] | None, key: str) -> Sequence[Tensor]:
    """Return the parameters of *model* that are trained and have a name like one of *patterns*.

    Without patterns, those of two dimensions or more. Raises ConfigError for a pattern that no parameter has.
    """
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    if patterns is None:
        found = [each for each in trained.values() if each.ndim > 1]
        if not found:
            raise ConfigError(
                f"{key}: the model has no parameter of two dimensions or more; name some in 'parameters'."
            )
        return found
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in trained):
            raise ConfigError(f"{key}: no parameter is called '{pattern}'. There are: {', '.join(trained)}.")
    return [each for name, each in trained.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def of_weights(measure: Callable[[Iterable[Tensor]], Tensor], chosen: Sequence[Tensor]) -> Callable[[Run], Tensor]:
    """Return *measure* of the *chosen* parameters as a function of the run."""
    return lambda run: measure(chosen)


def of_output(jumps: Smoothness) -> Callable[[Run], Tensor]:
    """Return the differences of the output as a function of the run."""

    def measure(run: Run) -> Tensor:
        if not isinstance(run.output, Tensor):
            raise LossError(
                f"smoothness: the output is a {type(run.output).__name__} and no tensor; name a function of your own, "
                "which takes the run, in 'own'."
            )
        return difference(run.output, jumps.order, jumps.dim, jumps.norm)

    return measure


def of_run(function: Callable[[Run], Any], name: str) -> Callable[[Run], Tensor]:
    """Return the user's *function*, checked for what it returns."""

    def measure(run: Run) -> Tensor:
        value = function(run)
        if not isinstance(value, Tensor) or value.numel() != 1:
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
            raise LossError(f"'{name}' returned {what}; a penalty is a tensor of one element.")
        return value.reshape(())

    return measure
