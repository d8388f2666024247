"""What the training thread has of it all: a queue to append to, behind which a thread delivers."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop.loggers import encode_row
from hookloop_remote.options import make_backoff, make_poster, make_wire
from hookloop_remote.queues import open_queues
from hookloop_remote.rows import Logged, Place, decode, digest, place_of, run_id
from hookloop_remote.sender import Sender, Tally
from hookloop_remote.spool import Spool

if TYPE_CHECKING:
    from hookloop_remote.plugin import Remote

log = logging.getLogger("hookloop.remote")


class Outbox:
    """Takes rows, never waits, and never fails: a row that cannot be kept is counted, and said once.

    *name* is the run's, *instance* the plugin's, in messages too; *url* is what may be shown of the URL.
    """

    def __init__(self, directory: Path, config: Remote.Config, *, name: str, instance: str, url: str) -> None:
        self.directory = directory
        self.config = config
        self.name = name
        self.instance = instance
        self.url = url
        self.dropped = 0
        self.skipped = 0
        self.run = ""
        # Another evaluation of the same step is another result, so its rows are others.
        self.evaluation = uuid.uuid4().hex[:8]
        self.sender: Sender | None = None
        self._spools: list[Spool] = []
        self._known: dict[str, bytes] = {}
        self._said = False

    def open(self, *, anew: bool, resumed_at: Place | None) -> None:
        """Take the queues, and begin to deliver what is left in them.

        *anew* says that a run begins, whose rows get an id of their own. A run that goes on after *resumed_at* makes
        the later rows again: of these, those that wait are taken out, and those that were delivered are remembered.
        """
        poster, wire, backoff = make_poster(self.config), make_wire(self.config), make_backoff(self.config)
        try:
            self.run = run_id(self.directory, anew=anew)
            self._spools = open_queues(self.directory, self.config.spool_limit_bytes)
            if resumed_at is not None and not anew:
                for spool in self._spools:
                    self._rewind(spool, resumed_at)
        except OSError as error:
            for spool in self._spools:
                spool.close()
            self._spools = []
            self._lament(f"the queue in {self.directory} cannot be used: {error}. No row is sent")
            return
        drain_seconds = self.config.drain_seconds
        self.sender = Sender(poster, wire, self._spools, backoff, drain_seconds=drain_seconds, name=self.instance)
        self.sender.start()

    def _rewind(self, spool: Spool, place: Place) -> None:
        for line in spool.delivered():
            row = self._later_row(line, place)
            if row is not None:
                self._known[row["id"]] = digest(row["metrics"])

        def comes_again(line: bytes) -> bool:
            row = self._later_row(line, place)
            if row is not None:
                # One that was refused, and so waits again, counts as delivered above.
                self._known.pop(row["id"], None)
            return row is not None

        spool.drop(comes_again)

    def _later_row(self, line: bytes, place: Place) -> dict[str, Any] | None:
        """Return the row of *line* if it is of this run's training and after *place*."""
        row = decode(line)
        where = None if row is None else place_of(row, self.run)
        return row if where is not None and where > place else None

    def put(self, stage: str, *rows: Logged) -> None:
        """Take *rows*: when this returns, they are on disk, or counted as dropped."""
        if self.sender is None:
            self.dropped += len(rows)
            return
        lines = self._lines(stage, rows)
        kept = self._keep(lines)
        self.dropped += len(lines) - kept

    def _lines(self, stage: str, rows: Sequence[Logged]) -> list[bytes]:
        """Return the line of each row, but of those where the very same was delivered before a resume.

        The id of a row that is of a step which is trained again after a resume is the same.
        """
        lines = []
        begin = f"{self.run}:{stage}" if stage == "train" else f"{self.run}:{stage}-{self.evaluation}"
        for (step, epoch, nth), metrics, seconds in rows:
            identity = f"{begin}:{step}:{epoch}:{nth}"
            if self._known and self._known.pop(identity, None) == digest(metrics):
                self.skipped += 1
                continue
            row = {
                "id": identity,
                "run": self.run,
                "name": self.name,
                "stage": stage,
                "step": step,
                "epoch": epoch,
                "time": seconds,
                "dropped": self.dropped,
                "metrics": metrics,
            }
            lines.append(encode_row(row))
        return lines

    def _keep(self, lines: Sequence[bytes]) -> int:
        """Put *lines* into the queue and return how many of them, the first ones, are in it."""
        try:
            kept = self._spools[-1].append(*lines)
        except OSError as error:
            if len(lines) > 1:  # where there is room for some
                return sum(takewhile(bool, (self._keep([each]) for each in lines)))
            self._lament(f"rows cannot be kept in {self.directory}: {error}. They are dropped")
            return 0
        if kept < len(lines):
            self._lament("the queue is full ('spool_limit_bytes'): rows are dropped until there is room")
        return kept

    def close(self) -> None:
        """Deliver what is left, as long as that is of use, and say what became of the rows."""
        sender, self.sender = self.sender, None
        try:
            if sender is not None:
                sender.stop()
        finally:
            self._sum_up(Tally() if sender is None else sender.tally)
            if sender is not None and sender.ended:
                for spool in self._spools:
                    spool.close()
            self._spools = []

    def _sum_up(self, tally: Tally) -> None:
        waiting = sum(spool.pending_rows for spool in self._spools)
        parts = [f"{tally.delivered} rows delivered to {self.url}"]
        if waiting:
            why = f" ({tally.last_error})" if tally.last_error else ""
            command = f"hookloop remote send {self.directory.parents[1]}"
            parts.append(f"{waiting} kept{why} for the next run of this directory, or: {command}")
        if tally.refused:
            parts.append(f"{tally.refused} refused, to be offered again by the next run")
        if tally.damaged:
            parts.append(f"{tally.damaged} unreadable")
        if self.dropped:
            parts.append(f"{self.dropped} dropped")
        lost = waiting or tally.refused or tally.damaged or self.dropped
        log.log(logging.WARNING if lost else logging.INFO, "%s: %s", self.instance, "; ".join(parts))

    def _lament(self, message: str) -> None:
        if not self._said:
            log.warning("%s: %s.", self.instance, message)
        self._said = True
