"""Torch's own losses by name, and those of them that take more than an output and a target."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hookloop import import_function, is_function_location
from hookloop_losses.errors import LossError

TENSOR_OPTIONS = ("weight", "pos_weight")

# These have weights to train, so they belong into a model: an optimizer of the model's parameters would not see them.
LAYERS = ("AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss")


def torch_losses() -> dict[str, type[nn.Module]]:
    """Return name → class of every loss in ``torch.nn`` of this version: ``poisson_nll`` for ``PoissonNLLLoss``."""
    found = {name: value for name, value in vars(nn).items() if name.endswith("Loss")}
    return {snake_case(name.removesuffix("Loss")): value for name, value in found.items() if name not in LAYERS}


def snake_case(name: str) -> str:
    """Return ``BCEWithLogits`` as ``bce_with_logits``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


Arrangement = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]

# How many tensors the output and the target are, and in which order torch's class takes them.
ARRANGEMENTS: Mapping[str, tuple[int, int, Arrangement]] = {
    "cosine_embedding": (2, 1, lambda output, target: (*output, *target)),
    "ctc": (1, 3, lambda output, target: (*output, *target)),
    "gaussian_nll": (2, 1, lambda output, target: (output[0], target[0], output[1])),
    "margin_ranking": (2, 1, lambda output, target: (*output, *target)),
    "triplet_margin": (3, 0, lambda output, target: output),
    "triplet_margin_with_distance": (3, 0, lambda output, target: output),
}


class Arranged(nn.Module):
    """Calls one of torch's losses that takes several tensors with the members of output and target.

    Args:
        name: the loss's, a key of ``ARRANGEMENTS``.
        loss: the loss.
    """

    def __init__(self, name: str, loss: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.loss = loss

    def forward(self, output: Any, target: Any = None) -> Tensor:
        """Return the loss; LossError when output or target have another number of members than it takes."""
        outputs, targets, arrange = ARRANGEMENTS[self.name]
        arranged = arrange(members(self.name, "output", output, outputs), members(self.name, "target", target, targets))
        value: Tensor = self.loss(*arranged)
        return value


def members(name: str, role: str, value: Any, count: int) -> Sequence[Any]:
    """Return the tensors of *value*, of which there must be *count*; with a count of 0 it does not matter."""
    if count == 0:
        return ()
    found = value if isinstance(value, (tuple, list)) else (value,)
    if len(found) != count:
        raise LossError(f"{name} takes {count} tensors as the {role}, a tuple of {count}, and got {len(found)}.")
    return found


def torch_factory(name: str, loss: type[nn.Module]) -> Callable[..., nn.Module]:
    """Return what makes torch's loss *name* of options as a file has them: lists for tensors, texts for functions."""

    def build(**options: Any) -> nn.Module:
        for key in TENSOR_OPTIONS:
            if options.get(key) is not None:
                options[key] = torch.as_tensor(options[key], dtype=torch.get_default_dtype())
        distance = options.get("distance_function")
        if isinstance(distance, str) and is_function_location(distance):
            options["distance_function"] = import_function(distance)
        if "reduction" in options and options["reduction"] not in reductions(loss):
            # Torch itself says so only when the loss is first called, after the data has been loaded.
            wanted = ", ".join(map(repr, reductions(loss)))
            raise ValueError(f"reduction: got {options['reduction']!r}, expected one of {wanted}.")
        made = loss(**options)
        return Arranged(name, made) if name in ARRANGEMENTS else made

    build.__signature__ = inspect.signature(loss)  # type: ignore[attr-defined]
    return build


def reductions(loss: type[nn.Module]) -> Sequence[str]:
    """Return the reductions that *loss* knows."""
    return ("none", "mean", "sum", "batchmean") if loss is nn.KLDivLoss else ("none", "mean", "sum")
