"""Stands in for ``sys.stdout`` and ``sys.stderr`` while bars are drawn: what others print appears above the bars."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TextIO


class Above:
    """Hands whole lines to *show*, and everything to the stream itself once `release` was called.

    A forked process, such as a worker of a loader, shares the terminal but not the display: it writes past it, and
    takes none of its locks, which may have been held when it was forked.
    """

    def __init__(self, stream: TextIO, show: Callable[[str], None]) -> None:
        self._stream = stream
        self._show: Callable[[str], None] | None = show
        self._process = os.getpid()
        self._begun = ""
        self._redrawn = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Show the lines that *text* completes, and keep the one that it begins."""
        if self._show is None or os.getpid() != self._process:
            return self._stream.write(text)
        lines, newline, begun = (self._begun + text).rpartition("\n")
        # A bar of somebody else's redraws itself in one line; only what it says last is kept.
        _, returned, self._begun = begun.rpartition("\r")
        self._redrawn = bool(returned) or (self._redrawn and not newline)
        if newline:
            self._show(lines)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Show also a line that is only begun, such as a prompt, unless it is one that redraws itself."""
        if self._show is not None and self._begun and not self._redrawn and os.getpid() == self._process:
            begun, self._begun = self._begun, ""
            self._show(begun)
        self._stream.flush()

    def release(self) -> None:
        """Write to the stream itself from now on, for whoever still holds this; a begun line goes there first."""
        self._show = None
        if self._begun:
            self._stream.write(self._begun + "\n")
            self._begun = ""
