"""Refuses to print tensors: on the meta device that is no error by itself, and on any other it reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

PRINTING = (torch.Tensor.__repr__, torch.Tensor.__format__)


class UnprintableTensors(TorchFunctionMode):
    """While it is on, turning a tensor into text raises RuntimeError."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Pass on every call but those that print."""
        if func in PRINTING:
            raise RuntimeError("a tensor was turned into text, which reads it")
        return func(*args, **(kwargs or {}))
