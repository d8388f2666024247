"""The average of a model's weights over training: exponential (EMA), or the plain mean (SWA)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch

log = logging.getLogger("hookloop.guards")

Averaging = Literal["ema", "swa"]
Buffers = Literal["average", "copy"]
Tensors = dict[str, torch.Tensor]


def weight_of(averaging: Averaging, updates: int, decay: float, *, warmup: bool) -> float:
    """Return the share of the newest weights in the average that *updates* earlier ones have made.

    ``"swa"``: 1 / (n + 1), the mean of all (Izmailov et al., 2018). ``"ema"``: 1 - decay; with *warmup*
    1 - min(decay, (1 + n) / (10 + n)), so that the first, bad weights are forgotten soon. The first is taken as it is.
    """
    if updates == 0:
        return 1.0
    if averaging == "swa":
        return 1.0 / (updates + 1)
    return 1.0 - (min(decay, (1 + updates) / (10 + updates)) if warmup else decay)


def tensors_of(model: torch.nn.Module, buffers: Buffers) -> Tensors:
    """Return what is averaged of *model* by name: its parameters, each once, and its buffers if they are wanted."""
    named: Tensors = {}
    named.update(model.named_parameters())
    if buffers == "average":
        named.update(model.named_buffers())
    return {name: each for name, each in named.items() if each.is_floating_point() or each.is_complex()}


class Average:
    """The average of the tensors of one model; ``values`` is empty before the first update."""

    def __init__(self, model: torch.nn.Module, buffers: Buffers) -> None:
        self.tensors = tensors_of(model, buffers)
        self.values: Tensors = {}

    @torch.no_grad()
    def update(self, weight: float) -> None:
        """Let the average move by *weight* towards the tensors of now; nothing is read from a device."""
        if not self.values:
            self.values = {name: each.detach().to(wide(each.dtype), copy=True) for name, each in self.tensors.items()}
            return
        values = list(self.values.values())
        now = [each.detach().to(value.dtype) for each, value in zip(self.tensors.values(), values, strict=True)]
        torch._foreach_lerp_(values, now, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the average in the model for the time of the context, however that ends.

        The trained tensors are copied first, so the model takes its memory twice meanwhile.
        """
        if not self.values:
            yield
            return
        trained = {name: each.detach().clone() for name, each in self.tensors.items()}
        try:
            self.put_into_model(self.values)
            yield
        finally:
            self.put_into_model(trained)

    @torch.no_grad()
    def put_into_model(self, values: Mapping[str, torch.Tensor]) -> None:
        """Copy *values* into the tensors of the model."""
        for name, each in self.tensors.items():
            each.copy_(values[name])

    def in_state_dict(self, model: torch.nn.Module) -> dict[str, Any]:
        """Return the state dict of *model* with the average in the place of what it is the average of."""
        names = {id(each): name for name, each in self.tensors.items()}
        plain = model.state_dict()
        averaged = dict(plain)
        for name, each in model.state_dict(keep_vars=True).items():
            if id(each) in names and self.values:
                averaged[name] = self.values[names[id(each)]].to(plain[name].dtype)
        return averaged

    def copy(self) -> Tensors:
        """Return a copy of the values."""
        return {name: each.clone() for name, each in self.values.items()}

    def put(self, values: Mapping[str, torch.Tensor]) -> None:
        """Take over a copy of *values*; those of another model are dropped with a warning: it begins anew."""
        fitting = {name: each for name, each in values.items() if name in self.tensors}
        same = all(name in fitting and fitting[name].shape == each.shape for name, each in self.tensors.items())
        if values and not same:
            log.warning("the average in the state is that of another model: averaging begins anew")
        self.values = {
            name: fitting[name].to(each.device, wide(each.dtype), copy=True)
            for name, each in self.tensors.items()
            if values and same
        }


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to average in: in half precision the small steps of an average would round to nothing."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
