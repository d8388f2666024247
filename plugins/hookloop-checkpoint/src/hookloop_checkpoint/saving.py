"""Saves for one plugin instance in one fit: what `checkpoint` and `backup` have in common."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hookloop import ConfigError, SnapshotError, snapshots
from hookloop_checkpoint.failures import Failures, OnFailure
from hookloop_checkpoint.jobs import Done, Order, Writer
from hookloop_checkpoint.naming import unused_name
from hookloop_checkpoint.retention import Kept, surplus

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.checkpoint")

FOLDER = "checkpoints"
OF_WEIGHTS = ("format", "counters", "model", "metrics", "fingerprint")  # all of a state that a snapshot of weights has

Position = tuple[int, int, int]


def instance_of(plugin: object, run: Run) -> str:
    """Return the name of the instance that *plugin* is, which is also that of its directory.

    Raises ConfigError for one that no directory, or only a hidden one, can have.
    """
    name: str = next(each.instance for each in cast("Iterable[Any]", run.plugins) if each.plugin is plugin)
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ConfigError(
            f"[plugins.'{name}'] saves into a directory of that name, which can only have letters, digits, '_', '-', "
            "'+' and '.': choose another, and say what it is with 'use'."
        )
    return name


def position_of(run: Run) -> Position:
    """Return where *run* stands."""
    return run.epoch, run.step, run.batch_index


class Saver:
    """Writes the snapshots of *instance* one at a time, and removes those of its own that need not be kept.

    ``kept`` are the durable ones by name; ``position`` is where the run stood when the last was taken, None where it
    was not written after all. Only rank 0 writes; the others take part where the state is put together. A model that is
    shared out among the ranks is written by all of them, in ``group``, which nobody else uses.
    """

    def __init__(
        self, run: Run, instance: str, *, keep_last: int | None, asynchronous: bool, on_failure: OnFailure
    ) -> None:
        self.instance = instance
        self.directory = run.directory / FOLDER / instance
        self.keep_last = keep_last
        self.writer = Writer(asynchronous=asynchronous, name=instance)
        self.failures = Failures(instance, on_failure)
        self.kept: dict[str, Kept] = {}
        self.position: Position | None = None
        self.group: Any = None
        self._alone = run.world_size == 1

    def open(self, run: Run) -> list[snapshots.Snapshot]:
        """Clean up after processes that were killed, and return the snapshots of this instance, the newest first.

        A run that begins anew does not count those of the run whose place it takes, which are put aside.
        """
        # Made here, by all ranks in the same order: a thread that made one later could meet one that a plugin makes.
        self.group = snapshots.writing_group(run)
        if is_inside(run.resumed_from, self.directory):
            self.position = position_of(run)
        if run.rank != 0 or not self.directory.is_dir():
            return []
        snapshots.clean(self.directory)
        found = self.find(run)
        if found and run.attempt == 0 and run.step == 0:
            for each in found:
                snapshots.put_aside(each.path, "aside")
            log.warning(
                "%s: %d snapshots of an earlier run were put aside in %s", self.instance, len(found), self.directory
            )
            return []
        self.kept = {each.path.name: Kept.of(each) for each in found}
        return found

    def find(self, run: Run) -> list[snapshots.Snapshot]:
        """Return the snapshots of this instance that are on disk, the newest first."""
        return [
            each
            for each in snapshots.find(run.directory)
            if each.path.parent == self.directory and each.instance == self.instance
        ]

    def is_taken(self, name: str, step: int) -> bool:
        """Return whether *name* is that of a snapshot of another step, or of something that is none of ours."""
        kept = self.kept.get(name)
        return (self.directory / name).exists() if kept is None else kept.step != step

    def save(
        self, run: Run, name: str, kind: snapshots.Kind, metrics: Mapping[str, float], protected: Container[str] = ()
    ) -> None:
        """Give the order to save the state of now. All ranks have to call it; the last order must have been collected.

        *protected* are names that are not to be removed. What `snapshots.take` raises comes out.
        """
        state = snapshots.take(run)
        self.position = position_of(run)
        if run.rank == 0 or self.group is not None:
            self.order(run, name, kind, state, metrics, protected)

    def agreed(self, run: Run, answer: bool) -> bool:
        """Return what rank 0 answers where all ranks write together: what was measured may differ between them."""
        return answer if self.group is None else snapshots.as_first_says(run, answer)

    def save_failure(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Give the order to save what there is in the middle of a step that failed.

        Where there are several processes the others may be anywhere, so only what this one has is saved then: nothing
        of the others' random numbers and positions in the data.
        """
        if self.group is not None:
            raise SnapshotError("the model is shared out among processes, and the others may be anywhere")
        if run.rank != 0:
            return
        state = snapshots.take(run) if self._alone else own_state(run)
        name = unused_name(f"exception-step-{run.step:08}", run.step, lambda each: self.is_taken(each, -1))
        self.order(run, name, "exception", state, metrics, frozenset(self.kept))

    def order(
        self,
        run: Run,
        name: str,
        kind: snapshots.Kind,
        state: Mapping[str, Any],
        metrics: Mapping[str, float],
        protected: Container[str] = (),
    ) -> None:
        """Give the order to write *state*, which training may go on to change: in a thread, a copy is written."""
        if kind == "weights":
            state = {key: state[key] for key in OF_WEIGHTS if key in state}
        if self.writer.asynchronous:
            state = snapshots.copy_state(dict(state))
        newest = Kept(run.attempt, run.step, run.epoch, "", name, kind)
        after = {**self.kept, name: newest}
        superfluous = [each for each in surplus(after.values(), self.keep_last, protected) if each != name]
        if run.rank != 0:
            superfluous = []
        self.writer.give(
            Order(
                self.directory,
                name,
                state,
                kind,
                self.instance,
                step=run.step,
                attempt=run.attempt,
                metrics=dict(metrics),
                superfluous=tuple(superfluous),
                group=self.group,
            )
        )

    def collect(self, *, wait: bool) -> Done | None:
        """Return what came of the last order, once, if it is done by now, or else after it is if *wait*."""
        done = self.writer.take(wait=wait)
        if done is None:
            return None
        if done.snapshot is None:
            # Several ranks have to agree on when to save, and the others do not know of this.
            self.position = None if self._alone else self.position
            return done
        for name in done.removed:
            self.kept.pop(name, None)
        self.kept[done.order.name] = Kept.of(done.snapshot)
        return done

    def close(self) -> None:
        """Wait for what is still being written, and repeat at the end what went wrong on the way."""
        self.writer.take(wait=True)
        self.failures.summarize()

    def tell(self, run: Run, done: Done, *, ending: bool = False) -> None:
        """Tell the plugins of a snapshot that is durable, or do what the policy says about one that is not."""
        if done.snapshot is not None and run.rank == 0:
            snapshots.saved(run, done.snapshot.path)
        self.failures.judge(run, done, ending=ending)


def is_inside(path: Path | None, directory: Path) -> bool:
    """Return whether *path* lies somewhere below *directory*."""
    return path is not None and path.resolve().is_relative_to(directory.resolve())


def own_state(run: Run) -> dict[str, Any]:
    """Return what this process can tell of the state without asking another."""
    run.flush_rows()
    return {
        "counters": run.counters(),
        "model": run.model.state_dict(),
        "optimizers": [each.state_dict() for each in run.optimizers],
        "plugins": run.plugins.state_dict(),
        "metrics": dict(run.metrics),
    }
