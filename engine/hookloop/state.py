"""Everything that a run is: what a checkpoint holds, and what is put back to go on exactly where it was taken."""

from __future__ import annotations

import copy
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hookloop._version import __version__
from hookloop.errors import ConfigError
from hookloop.rng import rng_state, set_rng_state
from hookloop.run import Run

FORMAT = 1
PARTS = ("format", "counters", "model", "optimizers", "plugins", "rng")


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
    """Put everything but the random numbers back: those come last, when the iterator of the data has been made.

    *state* is not used up: what trains on from it leaves it as it is. Raises ConfigError for what is no state, for one
    of a later format, and for that of another model or other optimizers.
    """
    check_format(state)
    try:
        run.model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise ConfigError(f"the state to resume from does not fit {type(run.model).__name__}: {error}") from error
    load_optimizers(run.optimizers, state["optimizers"])
    run.load_counters(state["counters"])
    run.plugins.load_state_dict(state["plugins"])


def check_format(state: Mapping[str, Any]) -> None:
    """Raise ConfigError unless *state* is one that this version can read."""
    missing = [name for name in PARTS if name not in state]
    if missing:
        raise ConfigError(
            f"this is no state of a run, it lacks {', '.join(missing)}: resume from the `state` of a result, or from a "
            "checkpoint."
        )
    if state["format"] > FORMAT:
        raise ConfigError(f"the state has format {state['format']}, this hookloop reads {FORMAT}: upgrade hookloop.")


def load_optimizers(optimizers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]]) -> None:
    """Put the state of each optimizer back. Raises ConfigError, which names the first that *saved* does not fit."""
    if len(saved) != len(optimizers):
        raise ConfigError(f"the state to resume from has {len(saved)} optimizers, this run has {len(optimizers)}.")
    for number, (optimizer, state) in enumerate(zip(optimizers, saved, strict=True)):
        name = f"optimizer {number} of the state to resume from is not this run's {type(optimizer).__name__}"
        known = {"initial_lr", *(key for group in optimizer.param_groups for key in group)}
        strange = {key for group in state["param_groups"] for key in group} - known
        if strange:
            raise ConfigError(f"{name}: it has the options {', '.join(sorted(strange))}.")
        try:
            # A copy: torch takes the very tensors, and would go on training in the saved ones.
            optimizer.load_state_dict(copy.deepcopy(dict(state)))
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from error


def load_rng_state(run: Run, state: Mapping[str, Any]) -> None:
    """Put the streams of random numbers back, immediately before the first step."""
    set_rng_state(state["rng"], run.device)


def fingerprint(run: Run) -> dict[str, Any]:
    """Return what bit-exact results depend on beside the state: versions, threads, device, number of processes."""
    return {
        "hookloop": __version__,
        "torch": str(torch.__version__),  # a TorchVersion is refused when it is loaded
        "python": platform.python_version(),
        "threads": run.config.threads or torch.get_num_threads(),
        "device": str(run.device.type),
        "world_size": run.world_size,
    }
