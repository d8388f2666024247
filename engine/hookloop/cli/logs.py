"""Shows what the engine and the plugins log, on stderr, where it is in nobody's way."""

from __future__ import annotations

import logging
import os
import sys


class Formatter(logging.Formatter):
    """The bare message, after the level when it is a warning or worse, and after the rank when it is not the first."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.start = f"[rank {rank}] " if rank else ""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of *record*."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"{self.start}{level}{record.message}"


def show_logs(*, quiet: bool = False) -> None:
    """Show the ``hookloop`` loggers from INFO up; *quiet*, and on ranks other than 0, from WARNING up."""
    rank = process_rank()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(rank))
    logger = logging.getLogger("hookloop")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if quiet or rank else logging.INFO)
    logger.propagate = False


def process_rank() -> int:
    """Return the number of this process as its launcher numbers them; 0 without one."""
    text = os.environ.get("RANK", "0")
    return int(text) if text.isdecimal() else 0
