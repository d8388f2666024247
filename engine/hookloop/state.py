"""Everything that a run is: what a checkpoint holds, and what is put back to go on exactly where it was taken."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from hookloop._version import __version__
from hookloop.rng import rng_state, set_rng_state
from hookloop.run import Run

FORMAT = 1


def run_state(run: Run) -> dict[str, Any]:
    """Return the state of *run* at a step boundary: tensors and plain values, nothing that needs pickled code."""
    return {
        "format": FORMAT,
        "counters": run.counters(),
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "plugins": run.plugins.state_dict(),
        "rng": rng_state(run.device),
        "fingerprint": fingerprint(run),
    }


def load_run_state(run: Run, state: Mapping[str, Any]) -> None:
    """Put everything but the random numbers back: those come last, when the iterator of the data has been made."""
    run.model.load_state_dict(state["model"])
    for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run.load_counters(state["counters"])
    run.plugins.load_state_dict(state["plugins"])


def load_rng_state(run: Run, state: Mapping[str, Any]) -> None:
    """Put the streams of random numbers back, immediately before the first step."""
    set_rng_state(state["rng"], run.device)


def fingerprint(run: Run) -> dict[str, Any]:
    """Return what bit-exact results depend on beside the state: versions, threads, device, number of processes."""
    return {
        "hookloop": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "device": str(run.device.type),
        "world_size": run.world_size,
    }
