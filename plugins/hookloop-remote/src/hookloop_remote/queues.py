"""The queues of an instance: one for each process that uses the run directory at the same time, usually one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from hookloop_remote.spool import Spool, waits_in

MAX_QUEUES = 16


def folder_of(run_directory: Path, instance: str) -> Path:
    """Return the directory of an instance in that of a run."""
    return run_directory.absolute() / "remote" / quote(instance, safe=" ")


def open_queues(directory: Path, limit_bytes: int) -> list[Spool]:
    """Take the first queue that no other process has, and those in which rows were left; the first comes last.

    Raises OSError when none can be taken.
    """
    own: Spool | None = None
    left: list[Spool] = []
    for number in range(MAX_QUEUES):
        place = directory / f"queue-{number}"
        spool = Spool(place, limit_bytes)
        if own is None:
            own = spool if spool.open() else None
        elif not place.is_dir():
            break
        else:
            left += leftover(spool)
    if own is None:
        raise OSError(f"{MAX_QUEUES} processes use it")
    return [*left, own]


def open_leftovers(directory: Path, limit_bytes: int) -> list[Spool]:
    """Take the queues in which rows were left and that no other process has."""
    places = sorted(directory.glob("queue-*"), key=lambda path: (len(path.name), path.name))
    return [spool for place in places for spool in leftover(Spool(place, limit_bytes))]


def leftover(spool: Spool) -> list[Spool]:
    """Return *spool*, open, if rows wait in it and nobody else has it."""
    with suppress(OSError):
        if waits_in(spool.directory) and spool.open():
            return [spool]
    return []


def rows_waiting(directory: Path) -> bool:
    """Return whether rows wait in any queue."""
    return any(waits_in(each) for each in directory.glob("queue-*"))
