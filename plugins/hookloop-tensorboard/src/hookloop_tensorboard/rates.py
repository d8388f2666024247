"""The learning rate of every parameter group, under the names that hookloop's other plugins give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def learning_rates(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, float]:
    """Return ``lr/…`` and the rate, of every group of every optimizer.

    The first group of the first ``AdamW`` is ``lr/adamw``, group 2 of it ``lr/adamw/2``, or ``lr/adamw/head`` where the
    group has ``name = "head"``; another ``AdamW`` that is optimizer 1 of the run is ``lr/adamw-1``.
    """
    rates: dict[str, float] = {}
    kinds: set[str] = set()
    for number, optimizer in enumerate(optimizers):
        kind = type(optimizer).__name__.lower()
        label = f"lr/{kind}-{number}" if kind in kinds else f"lr/{kind}"
        kinds.add(kind)
        for index, group in enumerate(optimizer.param_groups):
            own = group.get("name")
            name = label if own is None and index == 0 else f"{label}/{index if own is None else own}"
            rates[f"{name}-{index}" if name in rates else name] = float(group["lr"])
    return rates
