"""The plugin ``backup``: the newest state, to resume a killed run from; gone when the run is complete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from hookloop import Interval, PluginConfig, hookimpl
from hookloop_checkpoint.due import Due
from hookloop_checkpoint.failures import OnFailure
from hookloop_checkpoint.jobs import removed
from hookloop_checkpoint.naming import DEFAULT, Namer
from hookloop_checkpoint.saving import Saver, instance_of

if TYPE_CHECKING:
    from hookloop import Run

KEPT = 2


class Backup:
    """Saves the state of a run, keeps the newest two, and removes them when the run is complete: in no other case."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.backup]``."""

        every: Interval = Interval(300, "second")
        """How often to save: `5 min`, `100 steps`, `1 epoch` or `5000 samples`. When somebody asks for it, as Ctrl-C
        and SIGTERM do, it saves as well."""

        asynchronous: bool = False
        """Copy the state, and write the copy while training goes on. A save that is due before the last is written
        waits for it."""

        on_failure: OnFailure = "warn"
        """What to do when the disk is full or broken, or the directory gone: `warn` and go on, `stop` after this step,
        or `raise`, so that the run fails. The backups before stay in any case."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset("")

    def reset(self, instance: str) -> None:
        """Begin with nothing saved."""
        self.instance = instance
        self.saver: Saver | None = None
        self.due = Due(self.config.every)
        self.namer = Namer(DEFAULT, instance)

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset(instance_of(self, run))

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """See what the directory holds: of a run that is resumed, the backups before."""
        config = self.config
        self.saver = Saver(
            run, self.instance, keep_last=KEPT, asynchronous=config.asynchronous, on_failure=config.on_failure
        )
        self.saver.open(run)

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
        saver = self.saver
        if saver is None:
            return
        if not saver.writer.idle:
            self.settle(run)
        if self.due.at_boundary(run) or run.save_requested:
            self.settle(run, wait=True)
            saver.save(run, self.namer.name(run, {}, saver.is_taken), "resumable", {})
            if not self.config.asynchronous:
                self.settle(run, wait=True)

    @hookimpl(tryfirst=True)
    def on_fit_end(self, run: Run) -> None:
        """Finish what is being written."""
        if self.saver is not None:
            self.settle(run, wait=True, ending=True)

    @hookimpl
    def on_run_end(self, run: Run, outcome: str) -> None:
        """Let go of everything; of what was saved as well when it is not needed any more."""
        saver, self.saver = self.saver, None
        if saver is None:
            return
        saver.close()
        if outcome == "completed" and run.rank == 0:
            remove_all(run, saver)

    def settle(self, run: Run, *, wait: bool = False, ending: bool = False) -> None:
        """Take note of what came of the last save, if it is done by now, or else after it is if *wait*."""
        saver = cast("Saver", self.saver)
        done = saver.collect(wait=wait)
        if done is not None:
            saver.tell(run, done, ending=ending)

    def state_dict(self) -> dict[str, Any]:
        """Return when a save was last due."""
        return {"due": self.due.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.due.load_state_dict(state["due"])


def remove_all(run: Run, saver: Saver) -> None:
    """Remove the backups of this instance, and its directory if there is nothing else in it."""
    for each in saver.find(run):
        removed(each.path)
    if run.last_checkpoint is not None and not run.last_checkpoint.exists():
        run.last_checkpoint = None
    with suppress(OSError):  # something that is not ours is left in it, or in the one around it
        saver.directory.rmdir()
        saver.directory.parent.rmdir()
