"""Tries a configuration out: resolves every name, builds what a run would train with, and leaves nothing behind."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hookloop import build
from hookloop.builtin import active
from hookloop.components import Component, Factory, check_options, find_factory
from hookloop.control import Control
from hookloop.draft import Draft, in_order_of_place
from hookloop.errors import ConfigError, PluginError, Problem, suggest
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loaders import length
from hookloop.loading import LoadedPlugin, assemble
from hookloop.locations import is_location
from hookloop.manager import PluginManager
from hookloop.metrics import MetricStore
from hookloop.options import RunOptions
from hookloop.plan import Plan, spec_parameters
from hookloop.records import Records
from hookloop.rng import seed_everything
from hookloop.row_log import RowLog
from hookloop.run import Run
from hookloop.task import LOADERS

PROVIDERS = {
    "task": "provide_tasks",
    "loss": "provide_losses",
    "optimizer": "provide_optimizers",
    "schedule": "provide_schedules",
    "metric": "provide_metrics",
}
NO_END = Problem("", "run", "nothing ends this run: set max_epochs, max_steps or max_seconds.")


def find_problems(draft: Draft, more: Sequence[Problem]) -> list[Problem]:
    """Return everything that is wrong with *draft*, its names and options included; *more* stands among it."""
    problems = [*draft.problems, *more, *(problem for problem, _ in draft.failures)]
    if not ends(draft.options) and not any(each.key.startswith("run.max") for each in problems):
        problems.append(NO_END)
    plugins = []
    for each in draft.checked:
        try:
            plugins.append(assemble(each.decision, each.target, each.options, spec_parameters()))
        except PluginError as error:
            problems.append(Problem(each.decision.request.where if each.decision.request else "", "", str(error)))
    wanted = [each for each in draft.decisions if each.wanted]
    problems += part_problems(draft, plugins, all_there=len(plugins) == len(wanted))
    return in_order_of_place(problems)


def ends(options: RunOptions) -> bool:
    """Return whether anything ends a run with *options*."""
    return options.max_epochs is not None or options.max_steps is not None or options.max_seconds is not None


def part_problems(draft: Draft, plugins: Sequence[LoadedPlugin], *, all_there: bool) -> list[Problem]:
    """Return what is wrong with the names and options of the components."""
    manager = manager_of(plugins, draft.policy.order)
    run = bare_run(draft.options, manager)
    problems: list[Problem] = []
    offered: dict[str, Mapping[str, Factory]] = {}
    for kind, hook in PROVIDERS.items():
        with collecting(problems):
            offered[kind] = build.offers(manager, hook, run)
    for kind, component in components_of(draft.parts):
        # A plugin that could not be loaded may offer the name; only a likely slip of the pen is told before it can.
        unknown = isinstance(component.use, str) and not is_location(component.use)
        if kind not in offered or (unknown and not all_there and not resembles(component.use, offered[kind])):
            continue
        with collecting(problems):
            check_component(kind, component, offered[kind])
    return problems


def components_of(parts: Mapping[str, Any]) -> Iterator[tuple[str, Component]]:
    """Yield each component with the kind of thing it names."""
    for kind in ("task", "loss", "optimizer", "schedule"):
        if parts.get(kind) is not None:
            yield kind, parts[kind]
    for component in parts["metrics"].values():
        yield "metric", component


def resembles(name: str, offered: Mapping[str, Factory]) -> bool:
    """Return whether *name* is one of *offered*, or nearly so."""
    return name in offered or bool(suggest(name, offered))


def check_component(kind: str, component: Component, offered: Mapping[str, Factory]) -> None:
    """Raise ConfigError for a name of nothing and for options that it does not take, as building would; build nothing.

    What the options are of is said in `hookloop.build`: a function of the user's own may be the thing itself.
    """
    factory = find_factory(component, offered, kind)
    own_function = factory not in offered.values() and not inspect.isclass(factory)
    options = dict(component.options)
    if kind == "schedule":
        for key in {"unit", "monitor"} - {*parameters(factory)}:
            options.pop(key, None)
        if "period" in parameters(factory):
            options.setdefault("period", 1)
    if kind == "loss" and own_function and not options:
        return
    given: tuple[str, ...] = ("params",) if kind == "optimizer" else ()
    if kind == "schedule" and build.wants_optimizer(factory):
        given = ("optimizer",)
    elif kind in ("metric", "schedule") and own_function and build.takes_two(factory):
        given = ("output", "target") if kind == "metric" else ("progress", "lr")
    check_options(Component(component.path, component.use, options, component.tree), factory, given=given)


def parameters(factory: Factory) -> Sequence[str]:
    """Return the names of what *factory* takes; none for one that is written in C."""
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


def begin(plan: Plan) -> tuple[Run, PluginManager]:
    """Return a run with device and task, and the plugins, which it lacks: no hook is called outside of a real run."""
    plugins = manager_of(plan.plugins, plan.policy.order)
    run = bare_run(plan.options, manager_of((), ()))
    seed_everything(plan.options.seed)
    run.device = build.find_device(plan.options.device, 0)
    run.task = build.build_task(plan.task, build.offers(plugins, "provide_tasks", run))
    run.task.run, run.model = run, run.task.model
    return run, plugins


def build_everything(plan: Plan) -> dict[str, Any]:
    """Build what a run of *plan* would, and return what it is; ConfigError tells of all that cannot be built."""
    run, plugins = begin(plan)
    problems: list[Problem] = []
    with collecting(problems):
        if plan.loss is not None:
            build.build_loss(plan.loss, build.offers(plugins, "provide_losses", run), torch.device("cpu"))
    with collecting(problems):
        build.build_metrics(plan, build.offers(plugins, "provide_metrics", run))
    with collecting(problems):
        run.loaders = build.build_loaders(run, tuple(LOADERS))
        if "train" not in run.loaders:
            raise ConfigError(f"{type(run.task).__name__} has no data to train: {LOADERS['train']} gave None")
    with collecting(problems):
        run.optimizers = build.build_optimizers(plan, run.task, build.offers(plugins, "provide_optimizers", run))
        run.schedules = build.build_schedules(plan, run, build.offers(plugins, "provide_schedules", run))
    if problems:
        raise ConfigError(problems)
    return describe(plan, run)


def describe(plan: Plan, run: Run) -> dict[str, Any]:
    """Return what was built."""
    return {
        "task": type(run.task).__name__,
        "model": type(run.model).__name__,
        "parameters": sum(each.numel() for each in run.model.parameters()),
        "batches": {stage: length(loader) for stage, loader in run.loaders.items()},
        "optimizers": [type(each).__name__ for each in run.optimizers],
        "device": str(run.device),
        "plugins": [each.instance for each in plan.plugins],
    }


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of a ConfigError to *problems* in place of raising it."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.problems)


def manager_of(plugins: Sequence[LoadedPlugin], order: Sequence[str]) -> PluginManager:
    """Return a plugin set of what the engine offers by name, and *plugins*."""
    manager = PluginManager(SPECIFICATIONS, order=order)
    manager.register(*active.providers(), *plugins)
    return manager


def bare_run(options: RunOptions, plugins: PluginManager) -> Run:
    """Return a run to build for, in a directory that nobody makes."""
    directory = Path(options.run_dir or Path(options.runs_dir) / options.name)
    return Run(
        config=options,
        settings={},
        plugins=plugins,
        store=MetricStore(),
        rows=RowLog(Records(directory, writes=False), plugins),
        control=Control(),
        clock=time.monotonic,
        directory=directory,
    )
