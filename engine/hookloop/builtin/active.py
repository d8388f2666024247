"""Which of the engine's own plugins a run has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hookloop._version import __version__
from hookloop.builtin.clipping import Clipping
from hookloop.builtin.defaults import Defaults
from hookloop.builtin.metrics import Metric, Metrics
from hookloop.builtin.precision import DTYPES, Autocast, LossScaling
from hookloop.builtin.transfer import Transfer
from hookloop.loading import LoadedPlugin, inspect_plugin
from hookloop.plan import spec_parameters

if TYPE_CHECKING:
    import torch

    from hookloop.evaluation import Evaluation
    from hookloop.loop import Loop
    from hookloop.options import RunOptions


def providers() -> list[LoadedPlugin]:
    """Return those that are needed before anything is built."""
    return [as_builtin("engine:defaults", Defaults())]


def workers(
    options: RunOptions, device: torch.device, metrics: Mapping[str, Metric], loop: Loop, evaluation: Evaluation
) -> list[LoadedPlugin]:
    """Return those that do the work; the loop comes last, as everything else goes before its defaults."""
    active: dict[str, object] = {}
    if device.type != "cpu":
        active["transfer"] = Transfer()
    if options.precision != "fp32":
        active["autocast"] = Autocast(DTYPES[options.precision])
    if options.precision == "fp16-mixed":
        active["loss-scaling"] = LossScaling(device)
    if options.clip_grad_norm is not None or options.clip_grad_value is not None:
        active["clipping"] = Clipping(options.clip_grad_norm, options.clip_grad_value)
    if metrics:
        active["metrics"] = Metrics(metrics)
    active["evaluation"] = evaluation
    active["loop"] = loop
    return [as_builtin(f"engine:{name}", plugin) for name, plugin in active.items()]


def as_builtin(name: str, plugin: object) -> LoadedPlugin:
    """Return *plugin* as a part of the engine."""
    hooks = inspect_plugin(plugin, spec_parameters(), name, f"hookloop {__version__}")
    return LoadedPlugin(
        name, plugin, name=name, distribution="hookloop", version=__version__, builtin=True, hooks=hooks
    )
