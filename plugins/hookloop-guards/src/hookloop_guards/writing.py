"""Writes a file of weights that is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def write_weights(weights: Mapping[str, Any], path: Path) -> None:
    """Write the state dict *weights* as *path*, in the place of one that is there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with fresh.open("wb") as file:
            torch.save({name: own(value) for name, value in weights.items()}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def own(value: Any) -> Any:
    """Return a tensor with memory of its own on the CPU, for a file that can be read anywhere."""
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value
