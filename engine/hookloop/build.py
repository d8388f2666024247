"""Builds what a run trains with: names become factories, factories become the task, model, loaders, optimizers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from hookloop.builtin.metrics import Averaged, Metric
from hookloop.components import Component, Factory, call_factory, check_options, find_factory
from hookloop.errors import ConfigError, PluginConfigError, PluginHookError
from hookloop.loaders import length
from hookloop.loading import LoadedPlugin
from hookloop.manager import PluginManager
from hookloop.plan import Plan
from hookloop.run import Run, Stage
from hookloop.schedules import Schedule
from hookloop.task import LOADERS, Task

Offers = Mapping[str, Factory]


def offers(plugins: PluginManager, hook: str, run: Run) -> Offers:
    """Return name → factory of everything that plugins offer through *hook*.

    A plugin's name replaces the engine's own of that name; ConfigError for one that two plugins offer.
    """
    merged: dict[str, Factory] = {}
    owner: dict[str, str] = {}
    for each in plugins:
        if hook not in each.hooks:
            continue
        for name, factory in offer_of(each, hook, run).items():
            if name in merged and owner[name]:
                mine = f"'{each.instance}' ({each.origin})"
                raise ConfigError(
                    f"{hook}: '{name}' is offered by {owner[name]} and {mine}; switch one off with -p no:…"
                )
            merged[name] = factory
            owner[name] = "" if each.builtin else f"'{each.instance}' ({each.origin})"
    return merged


def offer_of(loaded: LoadedPlugin, hook: str, run: Run) -> Offers:
    """Return what one plugin offers through *hook*: asked one by one, so that each name has an owner."""
    offer = getattr(loaded.plugin, hook)
    if inspect.isgeneratorfunction(offer):
        raise PluginConfigError(loaded.instance, loaded.origin, f"{hook} cannot be wrapped; return a mapping of names.")
    try:
        return dict((offer(run) if inspect.signature(offer).parameters else offer()) or {})
    except Exception as error:
        raise PluginHookError(loaded.instance, loaded.origin, hook, run.step, error) from error


def find_device(name: str, local_rank: int) -> torch.device:
    """Return the device that ``run.device`` names; ``auto`` is this rank's accelerator, or the CPU when there is none."""
    if name == "auto":
        if not torch.accelerator.is_available():
            return torch.device("cpu")
        kind = torch.accelerator.current_accelerator()
        return torch.device("cpu") if kind is None else torch.device(kind.type, local_rank)
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "meta"):
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f'run.device: "{name}" cannot be used: {reason} Use "auto" or "cpu".') from error
    return device


def build_task(component: Component, offered: Offers) -> Task:
    """Return the task, built from its factory unless it was given ready."""
    if isinstance(component.use, Task):
        return component.use
    factory = find_factory(component, offered, "task")
    check_options(component, factory)
    task = call_factory(component, factory)
    if not isinstance(task, Task):
        raise component.error(f"'{component.use}' made a {type(task).__name__}; it must return a hookloop.Task.")
    if not isinstance(getattr(task, "model", None), torch.nn.Module):
        raise component.error(f"{type(task).__name__} has no model: set self.model to a torch.nn.Module.")
    return task


def build_loss(component: Component, offered: Offers, device: torch.device) -> Callable[..., Any]:
    """Return the loss as ``callable(output, target)``; code of the user's own may be the loss itself, or its factory."""
    factory = find_factory(component, offered, "loss")
    own = factory not in offered.values()
    if own and not component.options and not inspect.isclass(factory):
        loss: Callable[..., Any] = factory
    else:
        check_options(component, factory)
        loss = call_factory(component, factory)
    return loss.to(device) if isinstance(loss, torch.nn.Module) else loss


def build_metric(component: Component, offered: Offers) -> Metric:
    """Return a metric: an object that has ``update``, or a function of ``(output, target)`` averaged over batches."""
    if isinstance(component.use, Metric) and not inspect.isclass(component.use):
        return component.use
    factory = find_factory(component, offered, "metric")
    if factory not in offered.values() and not inspect.isclass(factory) and takes_two(factory):
        check_options(component, factory, given=("output", "target"))
        options = dict(component.options)
        return Averaged(lambda output, target: factory(output, target, **options))
    check_options(component, factory)
    metric = call_factory(component, factory)
    return metric if isinstance(metric, Metric) else Averaged(metric)


