"""One run from its first event to its last, whatever happens in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch

from hookloop import build
from hookloop.boundary import Boundary
from hookloop.builtin import active
from hookloop.control import Control, Outcome, Skip, handled_signals
from hookloop.describe import config_text, describe_plugins, fingerprint_of, resolved, versions
from hookloop.errors import ConfigError, HookloopError
from hookloop.evaluation import Evaluation, set_training
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loop import Loop
from hookloop.manager import Failure, Hooks, PluginManager, culprit
from hookloop.metrics import MetricStore
from hookloop.options import RunOptions
from hookloop.placing import Wish, agree_on_origin, place_run
from hookloop.plan import Plan
from hookloop.records import Records
from hookloop.repositioning import reposition
from hookloop.resume import Continuation, Origin, Resume, go_on
from hookloop.rng import seed_everything, set_rng_state
from hookloop.run import Run, Stage
from hookloop.sources import make_source
from hookloop.state import run_state
from hookloop.task import LOADERS
from hookloop.topology import Topology, agreement, check_same_everywhere, find_topology, shared_group

log = logging.getLogger("hookloop")

Command = Stage  # "train" is what `fit` does


@dataclass(frozen=True)
class Result:
    """How a run ended, and what it left.

    ``metrics`` holds the newest value of each metric, ``history`` the rows of ``metrics.jsonl``. ``state`` is the whole
    state at the end, as a checkpoint would hold it. ``plugin_seconds`` is plugin → hook → seconds.
    """

    outcome: Outcome
    stop_reason: str | None
    directory: Path
    metrics: Mapping[str, float]
    history: list[dict[str, float]]
    epoch: int
    step: int
    samples: int
    elapsed_seconds: float
    state: Mapping[str, Any]
    plugin_seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    best_checkpoint: Path | None = None
    last_checkpoint: Path | None = None


@dataclass
class Session:
    """The parts of one run in the making, shared by the functions below."""

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


def execute(
    plan: Plan,
    command: Command,
    *,
    clock: Callable[[], float],
    environ: Mapping[str, str],
    resume: Resume | None = None,
    adds_to: Result | None = None,
    weights: Path | None = None,
) -> Result:
    """Run *command* as *plan* says and return how it ended; a failure is raised after every ending hook was called.

    *resume* is what to go on from, as `find_origin` takes it; *adds_to* is a run with whose model, counters and
    directory this command goes on; *weights* is a file to load the model from.
    """
    session = open_session(plan, command, clock, environ, resume, adds_to, weights)
    run, hooks = session.run, session.run.plugins.hooks
    error: BaseException | None = None
    with torch_settings(plan), handled_signals(run.control):
        try:
            if hooks.on_run_start:
                hooks.on_run_start(run)
            prepare(session)
            work(session)
            run.outcome = run.outcome or "completed"
        except BaseException as raised:
            error = explained(raised)
        error = finish(session, error)
    if error is not None:
        try:
            raise named(error)
        finally:
            del error  # its traceback holds this frame: the two would keep each other, and what a step made, alive
    return result_of(session)


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
    run = Run(
        config=options,
        settings=resolved(plan),
        plugins=plugins,
        store=MetricStore(),
        control=control,
        clock=clock,
        directory=placement.directory,
        rank=topology.rank,
        world_size=topology.world_size,
    )
    run.host_group = group
    records = Records(placement.directory, writes=topology.rank == 0)
    evaluation = Evaluation(plugins.hooks)
    loop = make_loop(plugins.hooks, records, options, evaluation)
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


def make_loop(hooks: Hooks, records: Records, options: RunOptions, evaluation: Evaluation) -> Loop:
    """Return the loop of a run with *options*."""
    boundary = Boundary(
        hooks,
        records,
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


@contextmanager
def torch_settings(plan: Plan) -> Iterator[None]:
    """Set what ``[run]`` says of the whole process, and put it back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if plan.options.threads is not None:
        torch.set_num_threads(plan.options.threads)
    if plan.options.deterministic:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


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


def work(session: Session) -> None:
    """Do what the command says."""
    run = session.run
    if session.command == "train":
        fit(session)
        return
    if session.command == "predict":
        session.evaluation.predict(run)
    else:
        session.evaluation.evaluate(run, session.command)
    session.loop.boundary.phases(run, fetch=True)


