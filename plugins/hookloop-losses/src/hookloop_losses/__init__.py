"""Losses by name, and penalties that add to any of them.

The losses are ``torch.nn.Module`` classes, ``loss(output, target)``, that work without hookloop's engine as well.
Everything is imported when it is first asked for: the losses need torch and the penalties pydantic, and the command
line, for which `Losses` is on by being installed, needs neither to begin with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookloop_losses.classification import ClassBalanced, Focal, LabelSmoothing
    from hookloop_losses.costs import CostSensitiveCrossEntropy
    from hookloop_losses.errors import LossError
    from hookloop_losses.groups import GroupBalanced
    from hookloop_losses.overlap import Dice, Tversky
    from hookloop_losses.penalties import Penalties
    from hookloop_losses.plugin import Losses
    from hookloop_losses.regression import AsymmetricMSE, Huber, Linex, Pinball

__all__ = [
    "AsymmetricMSE",
    "ClassBalanced",
    "CostSensitiveCrossEntropy",
    "Dice",
    "Focal",
    "GroupBalanced",
    "Huber",
    "LabelSmoothing",
    "Linex",
    "LossError",
    "Losses",
    "Penalties",
    "Pinball",
    "Tversky",
]

_LAZY = {
    "AsymmetricMSE": "regression",
    "ClassBalanced": "classification",
    "CostSensitiveCrossEntropy": "costs",
    "Dice": "overlap",
    "Focal": "classification",
    "GroupBalanced": "groups",
    "Huber": "regression",
    "LabelSmoothing": "classification",
    "Linex": "regression",
    "LossError": "errors",
    "Losses": "plugin",
    "Penalties": "penalties",
    "Pinball": "regression",
    "Tversky": "overlap",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop_losses' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"hookloop_losses.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return __all__
