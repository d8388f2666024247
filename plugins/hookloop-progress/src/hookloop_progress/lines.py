"""Plain log lines, for everything that is no terminal: files, pipes, batch systems."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TextIO

from hookloop_progress import text
from hookloop_progress.view import View

log = logging.getLogger("hookloop.progress")

# Every epoch ends with a line, until there have been so many of them that a run of tiny epochs would flood the log;
# from then on, only if the last line is as old as this.
EPOCH_LINES = 50
EPOCH_LINE_SECONDS = 1.0

TABLE_COLUMNS = 80  # also where a line may be longer, as in a file


class Lines:
    """Writes a line every *interval_seconds* and at the end of each epoch.

    ``due`` is when the next line is, by the run's clock: all that a caller looks at between two lines. *opening* comes
    first, if there is one, and *closing* last: a function of the width.
    """

    def __init__(
        self,
        look: Callable[[], View],
        stream: TextIO,
        opening: str,
        closing: Callable[[int], str],
        interval_seconds: float,
        now: float,
    ) -> None:
        self.due = now + interval_seconds
        self._look = look
        self._stream = stream
        self._opening = opening
        self._closing = closing
        self._columns = width_of(stream)
        self._interval_seconds = interval_seconds
        self._epoch_lines = 0
        self._broken = False

    def open(self) -> None:
        """Write the first line."""
        self.write(self._opening)

    def draw(self, now: float) -> None:
        """Write a line."""
        self.due = now + self._interval_seconds
        self.write(text.line(self._look(), self._columns))

    def end_epoch(self, now: float) -> None:
        """Write the line at the end of an epoch."""
        since = now - (self.due - self._interval_seconds)
        if self._epoch_lines < EPOCH_LINES or since >= EPOCH_LINE_SECONDS:
            self._epoch_lines += 1
            self.draw(now)

    def close(self) -> None:
        """Write the last line, and what the run came to."""
        self.write(text.summary(self._look(), self._columns))
        closing = self._closing(min(self._columns, TABLE_COLUMNS))
        self.write(closing and f"\n{closing}")

    def write(self, words: str) -> None:
        """Write lines. A stream that takes none any more, such as a closed pipe, ends the display, not the run."""
        if self._broken or not words:
            return
        try:
            self._stream.write(writable(words, self._stream) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._broken = True
            log.warning("no more progress lines are written: %s", error)


def width_of(stream: TextIO) -> int:
    """Return how long a line may be: as wide as a terminal that it is written to, else for whoever reads a file."""
    try:
        return max(40, min(os.get_terminal_size(stream.fileno()).columns, text.LINE_COLUMNS))
    except (OSError, ValueError, AttributeError):
        return text.LINE_COLUMNS


def writable(words: str, stream: TextIO) -> str:
    """Return *words* with question marks for what *stream* cannot encode, such as a metric's name in Greek."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return words.encode(encoding, "replace").decode(encoding)
