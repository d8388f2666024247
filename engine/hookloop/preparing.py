"""From a plan to everything that a run needs: task, model, data, optimizers, schedules, and the state to go on from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hookloop import build
from hookloop.builtin import active
from hookloop.describe import fingerprint_of
from hookloop.errors import ConfigError
from hookloop.placing import agree_on_origin
from hookloop.repositioning import reposition
from hookloop.resume import go_on
from hookloop.rng import seed_everything
from hookloop.run import Run
from hookloop.sources import make_source
from hookloop.task import LOADERS
from hookloop.topology import agreement, check_same_everywhere, shared_group

if TYPE_CHECKING:
    from hookloop.opening import Session

log = logging.getLogger("hookloop")


def prepare(session: Session) -> None:
    """Build the task, the model and what trains it, in an order that depends on nothing but the configuration."""
    plan, run, plugins = session.plan, session.run, session.run.plugins
    seed_everything(plan.options.seed)
    run.device = build.find_device(plan.options.device, session.topology.local_rank)
    run.task = build.build_task(plan.task, build.offers(plugins, "provide_tasks", run))
    run.task.run = run
    if plan.loss is not None:
        run.task.criterion = build.build_loss(plan.loss, build.offers(plugins, "provide_losses", run), run.device)
    model = run.task.model.to(run.device)
    run.model = run.task.model = plugins.hooks.prepare_model(run, model) if plugins.hooks.prepare_model else model
    if session.adds_to is not None:
        run.model.load_state_dict(session.adds_to.state["model"])
    if session.weights is not None:
        load_weights(run, session.weights)
    metrics = build.build_metrics(plan, build.offers(plugins, "provide_metrics", run))
    plugins.register(*active.workers(plan.options, run.device, metrics, session.loop, session.evaluation))
    if session.adds_to is not None:
        plugins.load_state_dict(session.adds_to.state["plugins"], step=run.step)
    run.loaders = build.build_loaders(run, ("train", "validate") if session.command == "train" else (session.command,))
    if session.command not in run.loaders:
        raise ConfigError(
            f"{type(run.task).__name__} has no data to {session.command}: {LOADERS[session.command]} gave None"
        )
    if session.command == "train":
        prepare_training(session)
    if plugins.hooks.on_ready:
        plugins.hooks.on_ready(run)


def prepare_training(session: Session) -> None:
    """Build optimizers and schedules, and put a saved state back."""
    plan, run, plugins = session.plan, session.run, session.run.plugins
    optimizers = build.build_optimizers(plan, run.task, build.offers(plugins, "provide_optimizers", run))
    chain = plugins.hooks.prepare_optimizer
    run.optimizers = tuple([chain(run, each) if chain else each for each in optimizers])
    run.schedules = build.build_schedules(plan, run, build.offers(plugins, "provide_schedules", run))
    join(session)
    run.source = make_source(run.loaders["train"], run.config.seed, run.rank)
    if session.origin is not None:
        session.left = go_on(run, session.records, session.origin)
        boundary = session.loop.boundary
        if session.left.data is not None and boundary.in_epoch and not boundary.data_ended:
            reposition(run, session.left.data, session.left.ranks)
        tell_whether_exact(session)
    because = session.records.recall().get("inexact_because") or session.left.differing or run.source.inexact
    session.records.write_record(exact=because is None, inexact_because=because)


def join(session: Session) -> None:
    """Make of several ranks one run: from here on there has to be a process group, whoever has made it."""
    run, topology = session.run, session.topology
    if run.host_group is None:
        run.host_group = shared_group(topology)
    session.loop.boundary.agree = agreement(topology, run.host_group)
    check_same_everywhere(topology, fingerprint_of(session.plan, run.plugins), run.host_group)
    if topology.world_size > 1:
        session.origin, run.attempt = agree_on_origin(session.origin, run.attempt, run.host_group)


def tell_whether_exact(session: Session) -> None:
    """Warn when the run may not end as one that was never stopped; its data matters only in the middle of an epoch."""
    inexact = session.run.source.inexact if session.loop.boundary.in_epoch else None
    because = session.left.differing or inexact
    if because:
        log.warning("this run may not end as one that was never stopped: %s", because)


def load_weights(run: Run, path: Path) -> None:
    """Load the model's state dict from *path*, executing no code that the file may hold."""
    try:
        state = torch.load(path, map_location=run.device, weights_only=True)
        run.model.load_state_dict(state.get("model", state))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. --weights wants what torch.save(model.state_dict()) wrote."
        ) from None
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded into {type(run.model).__name__}: {error}") from error
