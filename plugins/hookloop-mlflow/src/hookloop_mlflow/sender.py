"""What is sent and in which order: the run of MLflow, its points, what waits in the spool, its end."""

from __future__ import annotations

import json
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hookloop_mlflow import ledger
from hookloop_mlflow.addresses import without_password
from hookloop_mlflow.library import lasts
from hookloop_mlflow.points import Known, Point, points_of
from hookloop_mlflow.spool import Item, Spool, content_of
from hookloop_mlflow.store import MOST_POINTS, Store, flat

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

log = logging.getLogger("hookloop.mlflow")


@dataclass(frozen=True)
class Job:
    """What a run is called and described by in MLflow."""

    ledger: Path
    name: str
    settings: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Beginning:
    """Where a command begins: ``rows`` grows while it runs. Only a fit has a history, and passes steps again."""

    rows: Sequence[Mapping[str, float]]
    step: int
    fitting: bool


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    status: str
    tags: Mapping[str, str]


class Sender:
    """Does one thing after the other, each with a call or a few; what failed is done again by calling again."""

    def __init__(self, store: Store, job: Job, spool: Spool) -> None:
        self.store = store
        self.job = job
        self.spool = spool
        self.beginning: Beginning | None = None
        self.ending: Ending | None = None
        self.ended = False
        self.run_id: str | None = None
        self.previous: str | None = None
        self.made = False
        self.known = Known()
        self.images: set[tuple[str, int]] = set()
        self.row = 0
        self.points: deque[Point] = deque()

    @property
    def place(self) -> tuple[str, str]:
        """The tracking store and the experiment, without secrets."""
        return without_password(self.store.uri), self.store.experiment

    def advance(self) -> bool:
        """Do the next thing; return whether there was anything to do."""
        if self.beginning is None or self.ended:
            return False
        if self.run_id is None:
            self.run_id = self.find_run(self.beginning)
        elif self.fill(self.beginning):
            self.send_points(self.run_id)
        elif (waiting := next(self.spool.waiting(), None)) is not None:
            self.send_item(self.run_id, *waiting)
        elif self.ending is not None:
            self.end(self.run_id, self.ending, ends=self.beginning.fitting or self.made)
        else:
            return False
        return True

    def fill(self, beginning: Beginning) -> bool:
        """Take as many new rows as one call can send; return whether there are points to send."""
        while self.row < len(beginning.rows) and len(self.points) < MOST_POINTS:
            self.points.extend(point for point in points_of(beginning.rows[self.row]) if self.known.lacks(point))
            self.row += 1
        return bool(self.points)

    def rows_left(self) -> int:
        """Return how many rows have points that were not sent."""
        rows = 0 if self.beginning is None else len(self.beginning.rows) - self.row
        return rows + len({point.timestamp_ms for point in self.points})

    def send_points(self, run_id: str) -> None:
        """Send the oldest points."""
        some = [self.points[index] for index in range(min(len(self.points), MOST_POINTS))]
        self.store.log_points(run_id, some)
        for _ in some:
            self.points.popleft()

    def send_item(self, run_id: str, folder: Path, item: Item) -> None:
        """Send what waits in *folder*; what MLflow will never take is left out, and told."""
        try:
            if item.kind == "artifact":
                self.store.log_file(run_id, content_of(folder, item), item.to)
            elif (place := (flat(item.to), item.step)) not in self.images:
                self.store.log_image(run_id, pixels_in(content_of(folder, item)), item.to, item.step, item.timestamp_ms)
                self.images.add(place)
        except Exception as error:
            if not lasts(error):
                raise
            log.warning("%s of step %d was not logged: %s", item.to, item.step, without_password(str(error)))
        self.spool.remove(folder)

    def find_run(self, beginning: Beginning) -> str:
        """Return the run of MLflow to go on with, or make one."""
        entry = ledger.read(self.job.ledger)
        if entry and (entry.tracking_uri, entry.experiment) != (
            without_password(self.store.uri),
            self.store.experiment,
        ):
            entry = None
        if entry is not None and entry.run_id is not None:
            self.store.open()
            found = self.store.find_run(entry.run_id)
            if found is None:
                log.warning("run %s of MLflow was deleted: a new one takes its place", entry.run_id)
            elif self.goes_on(found, entry, beginning):
                return entry.run_id
            entry = None
        return self.make_run(entry)

    def goes_on(self, found: MlflowRun, entry: ledger.Entry, beginning: Beginning) -> bool:
        """Go on with *found*, and return True; False if its points are of another training from some step on."""
        run_id = found.info.run_id
        if not beginning.fitting:
            return True
        known = Known(self.store.points(found))
        if known.last_step > beginning.step and entry.settings != self.job.settings:
            self.store.set_tags(run_id, {"hookloop.outcome": "replaced"})
            self.store.set_status(run_id, "KILLED")
            self.previous = run_id
            log.warning(
                "the run goes on from step %d with another configuration, and MLflow has points up to step %d: "
                "it goes on as a new run there, beside %s",
                *(beginning.step, known.last_step, run_id),
            )
            return False
        self.images = self.store.images(run_id)
        self.describe(found)
        self.store.set_status(run_id, "RUNNING")
        ledger.write(self.job.ledger, replace(entry, settings=self.job.settings))
        self.known = known
        return True

    def describe(self, found: MlflowRun) -> None:
        """Log what is new about a run; a parameter cannot be changed, so one that has is told in a tag."""
        run_id, before = found.info.run_id, found.data.params
        wanted = self.job.parameters
        self.store.log_parameters(run_id, {key: wanted[key] for key in wanted if key not in before})
        changed = {key: wanted[key] for key in wanted if before.get(key, wanted[key]) != wanted[key]}
        tags = {"hookloop.changed": json.dumps(changed, ensure_ascii=False)} if changed else {}
        self.store.set_tags(run_id, {**self.job.tags, **tags})

    def make_run(self, entry: ledger.Entry | None) -> str:
        """Make a run, or find the one that *entry* was written for, and note it."""
        entry = entry or ledger.Entry(*self.place, key=uuid.uuid4().hex, settings=self.job.settings)
        ledger.write(self.job.ledger, entry)
        tags = {**self.job.tags, **({"hookloop.replaces": self.previous} if self.previous else {})}
        made = self.store.create_run(entry.key, self.job.name, tags)
        self.describe(made)
        run_id: str = made.info.run_id
        ledger.write(self.job.ledger, replace(entry, run_id=run_id))
        self.made = True
        return run_id

    def end(self, run_id: str, ending: Ending, *, ends: bool) -> None:
        """End the run, unless it is one of a fit that an evaluation has added to."""
        if ends:
            self.store.set_tags(run_id, ending.tags)
            self.store.set_status(run_id, ending.status)
        self.ended = True


def pixels_in(path: Path) -> object:
    """Return the array in *path*."""
    import numpy as np

    return np.load(path, allow_pickle=False)
