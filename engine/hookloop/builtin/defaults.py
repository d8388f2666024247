"""What the engine itself offers by name, as a provider like any other: losses, optimizers, schedules, metrics.

A plugin that offers the same name replaces the engine's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from hookloop import schedules
from hookloop.builtin.metrics import Accuracy
from hookloop.markers import hookimpl

Factory = Callable[..., Any]

LOSSES = {
    "cross_entropy": torch.nn.CrossEntropyLoss,
    "nll": torch.nn.NLLLoss,
    "mse": torch.nn.MSELoss,
    "l1": torch.nn.L1Loss,
    "smooth_l1": torch.nn.SmoothL1Loss,
    "huber": torch.nn.HuberLoss,
    "bce": torch.nn.BCELoss,
    "bce_with_logits": torch.nn.BCEWithLogitsLoss,
    "kl_div": torch.nn.KLDivLoss,
}

# Without options a loss is the bare function: the module around it costs three calls more in every step.
PLAIN_LOSSES = {
    "cross_entropy": functional.cross_entropy,
    "nll": functional.nll_loss,
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
}

TENSOR_OPTIONS = ("weight", "pos_weight")


def loss_factory(name: str) -> Factory:
    """Return the factory of one of torch's losses; lists given for class weights become tensors."""
    module = LOSSES[name]

    @functools.wraps(module, updated=())
    def build(**options: Any) -> Any:
        if not options and name in PLAIN_LOSSES:
            return PLAIN_LOSSES[name]
        for key in TENSOR_OPTIONS:
            if options.get(key) is not None:
                options[key] = torch.as_tensor(options[key], dtype=torch.get_default_dtype())
        return module(**options)

    return build


def steps_alone(optimizer: type[torch.optim.Optimizer]) -> bool:
    """Return whether an update needs nothing but gradients; L-BFGS evaluates the loss again and again within one."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is None or closure.default is None


class Defaults:
    """The names that work with nothing else installed."""

    role = "provider"

    @hookimpl
    def provide_losses(self) -> Mapping[str, Factory]:
        """Offer torch's common losses."""
        return {name: loss_factory(name) for name in LOSSES}

    @hookimpl
    def provide_optimizers(self) -> Mapping[str, Factory]:
        """Offer the optimizers of ``torch.optim`` that step by gradients alone, by class name in lower case."""
        base = torch.optim.Optimizer
        classes = [each for each in vars(torch.optim).values() if isinstance(each, type) and issubclass(each, base)]
        return {each.__name__.lower(): each for each in classes if each is not base and steps_alone(each)}

    @hookimpl
    def provide_schedules(self) -> Mapping[str, Factory]:
        """Offer the pure schedules."""
        return {
            "constant": schedules.constant,
            "step": schedules.step,
            "exponential": schedules.exponential,
            "linear": schedules.linear,
            "cosine": schedules.cosine,
        }

    @hookimpl
    def provide_metrics(self) -> Mapping[str, Factory]:
        """Offer accuracy."""
        return {"accuracy": Accuracy}
