"""Everything that a run is: what a checkpoint holds, and what is put back to go on exactly where it was taken."""

from __future__ import annotations

import copy
import logging
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hookloop._version import __version__
from hookloop.errors import ConfigError
from hookloop.rng import rng_state
from hookloop.run import Run
from hookloop.scheduling import load_schedules

log = logging.getLogger("hookloop")

FORMAT = 1
PARTS = ("format", "counters", "model", "optimizers", "schedules", "plugins", "rng", "data", "metrics", "log")


def run_state(run: Run, *, plain: bool = False) -> dict[str, Any]:
    """Return the state of *run* at a step boundary; where it is to be saved (*plain*), nothing that needs pickled code.

    What the state says of rows that were logged, and what plugins say of them, holds for those that were handed over,
    so all of them are. Raises PluginHookError for a plugin whose state is not plain then.
    """
    run.flush_rows()
    return {
        "format": FORMAT,
        "counters": run.counters(),
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "schedules": [schedule.state_dict() for schedule in run.schedules],
        "plugins": run.plugins.state_dict(step=run.step, plain=plain),
        "rng": rng_state(run.device),
        "data": run.source.state_dict() if hasattr(run, "source") else {},
        "metrics": dict(run.metrics),
        "log": {"pending": run.store.state_dict(), "rows": len(run.history)},
        "fingerprint": fingerprint(run),
    }


def load_run_state(run: Run, state: Mapping[str, Any]) -> None:
    """Put everything but the random numbers back: those come last, when everybody was told that training begins.

    *state* is not used up: what trains on from it leaves it as it is. Raises ConfigError for what is no state, for one
    of a later format, and for that of another model or other optimizers.
    """
    check_format(state)
    strict = run.config.strict_resume
    fits = load_model(run.model, state["model"], strict=strict)
    if fits:
        load_optimizers(run.optimizers, state["optimizers"], strict=strict)
    else:
        log.warning("the optimizers begin anew, as their state is that of the other model")
    run.load_counters(state["counters"])
    load_schedules(run.schedules, state["schedules"], strict=strict)
    run.plugins.load_state_dict(state["plugins"])
    run.metrics.update(state["metrics"])
    run.store.load_state_dict(state["log"]["pending"])


def load_model(model: torch.nn.Module, saved: Mapping[str, Any], *, strict: bool) -> bool:
    """Put the weights and buffers back; return whether all of them fit.

    Raises ConfigError, which lists what differs; unless *strict*, what has a counterpart of its shape is loaded and the
    rest is a warning.
    """
    own = model.state_dict()
    fitting = {name: value for name, value in saved.items() if name in own and alike(own[name], value)}
    differing = [
        *(f"  {name} is not in the state" for name in own if name not in saved),
        *(f"  {name} is not in the model" for name in saved if name not in own),
        *(
            f"  {name} has shape {shape(saved[name])} in the state and {shape(own[name])} in the model"
            for name in saved
            if name in own and name not in fitting
        ),
    ]
    if differing and strict:
        raise ConfigError(
            f"the state to resume from does not fit {type(model).__name__}:\n"
            + "\n".join(differing)
            + "\nTo load what fits and begin the rest anew: --set run.strict_resume=false"
        )
    if differing:
        log.warning("run.strict_resume is false, so these begin anew or are left out:\n%s", "\n".join(differing))
    model.load_state_dict(fitting, strict=not differing)
    return not differing


def alike(own: Any, saved: Any) -> bool:
    """Return whether *saved* can be loaded in the place of *own*."""
    return bool(shape(own) == shape(saved))


def shape(value: Any) -> Any:
    """Return the shape of a tensor for a sentence, and the type of anything else that a state dict may hold."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


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


def load_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]], *, strict: bool
) -> None:
    """Put the state of each optimizer back. Raises ConfigError, which names the first that *saved* does not fit.

    Unless *strict*, they all begin anew then, with a warning.
    """
    try:
        load_each_optimizer(optimizers, saved)
    except ConfigError as error:
        if strict:
            raise
        log.warning("run.strict_resume is false, so the optimizers begin anew: %s", error)


def load_each_optimizer(optimizers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]]) -> None:
    """Put the state of each optimizer back, or none of them."""
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