def build_metrics(plan: Plan, offered: Offers) -> dict[str, Metric]:
    """Return the metrics that ``[metrics]`` names."""
    return {name: build_metric(component, offered) for name, component in plan.metrics.items()}


def takes_two(function: Factory) -> bool:
    """Return whether *function* can be called as ``function(output, target)``."""
    try:
        inspect.signature(function).bind_partial(None, None)
    except (TypeError, ValueError):
        return False
    return True


def build_optimizers(plan: Plan, task: Task, offered: Offers) -> list[torch.optim.Optimizer]:
    """Return the task's own optimizers, or the configured one; ConfigError for both and for neither."""
    own = task.optimizers()
    if own is not None:
        if plan.optimizer is not None:
            raise plan.optimizer.error(f"{type(task).__name__} makes its own optimizers; take [optimizer] out.")
        return [own] if isinstance(own, torch.optim.Optimizer) else list(own)
    if plan.optimizer is None:
        raise ConfigError('there is no optimizer: write [optimizer] and use = "adamw", or override Task.optimizers.')
    factory = find_factory(plan.optimizer, offered, "optimizer")
    check_options(plan.optimizer, factory, given=("params",))
    parameters = [each for each in task.model.parameters() if each.requires_grad]
    made = call_factory(plan.optimizer, factory, parameters)
    return [made] if isinstance(made, torch.optim.Optimizer) else list(made)


def build_schedules(plan: Plan, run: Run, offered: Offers) -> Sequence[Schedule]:
    """Return one schedule for each optimizer, with its first learning rate set.

    An option ``period`` that is not given is the length of the run, in the schedule's ``unit``.
    """
    component = plan.schedule
    if component is None:
        return ()
    options = dict(component.options)
    unit = options.pop("unit", "epoch")
    if unit not in ("step", "epoch"):
        raise component.error(f"got {unit!r}, expected 'step' or 'epoch'.", "unit")
    factory = find_factory(component, offered, "schedule")
    if factory not in offered.values() and takes_two(factory) and not inspect.isclass(factory):
        check_options(component, factory, given=("progress", "lr"))
        rate = lambda progress, lr: factory(progress, lr, **options)  # noqa: E731
    else:
        if "period" in inspect.signature(factory).parameters and "period" not in options:
            options["period"] = whole_period(component, run, unit)
        bare = Component(component.path, component.use, options, component.tree)
        check_options(bare, factory)
        rate = call_factory(bare, factory)
    schedules = [Schedule(optimizer, rate, unit) for optimizer in run.optimizers]
    for schedule in schedules:
        schedule.apply(run)
    return schedules


def whole_period(component: Component, run: Run, unit: str) -> int:
    """Return how many steps or epochs the run has; ConfigError when nobody can know."""
    period = run.total_steps if unit == "step" else run.config.max_epochs
    if period is None:
        missing = "max_steps, or max_epochs and a loader with a length," if unit == "step" else "max_epochs"
        raise component.error(
            f"needs `period`, in {unit}s: it is the run's length by default, and {missing} is not set."
        )
    return period


def build_loaders(run: Run, stages: Sequence[Stage]) -> dict[Stage, Any]:
    """Return the prepared loader of each of *stages* that the task has data for."""
    loaders: dict[Stage, Any] = {}
    prepare = run.plugins.hooks.prepare_loader
    for stage in stages:
        loader = getattr(run.task, LOADERS[stage])()
        if loader is None:
            continue
        if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
            raise ConfigError(
                f"{type(run.task).__name__}.{LOADERS[stage]} gave a {type(loader).__name__}: not iterable"
            )
        loaders[stage] = prepare(run, loader, stage) if prepare else loader
    if "train" in loaders:
        run.batches_per_epoch = length(loaders["train"])
    return loaders
