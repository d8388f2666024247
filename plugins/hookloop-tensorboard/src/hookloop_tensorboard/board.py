"""What is written of one run: held by steps, handed to a file, and put back to an earlier step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hookloop_tensorboard import events
from hookloop_tensorboard.event_file import EventFile, Make
from hookloop_tensorboard.history import go_back, next_path, sizes_at, sizes_of

log = logging.getLogger("hookloop.tensorboard")


class Board:
    """A directory, and what belongs to the newest step: it is written once nothing can be added to it.

    Its state is the sizes of the files, which have no more than the steps before, and what belongs to the step. After
    an OSError nothing more is written; it is said once and never raised.
    """

    def __init__(self, directory: Path, flush_seconds: float) -> None:
        self.directory = directory
        self.flush_seconds = flush_seconds
        self.file: EventFile | None = None
        self.early: list[Make] = []  # what there was to write before it was known which earlier points stay
        self.step = -1
        self.points: dict[str, float] = {}
        self.points_time = 0.0
        self.held: list[Make] = []
        self.newest_step = -1  # that the files have something of
        self.failed = False

    def begin(self, step: int, saved: Mapping[str, Any] | None) -> None:
        """Go back to *step*, or to the state *saved*, and open a file behind what stays."""
        sizes: Mapping[str, int] = {}
        if saved is not None:
            self.turn_to(saved["step"])
            self.held = [*(partial(bytes, each) for each in saved["held"]), *self.held]
            self.points = {**saved["points"], **self.points}
            self.points_time = saved["points_time"]
            sizes, self.newest_step = saved["sizes"], saved["newest_step"]
        elif step > 0:
            sizes, self.newest_step = sizes_at(self.directory, step)
        go_back(self.directory, sizes)
        # A TensorBoard that has been running all the time knows points that are gone: it is told from which step on.
        self.open(events.first_events(max(step, self.newest_step + 1, 1)))

    def open(self, first: Iterable[bytes]) -> None:
        """Open a file, which begins with *first*."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = EventFile(next_path(self.directory), self.flush_seconds)
        file.open()
        self.file = file
        early, self.early = self.early, []
        for made in first:
            file.write(partial(bytes, made))
        for make in early:
            file.write(make)

    def add_points(self, step: int, points: Mapping[str, float]) -> None:
        """Take *points* of *step*: for a name that comes again, the newest value."""
        self.turn_to(step)
        self.points_time = time.time()
        self.points.update(points)

    def add(self, step: int, make: Callable[..., bytes], name: str, value: Any) -> None:
        """Take *value*, of which *make* makes an event of *step*."""
        self.turn_to(step)
        self.held.append(partial(make, step, time.time(), name, value))

    def turn_to(self, step: int) -> None:
        """Write what belongs to another step; from here on, what comes belongs to *step*."""
        if step != self.step:
            self.write_step()
            self.step = step

    def write_step(self) -> None:
        """Hand what belongs to this step to the file, or keep it until there is one."""
        (points, held), self.points, self.held = (self.points, self.held), {}, []
        if self.failed or not (points or held):
            return
        self.newest_step = max(self.newest_step, self.step)
        if points:
            held.append(partial(events.scalars, self.step, self.points_time, points))
        if self.file is None:
            self.early.extend(held)
            return
        for make in held:
            self.file.write(make)
        self.check_file()

    def close(self) -> None:
        """Write all that is left. An evaluation, which never began, adds a file to those that are there."""
        self.write_step()
        if self.early and self.file is None:
            self.attempt(lambda: self.open(events.first_events(0)[:1]))
        if self.file is not None:
            self.file.close()
            self.check_file()
            self.file = None

    def check_file(self) -> None:
        """Stop writing when the file cannot be written."""
        if self.file is not None and self.file.error is not None:
            self.give_up(self.file.error)

    def attempt(self, do: Callable[[], None]) -> None:
        """Do what needs the disk, unless it has failed."""
        if not self.failed:
            try:
                do()
            except OSError as error:
                self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Say, once, that nothing more is written."""
        if not self.failed:
            self.failed, self.early, self.held, self.points = True, [], [], {}
            log.error("tensorboard: writing to %s failed, and ends here; training goes on: %s", self.directory, error)

    def state_dict(self) -> dict[str, Any]:
        """Return how long the files are, once all is in them that was handed to them, and what was not."""
        if self.file is not None:
            self.file.flush()
            self.check_file()
        made = [make() for make in self.held]
        self.held = [partial(bytes, each) for each in made]
        return {
            "sizes": sizes_of(self.directory),
            "newest_step": self.newest_step,
            "step": self.step,
            "held": made,
            "points": dict(self.points),
            "points_time": self.points_time,
        }
