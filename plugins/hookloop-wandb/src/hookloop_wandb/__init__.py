"""Logs runs to Weights & Biases."""

from hookloop_wandb.plugin import Wandb

__all__ = ["Wandb"]
