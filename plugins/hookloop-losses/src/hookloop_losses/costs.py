"""The loss of a cost matrix. Shapes and ``weight`` are those of the losses in `hookloop_losses.classification`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hookloop import ConfigError
from hookloop_losses.checks import checked_reduction, for_classes, numbers, whole
from hookloop_losses.logits import log_complements, prepare, rows
from hookloop_losses.reducing import reduce


class CostSensitiveCrossEntropy(nn.Module):
    """What each wrong class costs: l = −Σ_j costs[y][j]·log(1 − p_j).

    For two classes it is the cross entropy with each class weighted by what missing it costs: Elkan (2001), *The
    foundations of cost-sensitive learning*. For more, where p fits the data best, 1 − p_j is in proportion to the
    expected cost of saying j (as long as no p_j is 0), so the likeliest class is the one that costs least.

    Args:
        costs: a square list of lists, ``costs[right][said]``, nothing below 0, and 0 for what is right.
        ignore_index: the class number that counts for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    costs: Tensor

    def __init__(self, costs: Sequence[Sequence[float]], ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("costs", cost_matrix(costs))
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        logits, target, weight = prepare(output, target, weight, self.ignore_index)
        costs = for_classes("costs", self.costs, logits.shape[1]).to(logits.dtype)
        cost = rows(costs, target).movedim(-1, 1)  # (N, C, ...)
        return reduce(-(cost * log_complements(logits)).sum(1), self.reduction, weight)


def cost_matrix(costs: Any) -> Tensor:
    """Return *costs* as a tensor of shape (C, C); ConfigError for what is no cost matrix."""
    if isinstance(costs, Tensor):
        costs = costs.tolist()
    if not isinstance(costs, (list, tuple)) or len(costs) < 2:
        raise ConfigError(f"costs: got {costs!r}, expected a list of rows, one a class, as [[0, 1], [10, 0]].")
    table = [numbers(f"costs[{index}]", row, least=0) for index, row in enumerate(costs)]
    for index, row in enumerate(table):
        if len(row) != len(table):
            raise ConfigError(f"costs[{index}]: has {len(row)} numbers, but there are {len(table)} rows.")
        if row[index]:
            raise ConfigError(f"costs[{index}][{index}]: got {row[index]:g}, but what is right costs 0.")
    return torch.tensor(table)
