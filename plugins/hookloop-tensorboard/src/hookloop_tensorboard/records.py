"""The format of event files: records, each with its length and checksums.

A record is the length of the data (8 bytes), a checksum of these (4), the data, and a checksum of it (4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from hookloop_tensorboard.checksum import crc32c

HEADER = struct.Struct("<QI")
LENGTH = struct.Struct("<Q")
CHECKSUM = struct.Struct("<I")
MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes) -> int:
    """Return the checksum of *data* as it stands in a record: rotated, and with a constant added."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """Return *data* as a record."""
    length = LENGTH.pack(len(data))
    return b"".join((length, CHECKSUM.pack(masked_crc32c(length)), data, CHECKSUM.pack(masked_crc32c(data))))


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where each record of the file ends, and its data; whatever a killed process left unfinished is passed over.

    Nothing is read behind a record that is cut off or whose length is damaged. The checksums of the data are not
    compared.
    """
    with path.open("rb") as file:
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, checksum = HEADER.unpack(header)
            if checksum != masked_crc32c(header[: LENGTH.size]):
                return
            data, footer = file.read(length), file.read(CHECKSUM.size)
            if len(footer) != CHECKSUM.size:
                return
            yield file.tell(), data
