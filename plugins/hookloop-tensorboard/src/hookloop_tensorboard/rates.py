"""The learning rate of every parameter group, under the names that hookloop's other plugins give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hookloop.loggers import named_groups

if TYPE_CHECKING:
    import torch


def learning_rates(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, float]:
    """Return ``lr/…`` and the rate, of every group of every optimizer."""
    return {name: float(group["lr"]) for name, group in named_groups(optimizers)}
