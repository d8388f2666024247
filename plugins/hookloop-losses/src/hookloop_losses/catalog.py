"""The names of all losses, what makes each of its options, and losses that give a value for each element."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from hookloop import ConfigError, import_function, is_function_location
from hookloop_losses import classification, costs, groups, overlap, regression
from hookloop_losses.torchs import torch_factory, torch_losses

Factory = Callable[..., Any]

OWN: Mapping[str, type[nn.Module]] = {
    "asymmetric_mse": regression.AsymmetricMSE,
    "pinball": regression.Pinball,
    "linex": regression.Linex,
    "huber": regression.Huber,
    "cost_sensitive_cross_entropy": costs.CostSensitiveCrossEntropy,
    "focal": classification.Focal,
    "class_balanced": classification.ClassBalanced,
    "group_balanced": groups.GroupBalanced,
    "dice": overlap.Dice,
    "tversky": overlap.Tversky,
    "label_smoothing": classification.LabelSmoothing,
}

# The engine's own are the same, and quicker: a bare function where there are no options.
OF_THE_ENGINE = ("cross_entropy", "nll", "mse", "l1", "smooth_l1", "bce", "bce_with_logits", "kl_div")


def factories() -> dict[str, Factory]:
    """Return name → factory of what is offered to ``[loss]``."""
    offered = {name: make for name, make in all_factories().items() if name not in OF_THE_ENGINE}
    return {name: told(make) for name, make in offered.items()}


def all_factories() -> dict[str, Factory]:
    """Return name → factory of every loss, torch's with a name that the engine offers too."""
    return {**{name: torch_factory(name, loss) for name, loss in torch_losses().items()}, **OWN}


def told(make: Factory) -> Factory:
    """Return *make*, refusing options with a ValueError, to which the engine adds where they were written."""

    @functools.wraps(make, updated=())
    def build(**options: Any) -> Any:
        try:
            return make(**options)
        except (ConfigError, TypeError, ValueError) as error:
            raise ValueError(str(error)) from error

    return build


def elementwise(loss: Any) -> Callable[..., Tensor]:
    """Return what *loss* names, as ``(output, target)`` → a value for each element or sample.

    It is a name, a table with ``use`` and options, a location of the user's own, or a callable. Raises ConfigError for
    an unknown name, and for what cannot be imported.
    """
    table = dict(loss) if isinstance(loss, Mapping) else {"use": loss}
    use = table.pop("use", None)
    if isinstance(use, str) and not is_function_location(use):
        make = named(use)
    else:
        make = import_function(use) if isinstance(use, str) else use
        if not callable(make):
            raise ConfigError(f'loss: got {loss!r}; give a name, {{ use = "NAME", … }}, or "file.py:function".')
        if not inspect.isclass(make):
            return functools.partial(make, **table)
    if "reduction" in inspect.signature(make).parameters:
        table.setdefault("reduction", "none")
    try:
        made: Callable[..., Tensor] = make(**table)
    except TypeError as error:
        raise ConfigError(f"loss: {error}") from error
    return made


def named(name: str) -> Factory:
    """Return the factory of the loss *name*; ConfigError lists all when there is none."""
    known = all_factories()
    if name not in known:
        raise ConfigError(f"loss: there is no loss '{name}'. There are: {', '.join(sorted(known))}.")
    return known[name]
