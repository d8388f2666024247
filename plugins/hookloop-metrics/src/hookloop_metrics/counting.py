"""Counts without waiting: ``torch.bincount`` reads the largest number to know how long its result is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class CountingOnDevice(TorchFunctionMode):
    """Within it, ``torch.bincount`` with a ``minlength`` counts the numbers below that, without reading them.

    torchmetrics counts pairs of classes with it in every batch, which on an accelerator would wait for the model.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call *function*, or count instead."""
        kwargs = kwargs or {}
        if function is torch.bincount and kwargs.keys() == {"minlength"} and len(args) == 1:
            return counted(args[0], kwargs["minlength"])
        return function(*args, **kwargs)


def counted(numbers: torch.Tensor, length: int) -> torch.Tensor:
    """Return how often each of 0 to *length* - 1 is in *numbers*, of shape (*length*,)."""
    counts = torch.zeros(length, dtype=torch.long, device=numbers.device)
    return counts.scatter_add_(0, numbers, torch.ones_like(numbers, dtype=torch.long))
