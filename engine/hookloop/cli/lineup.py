"""The plugins of a run with the engine's own among them, put together without the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookloop.build import find_device
from hookloop.builtin import active
from hookloop.builtin.metrics import Accuracy, Metric
from hookloop.evaluation import Evaluation
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin
from hookloop.manager import PluginManager
from hookloop.opening import make_loop
from hookloop.options import RunOptions


def complete(
    plugins: Sequence[LoadedPlugin], options: RunOptions, order: Sequence[str], *, has_metrics: bool
) -> PluginManager:
    """Return *plugins* together with those of the engine that a run with *options* has."""
    manager = PluginManager(SPECIFICATIONS, order=order)
    manager.register(*active.providers(), *plugins)
    # Which metrics there are makes no difference to who is called, only whether there are any.
    metrics: Mapping[str, Metric] = {"any": Accuracy()} if has_metrics else {}
    evaluation = Evaluation(manager.hooks)
    loop = make_loop(manager.hooks, options, evaluation)
    manager.register(*active.workers(options, find_device(options.device, 0), metrics, loop, evaluation))
    return manager
