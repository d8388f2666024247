"""What learning rates are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def named_groups(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``lr/…`` and the parameter group, of every group of every optimizer; no name comes twice.

    The first group of the first ``AdamW`` is ``lr/adamw``; group 2 of it is ``lr/adamw/2``, or ``lr/adamw/head`` where
    the group has ``name = "head"``; optimizer 1 of the run, if it is another AdamW, is ``lr/adamw-1``. What a group is
    called does not depend on those behind it, so it stays so when groups are added.
    """
    taken: set[str] = set()
    kinds: set[str] = set()
    for number, optimizer in enumerate(optimizers):
        kind = type(optimizer).__name__.lower()
        label = f"lr/{kind}-{number}" if kind in kinds else f"lr/{kind}"
        kinds.add(kind)
        for index, group in enumerate(optimizer.param_groups):
            own = group.get("name")
            name = label if own is None and index == 0 else f"{label}/{index if own is None else own}"
            if name in taken:
                name = f"{name}-{index}"
            taken.add(name)
            yield name, group
