"""Weights that are kept for later: those of the model, and with them the averages that belong to them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from hookloop_guards.ema import Ema
from hookloop_guards.instances import loaded

if TYPE_CHECKING:
    from hookloop import Run

Weights = dict[str, Any]  # "model": its state dict; "averages": instance of `ema` -> its averages


def copy_weights(run: Run) -> Weights:
    """Return copies of the model's weights and buffers, and of the averages of every `ema`, on their device."""
    model = {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
        for name, value in run.model.state_dict().items()
    }
    averages = {each.instance: each.plugin.copy() for each in loaded(run) if isinstance(each.plugin, Ema)}
    return {"model": model, "averages": averages}


def put_weights(run: Run, weights: Weights) -> None:
    """Put *weights* back, in place; *weights* is not used up."""
    run.model.load_state_dict(weights["model"])
    for each in loaded(run):
        if isinstance(each.plugin, Ema) and each.instance in weights["averages"]:
            each.plugin.put(weights["averages"][each.instance])
