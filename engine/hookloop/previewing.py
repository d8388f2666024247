"""The learning rates that a configuration is going to have: found by walking its schedule, without training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hookloop import build
from hookloop.cli.trial import begin
from hookloop.config import load_config
from hookloop.errors import ConfigError
from hookloop.plan import Plan, make_plan
from hookloop.run import Run
from hookloop.scheduling import advance


@dataclass(frozen=True)
class Curve:
    """The learning rates of group *group* of optimizer *optimizer*: ``rates[i]`` holds after ``progress[i]``."""

    optimizer: int
    group: int
    rates: Sequence[float]


@dataclass(frozen=True)
class Preview:
    """What a schedule is going to do.

    ``progress`` counts completed steps or epochs, as ``unit`` says; ``optimizers`` are those of the run; ``monitor`` is
    the metric that the schedule follows, of which nobody knows anything yet.
    """

    use: str
    unit: str
    progress: Sequence[int]
    curves: Sequence[Curve]
    optimizers: Sequence[torch.optim.Optimizer]
    monitor: str | None


def preview_schedule(
    files: Sequence[Path], overrides: Sequence[str] = (), switches: Sequence[str] = (), most: int | None = None
) -> Preview:
    """Build what *files* describe, as training would, and return the rates of the whole run, or of *most* steps.

    *overrides* and *switches* are those of ``--set`` and ``-p``. No batch is read, and no weight is changed. Raises
    ConfigError for a configuration that could not be trained, and for a run whose length nobody can know.
    """
    tree = load_config(files, overrides, os.environ)
    plan = make_plan(tree, switches=switches, environ=os.environ)
    if plan.schedule is None:
        raise ConfigError('there is no schedule: write [schedule] and use = "NAME" below it.')
    run = build_run(plan)
    unit = run.schedules[0].unit
    before = most if unit == "step" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about schedules that step before their optimizer does
        rows = list(walk(run, unit, before))
    return Preview(
        use=plan.schedule.label,
        unit=unit,
        progress=[progress for progress, _ in rows],
        curves=[
            Curve(number, index, [rates[number][index] for _, rates in rows])
            for number, optimizer in enumerate(run.optimizers)
            for index in range(len(optimizer.param_groups))
        ],
        optimizers=run.optimizers,
        monitor=run.schedules[0].monitor,
    )


def build_run(plan: Plan) -> Run:
    """Build what the schedule belongs to: task, data, optimizers, and the schedule itself."""
    run, plugins = begin(plan)
    run.loaders = build.build_loaders(run, ("train", "validate"))
    run.optimizers = build.build_optimizers(plan, run.task, build.offers(plugins, "provide_optimizers", run))
    run.schedules = build.build_schedules(plan, run, build.offers(plugins, "provide_schedules", run))
    return run


def walk(run: Run, unit: str, most: int | None) -> Iterator[tuple[int, list[list[float]]]]:
    """Yield the progress and the rates by optimizer and group, from the start to the end of the run."""
    length = most or (run.total_steps if unit == "step" else run.config.max_epochs)
    if length is None:
        needed = "run.max_steps" if unit == "step" else "run.max_epochs"
        raise ConfigError(f"nobody can know how many {unit}s this run has: set {needed}.")
    for progress in range(length + 1):
        if progress:
            count(run, unit)
        yield progress, [[float(group["lr"]) for group in each.param_groups] for each in run.optimizers]


def count(run: Run, unit: str) -> None:
    """Count one step or epoch, and let the schedules do what they do then."""
    if unit == "step":
        run.step += 1
        advance(run, "step")
    else:
        run.epoch += 1
        advance(run, "epoch")
