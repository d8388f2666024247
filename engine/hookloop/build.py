"""Builds what a run trains with: names become factories, factories become the task, model, loaders, optimizers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from hookloop.builtin.metrics import Averaged, Metric
from hookloop.components import Component, Factory, call_factory, check_options, find_factory
from hookloop.errors import ConfigError, PluginConfigError, PluginHookError, Problem
from hookloop.loaders import length
from hookloop.loading import LoadedPlugin
from hookloop.manager import PluginManager
from hookloop.plan import Plan
from hookloop.run import Run, Stage
from hookloop.schedules import Rate, Unit
from hookloop.scheduling import RateSchedule, Schedule, SteppedSchedule
from hookloop.task import LOADERS, Task

Offers = Mapping[str, Factory]


def offers(plugins: PluginManager, hook: str, run: Run) -> Offers:
    """Return name → factory of everything that plugins offer through *hook*.

    A plugin's name replaces the engine's own of that name; ConfigError for one that two plugins offer, unless it is the
    very same, as with two instances of one plugin.
    """
    merged: dict[str, Factory] = {}
    owner: dict[str, str] = {}
    for each in plugins:
        if hook not in each.hooks:
            continue
        for name, factory in offer_of(each, hook, run).items():
            if name in merged and owner[name] and merged[name] is not factory:
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
    """Return the device that ``run.device`` names; ``auto`` is this rank's accelerator, or the CPU where there is none.

    Raises ConfigError for one that is not there.
    """
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
        reason = str(error).splitlines()[0].rstrip(".")
        message = f'"{name}" cannot be used: {reason}. Use "auto" or "cpu".'
        raise ConfigError([Problem("", "run.device", message)]) from error
    return device


def build_task(component: Component, offered: Offers) -> Task:
    """Return the task, built from its factory unless it was given ready."""
    task = component.use if isinstance(component.use, Task) else make_task(component, offered)
    if not isinstance(getattr(task, "model", None), torch.nn.Module):
        raise component.error(f"{type(task).__name__} has no model: set self.model to a torch.nn.Module.")
    return task


def make_task(component: Component, offered: Offers) -> Task:
    """Return the task that its factory makes."""
    if isinstance(component.use, torch.nn.Module):
        raise component.error("a model is no task yet: give it data with hookloop.SupervisedTask(model, train=...).")
    factory = find_factory(component, offered, "task")
    check_options(component, factory)
    task = call_factory(component, factory)
    if not isinstance(task, Task):
        raise component.error(f"{component.label} made {described(task)}; it must return a hookloop.Task.")
    return task


def described(value: object) -> str:
    """Return what *value* is, for a sentence about what it should have been."""
    return "None" if value is None else f"an object of type {type(value).__name__}"


def is_itself(component: Component, factory: Factory) -> bool:
    """Return whether *factory*, of the user's own, is the loss, metric or schedule itself and not what makes it."""
    return component.is_own and not inspect.isclass(factory) and takes_two(factory, component.options)


