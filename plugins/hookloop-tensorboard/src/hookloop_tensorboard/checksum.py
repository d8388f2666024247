"""CRC-32C, the checksum of event files, which Python's own libraries lack.

A checksum is linear: that of two parts is that of the first with as many zeros behind it as the second has bytes,
combined with that of the second by itself. So the blocks of a long text are summed side by side.
"""

from __future__ import annotations

from functools import cache
from typing import Any

POLYNOMIAL = 0x82F63B78
START = 0xFFFFFFFF
BLOCK = 256
LONG = 16 * BLOCK  # from here on, blocks side by side are quicker than byte after byte


def make_table() -> tuple[int, ...]:
    """Return the checksum of each byte."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


TABLE = make_table()


def crc32c(data: bytes) -> int:
    """Return the checksum of *data*."""
    table, crc, done = TABLE, START, 0
    if len(data) >= LONG:
        done = len(data) // BLOCK * BLOCK
        crc = joined(block_sums(data[:done]))
    for byte in data[done:]:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ START


def joined(sums: list[int]) -> int:
    """Return the sum of blocks, behind one another, of those of each by itself."""
    first, second, third, fourth = shifts()
    crc = START
    for each in sums:
        crc = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24] ^ each
    return crc


def block_sums(data: bytes) -> list[int]:
    """Return the sum of each block of *data*, beginning with zero."""
    import numpy

    columns = numpy.frombuffer(data, numpy.uint8).reshape(-1, BLOCK).T
    sums: list[int] = add_bytes(numpy.zeros(columns.shape[1], numpy.uint32), columns).tolist()
    return sums


@cache
def shifts() -> list[list[int]]:
    """Return what becomes of a sum when a block of zeros follows: for each byte of the sum, of each value of it."""
    import numpy

    values = numpy.arange(256, dtype=numpy.uint32)
    zeros = [numpy.uint8(0)] * BLOCK
    return [add_bytes(values << numpy.uint32(8 * place), zeros).tolist() for place in range(4)]


def add_bytes(sums: Any, columns: Any) -> Any:
    """Return *sums*, an array, with one byte after the other added to each."""
    import numpy

    table = numpy.array(TABLE, numpy.uint32)
    for column in columns:
        sums = table[(sums ^ column) & 0xFF] ^ (sums >> numpy.uint32(8))
    return sums
