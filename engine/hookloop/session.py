"""One run from its first event to its last, whatever happens in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch

from hookloop.blame import culprit
from hookloop.control import Skip, handled_signals
from hookloop.errors import HookloopError
from hookloop.evaluation import set_training
from hookloop.opening import Command, Session, open_session
from hookloop.plan import Plan
from hookloop.preparing import prepare
from hookloop.result import Result, result_of, seconds_by_plugin
from hookloop.resume import Resume
from hookloop.rng import set_rng_state
from hookloop.run import Run
from hookloop.topology import leave_group

log = logging.getLogger("hookloop")


def execute(
    plan: Plan,
    command: Command,
    *,
    clock: Callable[[], float],
    environ: Mapping[str, str],
    resume: Resume | None = None,
    adds_to: Result | None = None,
    weights: Path | None = None,
    from_command_line: bool = False,
) -> Result:
    """Run *command* as *plan* says and return how it ended; a failure is raised after every ending hook was called.

    *resume* is what to go on from, as `find_origin` takes it; *adds_to* is a run with whose model, counters and
    directory this command goes on; *weights* is a file to load the model from. *from_command_line* says that the caller
    prints how it ended.
    """
    session = open_session(plan, command, clock, environ, resume, adds_to, weights)
    run, hooks = session.run, session.run.plugins.hooks
    run.from_command_line = from_command_line
    error: BaseException | None = None
    with torch_settings(plan), handled_signals(run.control):
        try:
            if hooks.on_run_start:
                hooks.on_run_start(run)
            prepare(session)
            work(session)
            run.control.hold()
            run.outcome = run.outcome or "completed"
        except BaseException as raised:
            run.control.hold()
            error = explained(raised)
        error = finish(session, error)
    if error is not None:
        try:
            raise named(error)
        finally:
            del error  # its traceback holds this frame: the two would keep each other, and what a step made, alive
    result = result_of(run)
    leave(session)
    return result


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
        run.control.hold()
        run.flush_rows()
        run.outcome = run.outcome or "completed"
    except BaseException as raised:
        run.control.hold()
        error = guarded(run, tell(session, explained(raised)), run.flush_rows)
    error = guarded(run, error, hooks.on_fit_end, run)
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
        guarded(run, error, hooks.on_interrupt, run)
    guarded(run, error, hooks.on_exception, run, error)
    return error


def finish(session: Session, error: BaseException | None) -> BaseException | None:
    """Call the last hook and write the record; return what the run failed with, if it did.

    What an ending hook raises never hides why the run ended: the first error stays, the others are notes on it.
    """
    run, hooks = session.run, session.run.plugins.hooks
    error = guarded(run, error, run.flush_rows)
    if error is not None:
        tell(session, error)
    first = error
    error = guarded(run, error, hooks.on_run_end, run, run.outcome)
    if first is None and error is not None:
        run.outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if session.begins:
        error = guarded(run, error, write_end, session, error)
    run.rows.close()
    session.told = None
    return error


def leave(session: Session) -> None:
    """Let go of the group of a run that is over, whose threads would last as long as the process."""
    group, session.run.host_group, session.loop.boundary.agree = session.run.host_group, None, None
    if group is not None:
        leave_group(group)


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


def guarded(
    run: Run, error: BaseException | None, hook: Callable[..., Any] | None, *given: Any
) -> BaseException | None:
    """Call *hook*; return *error* with a note on what the hook raised, or that when there was no error yet.

    A Ctrl-C breaks the hook off only when it takes long, and nothing between one hook and the next.
    """
    if hook is None:
        return error
    run.control.hold()
    try:
        hook(*given)
        run.control.hold()
    except BaseException as second:
        run.control.hold()
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
