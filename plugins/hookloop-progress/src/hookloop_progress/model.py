"""What there is to say of a model in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookloop import Run

# What torch wraps a model in, and where it keeps it.
WRAPPERS = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The size of a model, and where and how it computes; ``size_bytes`` is that of its parameters and buffers.

    ``undetermined`` counts the parameters of lazy layers, whose shapes the first batch will tell; nothing else counts
    them.
    """

    name: str
    parameters: int
    trainable: int
    undetermined: int
    size_bytes: int
    device: str
    precision: str


def facts_of(run: Run) -> ModelFacts:
    """Return the facts of the model of *run*. No tensor is read."""
    from torch.nn.parameter import is_lazy

    parameters = list(run.model.parameters())
    known = [each for each in parameters if not is_lazy(each)]
    stored = [*known, *(each for each in run.model.buffers() if not is_lazy(each))]
    return ModelFacts(
        name=name_of(run.model),
        parameters=sum(each.numel() for each in known),
        trainable=sum(each.numel() for each in known if each.requires_grad),
        undetermined=len(parameters) - len(known),
        size_bytes=sum(each.numel() * each.element_size() for each in stored),
        device=str(run.device),
        precision=run.precision,
    )


def name_of(model: Any) -> str:
    """Return the name of the class of *model*, or of what torch has wrapped."""
    while (inside := WRAPPERS.get(type(model).__name__)) and hasattr(model, inside):
        model = getattr(model, inside)
    return type(model).__name__


def sentence(facts: ModelFacts) -> str:
    """Return *facts* for a person."""
    lazy = f" and {facts.undetermined} tensors that the first batch will shape" if facts.undetermined else ""
    parameters = f"{facts.parameters:,} parameters ({facts.trainable:,} trainable){lazy}"
    return f"model  {facts.name}, {parameters}, {size(facts.size_bytes)}, {facts.device}, {facts.precision}"


def words(facts: ModelFacts) -> str:
    """Return *facts* as ``key=value``."""
    lazy = f" undetermined={facts.undetermined}" if facts.undetermined else ""
    return (
        f"model={facts.name} parameters={facts.parameters} trainable={facts.trainable}{lazy} "
        f"bytes={facts.size_bytes} device={facts.device} precision={facts.precision}"
    )


def size(size_bytes: float) -> str:
    """Return a size with three digits, in units of a thousand."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 999.5:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.4g} GB"
