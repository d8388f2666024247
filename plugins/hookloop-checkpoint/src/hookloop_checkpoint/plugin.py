"""The plugin ``checkpoint``: when to save, under which name, and which snapshots are the best."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from hookloop import hookimpl, snapshots
from hookloop_checkpoint.config import CheckpointConfig
from hookloop_checkpoint.due import Due
from hookloop_checkpoint.monitor import Measured, Monitor
from hookloop_checkpoint.naming import Namer
from hookloop_checkpoint.options import number_of
from hookloop_checkpoint.ranking import Ranking
from hookloop_checkpoint.saving import Saver, instance_of, is_inside, position_of

if TYPE_CHECKING:
    from cyclopts import App

    from hookloop import Run

log = logging.getLogger("hookloop.checkpoint")


class Checkpoint:
    """Saves the state of a run when it is due, and whenever somebody asks for it, as a signal does.

    Every rank passes through here, as all of them put the state together; rank 0 writes.
    """

    role = "observer"
    Config = CheckpointConfig

    def __init__(self, config: CheckpointConfig) -> None:
        self.config = config
        self.kind: snapshots.Kind = "weights" if config.weights_only else "resumable"
        self.reset("")

    def reset(self, instance: str) -> None:
        """Begin with nothing saved and nothing measured."""
        config = self.config
        self.instance = instance
        self.saver: Saver | None = None
        self.due = Due(config.every)
        self.measured = Measured()
        self.namer = Namer(config.name, instance)
        self.monitor: Monitor | None = None
        if config.monitor is not None:
            ranking = Ranking(config.direction, config.keep_best, config.better_than)
            self.monitor = Monitor(instance, config.monitor, ranking)

    @hookimpl
    def add_commands(self, app: App) -> None:
        """Add ``hookloop checkpoint``."""
        app.command("hookloop_checkpoint.commands:app", name="checkpoint", help="List, verify and export snapshots.")

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset(instance_of(self, run))

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """See what the directory holds: of a run that is resumed, the snapshots before."""
        config = self.config
        self.saver = Saver(
            run,
            self.instance,
            keep_last=number_of(config.keep_last),
            asynchronous=config.asynchronous,
            on_failure=config.on_failure,
        )
        found = self.saver.open(run)
        if self.monitor is not None:
            if run.rank == 0 and is_inside(run.resumed_from, run.directory):
                self.monitor.forget_missing({each.path.name for each in found})
            self.monitor.recall(found, self.kind)
            self.point_at_best(run)

    @hookimpl
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Note the values, and on which weights they were measured."""
        self.measured.add(run.step, metrics)

    @hookimpl
    def on_epoch_end(self) -> None:
        """Let the boundary that follows count as that of the epoch."""
        self.due.end_epoch()

    @hookimpl
    def decide(self, run: Run) -> None:
        """Where processes have clocks of their own, let that of rank 0 ask all of them to save."""
        if self.saver is not None:
            self.due.ask(run, self.instance)

    @hookimpl
    def persist(self, run: Run) -> None:
        """Save if it is time to, or if somebody asked."""
        if self.saver is None:
            return
        if not self.saver.writer.idle:
            self.settle(run)
        due = self.due.at_boundary(run)
        if self.monitor is not None:
            due = self.monitor.is_due(run.step, self.measured.at(run.step), run.metrics, due=due)
        if run.save_requested:
            self.save(run)
        elif due:
            self.save(run, only_best=self.config.only_best)

    @hookimpl
    def on_exception(self, run: Run, error: BaseException) -> None:
        """Save what there is for a look at it, without another process and without hiding *error*."""
        # A second Ctrl-C means at once; the first one has saved at a boundary.
        if self.saver is None or not self.config.on_exception or isinstance(error, KeyboardInterrupt):
            return
        try:
            self.settle(run, wait=True, ending=True)
            self.saver.save_failure(run, self.measured.at(run.step))
            self.settle(run, wait=True, ending=True)
        except Exception as second:
            log.error("%s: the state of the failed step was not saved: %s", self.instance, second)

    @hookimpl(tryfirst=True)
    def on_fit_end(self, run: Run) -> None:
        """Finish what is being written, and save how training ended: before others put best weights in its place."""
        if self.saver is None:
            return
        self.settle(run, wait=True, ending=True)
        if self.monitor is not None:
            self.monitor.give_up(run.metrics)
        if self.config.final and run.outcome in ("completed", "stopped") and self.saver.position != position_of(run):
            self.save(run, only_best=self.config.only_best)
            self.settle(run, wait=True, ending=True)

    @hookimpl
    def on_run_end(self, run: Run) -> None:
        """Repeat what went wrong on the way, and let go of everything."""
        saver, self.saver = self.saver, None
        if saver is None:
            return
        saver.close()
        if self.monitor is not None:
            self.monitor.summarize()

    def save(self, run: Run, *, only_best: bool = False) -> None:
        """Save the state of now, or with *only_best* leave out what is not among the best."""
        saver, monitor = cast("Saver", self.saver), self.monitor
        self.settle(run, wait=True)
        measured = self.measured.at(run.step)
        if monitor is None:
            saver.save(run, self.namer.name(run, measured, saver.is_taken), self.kind, measured)
        elif only_best and not saver.agreed(run, monitor.admits(measured)):
            if run.world_size > 1:
                snapshots.take(run)  # all ranks have to, should another find it to be among the best
            return
        else:
            name = self.namer.name(run, measured, saver.is_taken)
            with monitor.entered(name, measured, run.step):
                saver.save(run, name, self.kind, measured, monitor.ranking.names)
        if not self.config.asynchronous:
            self.settle(run, wait=True)

    def settle(self, run: Run, *, wait: bool = False, ending: bool = False) -> None:
        """Take note of what came of the last save, if it is done by now, or else after it is if *wait*."""
        saver = cast("Saver", self.saver)
        done = saver.collect(wait=wait)
        if done is None:
            return
        if self.monitor is not None and done.order.kind == self.kind:
            self.monitor.settle(written=done.snapshot is not None)
            self.point_at_best(run)
        saver.tell(run, done, ending=ending)

    def point_at_best(self, run: Run) -> None:
        """Set ``run.best_checkpoint``, where several instances look for the best the first of them."""
        first = next(each.plugin for each in cast("Iterable[Any]", run.plugins) if has_monitor(each.plugin))
        best = self.monitor.ranking.best if self.monitor is not None else None
        if first is self and self.saver is not None and best is not None and best.name in self.saver.kept:
            run.best_checkpoint = self.saver.directory / best.name

    def state_dict(self) -> dict[str, Any]:
        """Return when a save was last due, what was measured, and the best snapshots."""
        monitor = None if self.monitor is None else self.monitor.state_dict()
        return {"due": self.due.state_dict(), "measured": self.measured.state_dict(), "monitor": monitor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.due.load_state_dict(state["due"])
        self.measured.load_state_dict(state["measured"])
        if self.monitor is not None and state["monitor"] is not None:
            self.monitor.load_state_dict(state["monitor"])


def has_monitor(plugin: object) -> bool:
    """Return whether *plugin* looks for the best snapshots."""
    return isinstance(plugin, Checkpoint) and plugin.monitor is not None
