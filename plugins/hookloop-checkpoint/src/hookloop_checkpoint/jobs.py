"""Carries out one order at a time: write a snapshot, and once it is durable, remove those that it makes superfluous.

An order is frozen when it is given. Whatever training does meanwhile, what is written is that step, under that name.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookloop import SnapshotError, snapshots

log = logging.getLogger("hookloop.checkpoint")


@dataclass(frozen=True)
class Order:
    """What to write, under which name, and what to remove afterwards.

    Where several processes write together they do so in ``group``, which nobody else uses.
    """

    directory: Path
    name: str
    state: Mapping[str, Any] = field(repr=False)
    kind: snapshots.Kind
    instance: str
    step: int
    attempt: int
    metrics: Mapping[str, float]
    superfluous: tuple[str, ...] = ()
    group: Any = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """Where the snapshot is going to be."""
        return self.directory / self.name


@dataclass(frozen=True)
class Done:
    """What came of an order: the snapshot or the error that prevented it, and what was removed."""

    order: Order
    snapshot: snapshots.Snapshot | None = None
    error: BaseException | None = None
    removed: tuple[str, ...] = ()


def carry_out(order: Order) -> Done:
    """Write, then remove, and return what came of it; nothing is raised, as there may be nobody to catch it here."""
    try:
        snapshot = snapshots.write(
            order.directory,
            order.name,
            order.state,
            kind=order.kind,
            instance=order.instance,
            metrics=order.metrics,
            attempt=order.attempt,
            group=order.group,
        )
    except BaseException as error:
        return Done(order, error=error)
    return Done(order, snapshot, removed=tuple(name for name in order.superfluous if removed(order.directory / name)))


def removed(path: Path) -> bool:
    """Remove the snapshot at *path* and return whether it is gone; one that stays is tried again after the next."""
    try:
        snapshots.remove(path)
    except FileNotFoundError:
        return True
    except (OSError, SnapshotError) as error:
        log.warning("the old snapshot %s cannot be removed, and is tried again later: %s", path, error)
        return False
    return True


class Writer:
    """Carries out orders, at once or in a thread of its own: at most one at a time.

    The thread is no daemon: an interpreter that ends waits for it, so a write that has begun is finished.
    """

    def __init__(self, *, asynchronous: bool, name: str) -> None:
        self.asynchronous = asynchronous
        self.name = name
        self._thread: threading.Thread | None = None
        self._done: Done | None = None

    def give(self, order: Order) -> None:
        """Carry out *order*; nothing else may be under way, nor its result still here."""
        if self._thread is not None or self._done is not None:
            raise RuntimeError("take the result of the last order first")
        if not self.asynchronous:
            self._done = carry_out(order)
            return
        self._thread = threading.Thread(target=self._run, args=(order,), name=f"{self.name}-writer", daemon=False)
        self._thread.start()

    def take(self, *, wait: bool) -> Done | None:
        """Return the result of the last order, once; None when there is none, or, unless *wait*, not yet one."""
        if self._thread is not None:
            if not wait and self._thread.is_alive():
                return None
            self._thread.join()
            self._thread = None
        done, self._done = self._done, None
        return done

    @property
    def idle(self) -> bool:
        """Whether there is nothing to take: asked after every step."""
        return self._thread is None and self._done is None

    def _run(self, order: Order) -> None:
        self._done = carry_out(order)
