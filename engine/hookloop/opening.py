"""The beginning of a run: plugins registered, a directory made, and nothing that could fail later than it has to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hookloop.boundary import Boundary
from hookloop.builtin import active
from hookloop.control import Control
from hookloop.describe import config_text, describe_plugins, resolved, versions
from hookloop.errors import ConfigError
from hookloop.evaluation import Evaluation
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loop import Loop
from hookloop.manager import Hooks, PluginManager
from hookloop.metrics import MetricStore
from hookloop.options import RunOptions
from hookloop.placing import Wish, place_run
from hookloop.plan import Plan
from hookloop.records import Records
from hookloop.result import Result
from hookloop.resume import Continuation, Origin, Resume
from hookloop.row_log import RowLog
from hookloop.run import Run, Stage
from hookloop.topology import Topology, find_topology, shared_group

Command = Stage  # "train" is what `fit` does


@dataclass
class Session:
    """The parts of one run in the making, shared by the functions that open, prepare, work and finish."""

    plan: Plan
    command: Command
    run: Run
    records: Records
    topology: Topology
    origin: Origin | None
    adds_to: Result | None
    weights: Path | None
    loop: Loop
    evaluation: Evaluation
    begins: bool
    left: Continuation = field(default_factory=Continuation)
    told: BaseException | None = None


def open_session(
    plan: Plan,
    command: Command,
    clock: Callable[[], float],
    environ: Mapping[str, str],
    resume: Resume | None,
    adds_to: Result | None,
    weights: Path | None,
) -> Session:
    """Register the plugins and make the run directory: everything before the first event.

    What can be wrong is looked at before the directory is made, so that a mistake leaves none.
    """
    if command == "train":
        check_limits(plan)
    topology = find_topology(environ)
    plugins = PluginManager(SPECIFICATIONS, order=plan.policy.order, rank=topology.rank)
    plugins.register(*active.providers(), *plan.plugins)
    options = plan.options
    group = shared_group(topology)
    wish = Wish(options, command, resume, None if adds_to is None else adds_to.directory)
    placement = place_run(wish, topology, group)
    control = Control(shared=topology.world_size > 1)
    records = Records(placement.directory, writes=topology.rank == 0)
    run = Run(
        config=options,
        settings=resolved(plan),
        plugins=plugins,
        store=MetricStore(),
        rows=RowLog(records, plugins),
        control=control,
        clock=clock,
        directory=placement.directory,
        rank=topology.rank,
        world_size=topology.world_size,
    )
    run.host_group = group
    evaluation = Evaluation(plugins.hooks)
    loop = make_loop(plugins.hooks, options, evaluation)
    if adds_to is not None:
        run.load_counters(adds_to.state["counters"])
    if placement.begins:
        write_beginning(records, plan, run, placement.origin)
    return Session(
        plan,
        command,
        run,
        records,
        topology,
        placement.origin,
        adds_to,
        weights,
        loop,
        evaluation,
        placement.begins,
    )


def make_loop(hooks: Hooks, options: RunOptions, evaluation: Evaluation) -> Loop:
    """Return the loop of a run with *options*."""
    boundary = Boundary(
        hooks,
        log_every=options.log_every,
        validate_every=options.validate_every,
        max_seconds=options.max_seconds,
        validate=lambda run: evaluation.evaluate(run, "validate") if "validate" in run.loaders else None,
    )
    return Loop(hooks, boundary)


def check_limits(plan: Plan) -> None:
    """Raise ConfigError when nothing would end the training."""
    options = plan.options
    if options.max_epochs is None and options.max_steps is None and options.max_seconds is None:
        raise ConfigError("nothing ends this run: set run.max_epochs, run.max_steps or run.max_seconds.")


def write_beginning(records: Records, plan: Plan, run: Run, origin: Origin | None) -> None:
    """Write the files that a run has from its start; a run that goes on keeps count of how often it was begun."""
    before = records.recall() if origin else {}
    attempts = before.get("attempts", [])
    run.attempt = len(attempts)
    source = str(origin.snapshot or "memory") if origin and (origin.snapshot or origin.state) else None
    attempt = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "resumed_from": source}
    records.write_config(config_text(plan))
    records.write_record(
        attempts=[*attempts, attempt],
        exact=before.get("exact"),
        inexact_because=before.get("inexact_because"),
        outcome=None,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        seed=plan.options.seed,
        plugins=describe_plugins(run.plugins),
    )
