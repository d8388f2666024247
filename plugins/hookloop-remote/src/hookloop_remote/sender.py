"""The thread that delivers rows from queues on disk to a server, in order, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hookloop_remote.answer import Answer
from hookloop_remote.backoff import Backoff, judge, retry_after
from hookloop_remote.rows import Wire, decode
from hookloop_remote.spool import Spool

log = logging.getLogger("hookloop.remote")

# The interpreter runs one thread at a time: what this one takes, training lacks. So it rests so many times longer than
# it worked, and what it cannot do meanwhile it does at the end.
REST = 99
SILENT_SECONDS = 1.0  # how long the end of a run waits for a server that does not answer
DRAINING_WAIT_SECONDS = 0.5
LOOK_SECONDS = 0.2  # how often to look for rows: to be woken would cost the training thread more than the row
JOIN_SECONDS = 2.0


class Posts(Protocol):
    """What posts one row and can be told to stop from another thread."""

    def post(self, body: bytes, more_headers: dict[str, str], /) -> Answer:
        """Return the answer. Raises OSError when there is none."""

    def close(self) -> None:
        """Close the connection."""

    def abort(self) -> None:
        """End the try at hand."""


@dataclass
class Tally:
    """What became of the rows."""

    delivered: int = 0
    refused: int = 0
    damaged: int = 0
    tries: int = 0
    last_error: str = ""


class Sender:
    """Delivers the rows of *spools*, one spool after the other; to the last one rows may be appended meanwhile.

    It ends, and closes the spools, once it was told to stop and either nothing is left or its time is over.
    """

    def __init__(
        self,
        poster: Posts,
        wire: Wire,
        spools: Sequence[Spool],
        backoff: Backoff,
        *,
        drain_seconds: float,
        silent_seconds: float = SILENT_SECONDS,
        name: str,
    ) -> None:
        self.tally = Tally()
        self.drain_seconds = drain_seconds
        self.silent_seconds = min(drain_seconds, silent_seconds)
        self._poster = poster
        self._wire = wire
        self._spools = list(spools)
        self._backoff = backoff
        self._name = name
        self._draining = threading.Event()
        self._over = threading.Event()
        self._answers = False  # whether the server answered the newest try, in whatever way
        # What it did with the row before it is likely to do with this one, so that no row waits for all tries again.
        self._breaks_off = self._refuses = False
        self._told = False
        # A daemon: should the system never come back from looking up a name, the process can still end.
        self._thread = threading.Thread(target=self._run, name=f"hookloop-{name}", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for what is left to be delivered, as long as that is of use, and end the thread.

        A server that answers is given ``drain_seconds``, one that does not ``silent_seconds``.
        """
        began = time.monotonic()
        self._draining.set()
        try:
            while self._thread.is_alive():
                patience = self.drain_seconds if self._answers else self.silent_seconds
                if time.monotonic() - began >= patience:
                    break
                self._thread.join(0.02)
        finally:
            self._over.set()
            if self._thread.is_alive():
                self._poster.abort()
                self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        try:
            for spool in self._spools:
                self._deliver_all(spool, waits=spool is self._spools[-1])
        except Exception as error:
            log.exception("%s: rows are not delivered any more by this process: %s", self._name, error)
        finally:
            self._poster.close()
            for spool in self._spools:
                spool.close()

    def _deliver_all(self, spool: Spool, *, waits: bool) -> None:
        while not self._over.is_set():
            ending = self._draining.is_set()
            line = spool.next()
            if line is None:
                if ending or not waits:
                    return
                self._draining.wait(LOOK_SECONDS)
                continue
            worked = time.thread_time()
            self._deliver(spool, line)
            self._draining.wait((time.thread_time() - worked) * REST)

    def _deliver(self, spool: Spool, line: bytes) -> None:
        """Try to deliver a row until it is taken or refused, or the time is over."""
        row = decode(line)
        if row is None:
            self.tally.damaged += 1
            spool.acknowledge()
            return
        body, headers = self._wire.request(line, row)
        failures = 0
        while not self._over.is_set():
            answer = self._try(body, headers)
            if answer is not None and self._settled(spool, answer, failures):
                return
            failures += 1
            if failures == self._backoff.retries + 1:
                self._tell_of_absence(spool)
            asked = 0.0 if answer is None else retry_after(answer.headers)
            self._wait(max(self._backoff.seconds(failures), asked))

    def _try(self, body: bytes, headers: dict[str, str]) -> Answer | None:
        self.tally.tries += 1
        try:
            answer = self._poster.post(body, headers)
        except (OSError, ValueError) as error:  # a ValueError: of a name that IDNA refuses
            self._answers = False
            if not self._over.is_set():
                self.tally.last_error = words(error)
            return None
        self._answers = True
        verdict = judge(answer)
        if verdict != "taken":
            self.tally.last_error = "the answer broke off" if verdict == "broken" else f"it answers {answer.status}"
        return answer

    def _settled(self, spool: Spool, answer: Answer, failures: int) -> bool:
        """Take the row out of the queue if *answer* decides about it."""
        verdict = judge(answer)
        tried_enough = failures >= self._backoff.retries
        if verdict == "taken":
            self._breaks_off = self._refuses = False
        elif verdict == "broken" and (tried_enough or self._breaks_off):
            # It said yes each time; the rows behind must not wait for ever for it to say so in full.
            self._breaks_off = True
        elif verdict == "refused" and (tried_enough or self._refuses):
            self._refuse(spool, answer.status)
            return True
        else:
            return False
        self.tally.delivered += 1
        self._told = False
        spool.acknowledge()
        return True

    def _refuse(self, spool: Spool, status: int) -> None:
        self.tally.refused += 1
        kept = spool.set_aside()
        if not self._refuses:
            what = "It is kept, and offered again by the next run" if kept else "It is dropped"
            log.warning("%s: the server refuses a row (%s). %s; so is what it refuses next.", self._name, status, what)
        self._refuses = True

    def _tell_of_absence(self, spool: Spool) -> None:
        if not self._told:
            log.warning(
                "%s: the server takes no rows: %s. They are kept in %s, and sent once it does.",
                self._name,
                self.tally.last_error,
                spool.directory,
            )
        self._told = True

    def _wait(self, seconds: float) -> None:
        """Wait; no longer than until the run ends, and from then on briefly."""
        if self._draining.is_set():
            self._over.wait(min(seconds, DRAINING_WAIT_SECONDS))
        else:
            self._draining.wait(seconds)


def words(error: Exception) -> str:
    """Return what *error* says, without what it may have from the configuration or from the server."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason)
