"""A loss that counts each group of samples alike, however many of a batch are in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hookloop_losses.checks import checked_reduction
from hookloop_losses.errors import LossError
from hookloop_losses.reducing import full_precision, reduce


class GroupBalanced(nn.Module):
    """The mean over groups of each group's own mean: L = 1/G Σ_g 1/N_g Σ_{i in g} l_i, over the G groups of the batch.

    That is the balanced error of group-weighted empirical risk, as in Idrissi et al. (2022), *Simple data balancing
    achieves competitive worst-group-accuracy*, taken within a batch. Groups are whatever numbers there are: none need
    be known beforehand. A group that the batch lacks counts for nothing.

    Args:
        loss: what gives l_i: a name, a table with ``use`` and options, ``file.py:attr`` or ``module:attr`` of your own
            function ``(output, target)`` → one value a sample or more, or such a function itself.
        reduction: ``"mean"``, ``"sum"`` over the groups, or ``"none"`` for l_i / N_g.
    """

    def __init__(
        self, loss: str | Mapping[str, Any] | Callable[..., Tensor] = "cross_entropy", reduction: str = "mean"
    ) -> None:
        super().__init__()
        from hookloop_losses.catalog import elementwise

        self.loss = elementwise(loss)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Any, target: Tensor, group: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the loss. *group* has a number a sample, (N,); without it, the classes in *target* are the groups."""
        group = classes(target) if group is None else group
        values = by_sample(self.loss(output, target), group)
        each = torch.ones_like(values) if weight is None else per_sample("weight", weight, group).to(values.dtype)
        # Not by torch.unique, as the host would have to wait for how many groups there are.
        together = group.unsqueeze(0) == group.unsqueeze(1)  # (N, N)
        size = torch.where(together, each.unsqueeze(0), 0.0).sum(1)
        return reduce(values, self.reduction, each / torch.where(size == 0, 1.0, size))


def classes(target: Tensor) -> Tensor:
    """Return *target* as the groups, if it is a class a sample."""
    if target.ndim != 1 or target.is_floating_point():
        raise LossError(
            f"group_balanced needs groups: a target of {target.dtype} and shape {tuple(target.shape)} is no class a "
            "sample. Give them as the third argument, self.criterion(output, target, group), in the loss of your Task."
        )
    return target


def per_sample(name: str, values: Tensor, group: Tensor) -> Tensor:
    """Return *values* if there is one for each sample."""
    if values.shape != group.shape or group.ndim != 1:
        raise LossError(
            f"the {name} has shape {tuple(values.shape)} and the group {tuple(group.shape)}; both must be (N,)."
        )
    return values


def by_sample(values: Any, group: Tensor) -> Tensor:
    """Return the mean of the values of each sample, (N,)."""
    if not isinstance(values, Tensor) or values.ndim == 0 or values.shape[0] != group.shape[0]:
        what = f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"{values!r}"
        raise LossError(
            f"the loss below group_balanced gave {what} for {group.shape[0]} groups; it must give one value a sample "
            'or more, as with reduction = "none".'
        )
    return full_precision(values.flatten(1).mean(1) if values.ndim > 1 else values)
