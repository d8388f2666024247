"""Plain log lines, for everything that is no terminal: files, pipes, batch systems, notebooks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TextIO

from hookloop_progress import text
from hookloop_progress.view import View

log = logging.getLogger("hookloop.progress")

# Every epoch ends with a line, until there have been so many of them that a run of tiny epochs would flood the log;
# from then on, only if the last line is as old as this.
EPOCH_LINES = 50
EPOCH_LINE_SECONDS = 1.0


class Lines:
    """Writes a line every *interval_seconds* and at the end of each epoch.

    ``due`` is when the next line is, by the run's clock: all that a caller looks at between two lines.
    """

    def __init__(self, look: Callable[[], View], stream: TextIO, interval_seconds: float, now: float) -> None:
        self.due = now + interval_seconds
        self._look = look
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._epoch_lines = 0
        self._broken = False

    def open(self) -> None:
        """Do nothing: the first line comes when there is something to say."""

    def draw(self, now: float) -> None:
        """Write a line."""
        self.due = now + self._interval_seconds
        self.write(text.line(self._look()))

    def end_epoch(self, now: float) -> None:
        """Write the line at the end of an epoch."""
        since = now - (self.due - self._interval_seconds)
        if self._epoch_lines < EPOCH_LINES or since >= EPOCH_LINE_SECONDS:
            self._epoch_lines += 1
            self.draw(now)

    def close(self) -> None:
        """Write the last line."""
        self.write(text.summary(self._look()))

    def write(self, words: str) -> None:
        """Write one line. A stream that takes none any more, such as a closed pipe, ends the display, not the run."""
        if self._broken:
            return
        try:
            self._stream.write(words + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._broken = True
            log.warning("no more progress lines are written: %s", error)
