"""The plugins of a run with the engine's own among them, put together without the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hookloop.boundary import Boundary
from hookloop.build import find_device
from hookloop.builtin import active
from hookloop.builtin.metrics import Accuracy, Metric
from hookloop.evaluation import Evaluation
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin
from hookloop.loop import Loop
from hookloop.manager import PluginManager
from hookloop.options import RunOptions
from hookloop.records import Records
from hookloop.run import Run


def complete(
    plugins: Sequence[LoadedPlugin], options: RunOptions, order: Sequence[str], *, has_metrics: bool
) -> PluginManager:
    """Return *plugins* together with those of the engine that a run with *options* has."""
    manager = PluginManager(SPECIFICATIONS, order=order)
    manager.register(*active.providers(), *plugins)
    boundary = Boundary(
        manager.hooks,
        Records(Path(), writes=False),
        log_every=options.log_every,
        validate_every=options.validate_every,
        validate=no_validation,
    )
    # Which metrics there are makes no difference to who is called, only whether there are any.
    metrics: Mapping[str, Metric] = {"any": Accuracy()} if has_metrics else {}
    loop, evaluation = Loop(manager.hooks, boundary), Evaluation(manager.hooks)
    manager.register(*active.workers(options, find_device(options.device, 0), metrics, loop, evaluation))
    return manager


def no_validation(run: Run) -> None:
    """Stand where a run validates; nothing is ever run here."""