def takes_two(function: Factory, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether *function* wants two values first that *options* do not give: it must have them, by position."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True  # written in C, like torch's own functions of tensors
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return True
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    free = [each for each in positional[:2] if each.default is each.empty and each.name not in (options or {})]
    return len(free) == 2


def with_options(component: Component, function: Factory, given: Sequence[str]) -> Factory:
    """Return *function* with the component's options bound; what is *given* comes first."""
    check_options(component, function, given=given)
    return functools.partial(function, **component.options) if component.options else function


def build_loss(component: Component, offered: Offers, device: torch.device) -> Callable[..., Any]:
    """Return the loss as ``callable(output, target)``; code of the user's own may be the loss itself, or make it."""
    factory = find_factory(component, offered, "loss")
    if is_itself(component, factory):
        loss = with_options(component, factory, ("output", "target"))
    else:
        check_options(component, factory)
        loss = call_factory(component, factory)
    if not callable(loss):
        raise component.error(f"{component.label} made {described(loss)}; a loss is called with (output, target).")
    return loss.to(device) if isinstance(loss, torch.nn.Module) else loss


def build_metric(component: Component, offered: Offers) -> Metric:
    """Return a metric: an object that has ``update``, or a function of ``(output, target)`` averaged over samples."""
    if isinstance(component.use, Metric) and not inspect.isclass(component.use):
        return component.use
    factory = find_factory(component, offered, "metric")
    if is_itself(component, factory):
        return Averaged(with_options(component, factory, ("output", "target")))
    check_options(component, factory)
    metric = call_factory(component, factory)
    if isinstance(metric, Metric):
        return metric
    if not callable(metric):
        raise component.error(
            f"{component.label} made {described(metric)}; a metric has update(output, target), compute() and reset(), "
            "or is a function of (output, target)."
        )
    return Averaged(metric)


def build_metrics(plan: Plan, offered: Offers) -> dict[str, Metric]:
    """Return the metrics that ``[metrics]`` names."""
    return {name: build_metric(component, offered) for name, component in plan.metrics.items()}


def build_optimizers(plan: Plan, task: Task, offered: Offers) -> list[torch.optim.Optimizer]:
    """Return the task's own optimizers, or the configured ones; ConfigError for both and for neither."""
    own = task.optimizers()
    name = f"{type(task).__name__}.optimizers"
    if own is not None:
        if plan.optimizer is not None:
            raise plan.optimizer.error(f"{type(task).__name__} makes its own optimizers; take [optimizer] out.")
        return checked_optimizers(own, lambda message: ConfigError(f"{name} {message}"))
    if plan.optimizer is None:
        raise ConfigError(f'there is no optimizer: write [optimizer] and use = "adamw", or override {name}.')
    component = plan.optimizer
    factory = find_factory(component, offered, "optimizer")
    check_options(component, factory, given=("params",))
    parameters = [each for each in task.model.parameters() if each.requires_grad]
    if not parameters:
        raise component.error(f"{type(task.model).__name__} has no parameter that requires a gradient.")
    made = call_factory(component, factory, parameters)
    return checked_optimizers(made, lambda message: component.error(f"{component.label} {message}"))


def checked_optimizers(made: Any, refuse: Callable[[str], ConfigError]) -> list[torch.optim.Optimizer]:
    """Return *made* as a list; raise what *refuse* makes of a message when it is anything but optimizers."""
    several = list(made) if isinstance(made, Iterable) else [made]
    wrong = [each for each in several if not isinstance(each, torch.optim.Optimizer)]
    if wrong or not several:
        what = described(wrong[0]) if wrong else "nothing"
        raise refuse(f"gave {what}; it must give one or several torch.optim.Optimizer.")
    return several


def build_schedules(plan: Plan, run: Run, offered: Offers) -> Sequence[Schedule]:
    """Return one schedule for each optimizer, with its first learning rate set.

    Three options are the engine's: ``unit``, what is counted; ``monitor``, the metric of a schedule that follows one;
    and ``period``, which is the length of the run, in this unit, unless it is given.
    """
    component = plan.schedule
    if component is None:
        return ()
    options = dict(component.options)
    unit = options.pop("unit", "epoch")
    if unit not in ("step", "epoch"):
        raise component.error(f"got {unit!r}, expected 'step' or 'epoch'.", "unit")
    factory = find_factory(component, offered, "schedule")
    if "period" in parameter_names(factory) and "period" not in options:
        options["period"] = whole_period(component, run, unit)
    monitor = options.pop("monitor", None) if "monitor" not in parameter_names(factory) else None
    schedules = make_schedules(dataclasses.replace(component, options=options), factory, unit, monitor, run)
    for schedule in schedules:
        check_monitor(component, schedule, monitor, run)
    return schedules


def make_schedules(
    component: Component, factory: Factory, unit: Unit, monitor: str | None, run: Run
) -> Sequence[Schedule]:
    """Return a schedule for each optimizer: of a rate, or of a stepper where something takes ``optimizer`` first."""
    if wants_optimizer(factory):
        check_options(component, factory, given=("optimizer",))
        steppers = [call_factory(component, factory, each) for each in run.optimizers]
    else:
        made = build_rate(component, factory)
        if not wants_optimizer(made):
            schedules = [RateSchedule(each, made, unit) for each in run.optimizers]
            for schedule in schedules:
                schedule.apply(run)
            return schedules
        attach: Factory = made
        steppers = [attach(each) for each in run.optimizers]
    for stepper in steppers:
        if not all(callable(getattr(stepper, name, None)) for name in ("step", "state_dict", "load_state_dict")):
            raise component.error(
                f"{component.label} made {described(stepper)} of an optimizer; what sets its rates has step(), "
                "state_dict() and load_state_dict()."
            )
    pairs = zip(run.optimizers, steppers, strict=True)
    return [SteppedSchedule(optimizer, each, unit, monitor, component.options) for optimizer, each in pairs]


def wants_optimizer(function: Factory) -> bool:
    """Return whether the first that *function* takes is called ``optimizer``, as with torch's schedulers."""
    return parameter_names(function)[:1] == ("optimizer",)


def check_monitor(component: Component, schedule: Schedule, monitor: str | None, run: Run) -> None:
    """Raise ConfigError for a metric that nobody follows, and for one that is never going to be there."""
    if schedule.monitor is None:
        if monitor is not None:
            raise component.error(f"unknown option: {component.label} follows no metric.", "monitor")
        return
    if not isinstance(schedule.monitor, str):
        raise component.error(f"got {monitor!r}; it is the name of a metric, such as 'val/loss'.", "monitor")
    if schedule.monitor.startswith("val/") and ("validate" not in run.loaders or run.config.validate_every is None):
        raise component.error(
            f"{component.label} follows '{schedule.monitor}', and there is no validation in this run: name another "
            "metric with `monitor`, such as 'train/loss'.",
            "monitor",
        )
    if schedule.unit == "step" and run.world_size > 1:
        raise component.error(
            "follows a metric, which ranks may log at different steps: count epochs in several processes.", "unit"
        )


def build_rate(component: Component, factory: Factory) -> Rate:
    """Return the schedule as ``callable(progress, lr)``."""
    if is_itself(component, factory):
        return with_options(component, factory, ("progress", "lr"))
    check_options(component, factory)
    rate: Rate = call_factory(component, factory)
    if not callable(rate):
        raise component.error(f"{component.label} made {described(rate)}; a schedule is called with (progress, lr).")
    return rate


def parameter_names(factory: Factory) -> Sequence[str]:
    """Return the names of what *factory* takes; none for one that is written in C."""
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


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
