"""Hands rows over together when they come fast, as what is done many times in a row takes a fraction of the time.

What lies between two steps of training finds the processor's caches full of tensors. A row that is put into words there
takes some ten times as long as one of a hundred that are put into words one after the other.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from threading import Event, RLock, Thread
from time import monotonic
from typing import Any

__all__ = ["Bursts"]


class Bursts:
    """Gives rows to *write*, which takes a list of them: at once, or together with those that come soon after.

    A row that comes *wait_seconds* after the last writing, or later, is written before `add` returns. One that comes
    sooner is written when *wait_seconds* are over, by the row that comes then or, when none does, a quarter of that
    time later by a daemon thread, which exists only where rows come so fast. Where *write* raises, the rows that it
    leaves in its list are kept, and given again with the next.
    """

    def __init__(self, write: Callable[[list[Any]], None], *, wait_seconds: float = 0.1) -> None:
        self.write = write
        self.wait_seconds = wait_seconds
        self._rows: deque[Any] = deque()
        self._due = 0.0
        self._writing = RLock()  # as what is told of rows may flush
        self._thread: Thread | None = None
        self._watched = False
        self._kept_back, self._closed = Event(), Event()

    def add(self, row: Any) -> None:
        """Take *row*; raises what *write* raises."""
        self._rows.append(row)
        if monotonic() >= self._due:
            self.flush()
        elif not self._watched:
            self._watch()

    def flush(self) -> None:
        """Write the rows that wait, in this thread; raises what *write* raises."""
        with self._writing:
            self._watched = False
            self._due = monotonic() + self.wait_seconds
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            try:
                if rows:
                    self.write(rows)
            except BaseException:
                self._rows.extendleft(reversed(rows))
                raise

    def close(self) -> None:
        """End the thread, if there is one; call `flush` before."""
        self._closed.set()
        self._kept_back.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        """See to it that the rows that wait are written in time."""
        self._watched = True
        self._kept_back.set()
        if self._thread is None and not self._closed.is_set():
            thread = Thread(target=self._look_after, name="hookloop-bursts", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the machine has no room for another: then no row waits
                self.wait_seconds = 0.0
                self.flush()
            else:
                self._thread = thread

    def _look_after(self) -> None:
        while self._kept_back.wait() and not self._closed.is_set():
            self._kept_back.clear()
            self._closed.wait(max(0.0, self._due + self.wait_seconds / 4 - monotonic()))
            if self._rows and monotonic() >= self._due:
                # Whatever it raises, it raises once more for the thread that adds the next row, or closes.
                with contextlib.suppress(Exception):
                    self.flush()