def fit(session: Session) -> None:
    """Train between ``on_fit_start`` and ``on_fit_end``, which is called however training ends."""
    run, hooks = session.run, session.run.plugins.hooks
    set_training(run.model)
    error: BaseException | None = None
    try:
        if hooks.on_fit_start:
            hooks.on_fit_start(run)
        if session.left.rng is not None:
            set_rng_state(session.left.rng, run.device)
        hooks.run_fit(run)
        run.outcome = run.outcome or "completed"
    except BaseException as raised:
        error = tell(session, explained(raised))
    error = guarded(error, hooks.on_fit_end, run)
    run.batches = iter(())  # lets go of the loader's workers, also where the epoch was left in the middle
    if error is not None:
        try:
            raise error
        finally:
            del error  # as in `execute`


def tell(session: Session, error: BaseException) -> BaseException:
    """Set the outcome that *error* means and tell the plugins, once; return *error*."""
    run, hooks = session.run, session.run.plugins.hooks
    if error is session.told:
        return error
    session.told = error
    interrupts = isinstance(error, KeyboardInterrupt)
    known = run.outcome == "interrupted"
    run.outcome = "interrupted" if interrupts else "failed"
    if interrupts and not known:
        guarded(error, hooks.on_interrupt, run)
    guarded(error, hooks.on_exception, run, error)
    return error


def finish(session: Session, error: BaseException | None) -> BaseException | None:
    """Call the last hook and write the record; return what the run failed with, if it did.

    What an ending hook raises never hides why the run ended: the first error stays, the others are notes on it.
    """
    run, hooks = session.run, session.run.plugins.hooks
    if error is not None:
        tell(session, error)
    first = error
    error = guarded(error, hooks.on_run_end, run, run.outcome)
    if first is None and error is not None:
        run.outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if session.begins:
        error = guarded(error, write_end, session, error)
    session.records.close()
    session.told = None
    return error


def write_end(session: Session, error: BaseException | None) -> None:
    """Complete the run's record."""
    run = session.run
    session.records.write_record(
        outcome=run.outcome,
        stop_reason=run.stop_reason,
        error=None if error is None else f"{type(error).__name__}: {error}",
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        counters=run.counters(),
        metrics=run.metrics,
        plugin_seconds=seconds_by_plugin(run),
        failures=[vars(each) for each in run.plugins.failures],
    )


def guarded(error: BaseException | None, hook: Callable[..., Any] | None, *given: Any) -> BaseException | None:
    """Call *hook*; return *error* with a note on what the hook raised, or that when there was no error yet."""
    if hook is None:
        return error
    try:
        hook(*given)
    except BaseException as second:
        if error is None:
            return second
        error.add_note(f"and while the run was ending: {type(second).__name__}: {second}")
        log.error("a hook failed while the run was ending", exc_info=second)
    return error


def explained(error: BaseException) -> BaseException:
    """Return *error*; for a skip that nobody took, an error that says so."""
    if not isinstance(error, Skip):
        return error
    frame = extract_tb(error.__traceback__)[-1]
    meant = HookloopError(
        f"{type(error).__name__} was raised in {frame.name} ({frame.filename}:{frame.lineno}), where there is nothing "
        "to leave out. docs/hooks.md says of each hook which skip it may raise."
    )
    meant.__cause__ = error
    return meant


def named(error: BaseException) -> BaseException:
    """Return *error*, as a `PluginHookError` that names the plugin when a plugin's hook raised it."""
    verdict = culprit(error)
    if verdict is None:
        return error
    verdict.__cause__ = error
    return verdict


def seconds_by_plugin(run: Run) -> dict[str, dict[str, float]]:
    """Return plugin → hook → seconds, the slowest first."""
    table: dict[str, dict[str, float]] = {}
    for timing in run.plugins.timings():
        table.setdefault(timing.plugin, {})[timing.hook] = timing.seconds
    return table


def result_of(session: Session) -> Result:
    """Return how the run ended."""
    run = session.run
    return Result(
        outcome=run.outcome or "completed",
        stop_reason=run.stop_reason,
        directory=run.directory,
        metrics=dict(run.metrics),
        history=run.history,
        epoch=run.epoch,
        step=run.step,
        samples=run.samples,
        elapsed_seconds=run.elapsed_seconds,
        state=run_state(run),
        plugin_seconds=seconds_by_plugin(run),
        failures=tuple(run.plugins.failures),
        best_checkpoint=run.best_checkpoint,
        last_checkpoint=run.last_checkpoint,
    )
