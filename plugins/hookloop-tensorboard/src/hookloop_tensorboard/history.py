"""What earlier processes of a run have left in the directory, and going back in it to the step of a resume.

An event file is only ever appended to, so the state of a run is the size of each. Going back cuts off what came later.
Reading a file anew and leaving out what is newer would do the same but once: its sizes would no longer be those that
older checkpoints know.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from hookloop_tensorboard.records import read_records

PREFIX = "events.out.tfevents."
SUFFIX = ".hookloop"  # whatever else lies in the directory is left alone
ABOUT = f"{PREFIX}0000000000{SUFFIX}-about"  # sorts before all others: TensorBoard keeps what it reads first


def event_files(directory: Path) -> list[Path]:
    """Return the files with points, as old as they are."""
    return sorted(directory.glob(f"{PREFIX}*{SUFFIX}"))


def sizes_of(directory: Path) -> dict[str, int]:
    """Return the size of each file with points."""
    return {path.name: path.stat().st_size for path in event_files(directory)}


def go_back(directory: Path, sizes: Mapping[str, int]) -> None:
    """Make the files those that had *sizes*: a file that grew is cut off, and one that is not among them removed."""
    for path in event_files(directory):
        size = sizes.get(path.name, 0)
        if size == 0:
            path.unlink()
        elif size < path.stat().st_size:
            os.truncate(path, size)


def sizes_at(directory: Path, step: int) -> tuple[dict[str, int], int]:
    """Return the sizes that the files had after *step*, as far as they tell, and the newest step in these, or -1."""
    sizes: dict[str, int] = {}
    newest = -1
    for path in event_files(directory):
        size, last = size_at(path, step)
        sizes[path.name] = size
        newest = max(newest, last)
    return sizes, newest


def size_at(path: Path, step: int) -> tuple[int, int]:
    """Return where the points newer than *step* begin in a file, and the step of the last before them, or -1."""
    from hookloop_tensorboard.protos import Event

    size, last = 0, -1
    for end, data in read_records(path):
        event = Event.FromString(data)
        if event.HasField("summary"):
            if event.step > step:
                break
            last = event.step
        size = end
    return size, last


def next_path(directory: Path) -> Path:
    """Return the path of a new file, which TensorBoard reads after all others, whatever the clock says."""
    newest = max((second_of(path) for path in event_files(directory)), default=0)
    second = max(int(time.time()), newest + 1)
    return directory / f"{PREFIX}{second:010d}.{socket.gethostname()}.{os.getpid()}{SUFFIX}"


def second_of(path: Path) -> int:
    """Return the time in the name of an event file."""
    number = path.name.removeprefix(PREFIX).partition(".")[0]
    return int(number) if number.isdecimal() else 0
