"""Reads and cuts the ``.wandb`` files in which wandb keeps a run on this machine.

Such a file is a log in the format of LevelDB, after a header of its own: blocks of 32 KiB, in them chunks with a
checksum, a length and a kind, and in one chunk or several a protobuf ``Record``. What was not written when the process
was killed is missing at the end.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

FILE_HEADER = b":W&B\xe1\xbe\x00"
BLOCK_BYTES = 32768
CHUNK = struct.Struct("<IHB")  # checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Logged(NamedTuple):
    """One logged row: where it begins in the file, its number in the run, and what it says."""

    offset: int
    number: int
    values: dict[str, Any]


def entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each whole entry of a log begins, and what is in it, up to where the log breaks off."""
    if not data.startswith(FILE_HEADER):
        return
    position, begin, parts = len(FILE_HEADER), 0, b""
    while position + CHUNK.size <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < CHUNK.size:  # padding: no chunk begins there
            position += left
            continue
        _, length, kind = CHUNK.unpack_from(data, position)
        if not FULL <= kind <= LAST or position + CHUNK.size + length > len(data):
            return
        if kind in (FULL, FIRST):
            begin, parts = position, b""
        position += CHUNK.size
        parts += data[position : position + length]
        position += length
        if kind in (FULL, LAST):
            yield begin, parts


def logged(path: Path) -> Iterator[Logged]:
    """Yield what was logged into the file at *path*, in order."""
    import wandb.proto.wandb_internal_pb2 as protocol  # whose classes come with the installed version of protobuf

    for offset, entry in entries(path.read_bytes()):
        record = vars(protocol)["Record"]()
        record.ParseFromString(entry)
        if record.WhichOneof("record_type") == "history":
            values = values_of(record.history.item)
            yield Logged(offset, int(values["_step"]), values)


def values_of(items: Iterable[Any]) -> dict[str, Any]:
    """Return what the *items* of a record say; one of a nested value has the path to it as its key."""
    values: dict[str, Any] = {}
    for item in items:
        *parents, name = item.nested_key or [item.key]
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = json.loads(item.value_json)
    return values


def cut(path: Path, offset: int) -> None:
    """Drop what stands in the file from *offset* on.

    The shorter file takes the place of the other: wandb's own process may outlive a killed run by a second, and what it
    still writes goes into the old one.
    """
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(path.read_bytes()[:offset])
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
