"""The files that a queue of rows consists of, and how far they were delivered.

A queue that is one file can only grow; of numbered files, those that were delivered are removed.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

POSITION = "position"
_NAME = re.compile(r"(\d{8})\.jsonl")


class Position(NamedTuple):
    """The number of a file and the place in it."""

    number: int
    offset: int


def path_of(directory: Path, number: int) -> Path:
    """Return the path of a file of rows."""
    return directory / f"{number:08}.jsonl"


def numbers_in(directory: Path) -> list[int]:
    """Return the numbers of the files of rows, in order."""
    matches = (_NAME.fullmatch(each.name) for each in directory.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def read_position(directory: Path) -> Position:
    """Return how far the rows were delivered; the beginning when nobody wrote it down."""
    with suppress(OSError, ValueError):
        number, offset = (directory / POSITION).read_text(encoding="ascii").split()
        return Position(int(number), int(offset))
    return Position(0, 0)


def write_position(descriptor: int, position: Position) -> None:
    """Write *position* over the one before; always as many bytes, in one write."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, b"%08d %020d\n" % position)


def open_binary(path: Path, flags: int) -> int:
    """Open *path*, on every system without a translation of line ends. Raises OSError."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o644)


def append_whole(descriptor: int, data: bytes, size: int) -> None:
    """Append *data* to a file of *size* bytes, or nothing. Raises OSError, as for a disk that is full."""
    try:
        written = os.write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    if written != len(data):
        os.ftruncate(descriptor, size)
        raise OSError("the disk took only a part of a row")
