"""A queue of rows on disk: appended to by one thread, read and acknowledged by another, and kept from run to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

from hookloop_remote.lock import lock, unlock
from hookloop_remote.segments import (
    POSITION,
    Position,
    append_whole,
    numbers_in,
    open_binary,
    path_of,
    read_position,
    write_position,
)

SEGMENT_BYTES = 1 << 20
REMEMBERED_BYTES = 4 << 20  # of delivered rows, so that a resumed run knows what it need not send again
REMEMBERED_FILES = 64
BLOCK_BYTES = 65536
LOCK, REFUSED = "lock", "refused.jsonl"


class Spool:
    """The rows in *directory*, one line of JSON each; of those that wait, *limit_bytes* at most.

    A row is with the operating system when `append` returns, so a process that is killed loses none. `next` and
    `acknowledge` belong to one thread and `append` to one, which need not be the same; nothing of it waits for a lock.
    Memory holds one block of rows, however many there are.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self._lock: int | None = None
        self._position_file: int | None = None
        self._files: list[int] = []
        self._position = Position(0, 0)
        # The file that is appended to and its size, always set together: the other thread reads no further.
        self._tip = Position(0, 0)
        self._writing: int | None = None
        self._reading: tuple[int, int] | None = None  # number and descriptor
        self._block = b""
        self._row_bytes = 0
        self._refused_bytes = 0
        # Each counted by one thread, and compared.
        self._appended_bytes = self._delivered_bytes = 0
        self._appended_rows = self._delivered_rows = 0

    @property
    def pending_bytes(self) -> int:
        """What waits to be delivered."""
        return self._appended_bytes - self._delivered_bytes

    @property
    def pending_rows(self) -> int:
        """How many rows wait to be delivered."""
        return self._appended_rows - self._delivered_rows

    def open(self) -> bool:
        """Take the queue, with what is left in it; False when another process has it. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.directory / LOCK)
        if self._lock is None:
            return False
        try:
            self._position_file = open_binary(self.directory / POSITION, os.O_RDWR | os.O_CREAT)
            self._position = read_position(self.directory)
            self._files = numbers_in(self.directory)
            if self._files and self._position.number < self._files[0]:
                self._position = Position(self._files[0], 0)
            self._tip = Position(max([self._position.number, *self._files]), 0)
            self._offer_refused_again()
            self._count()
        except OSError:
            self.close()
            raise
        return True

    def _offer_refused_again(self) -> None:
        """Put what a server refused in line again: by now it may have been told the right password."""
        refused = self.directory / REFUSED
        if refused.exists():
            number = self._tip.number + 1
            refused.rename(path_of(self.directory, number))
            self._files.append(number)
            self._tip = Position(number, 0)

    def _count(self) -> None:
        self._appended_bytes = self._appended_rows = 0
        for number in self._waiting():
            data = self._read_from(number)
            self._appended_bytes += len(data)
            self._appended_rows += data.count(b"\n")

    def _waiting(self) -> list[int]:
        return [each for each in self._files if each >= self._position.number]

    def _read_from(self, number: int) -> bytes:
        start = self._position.offset if number == self._position.number else 0
        return path_of(self.directory, number).read_bytes()[start:]

    def append(self, *lines: bytes) -> int:
        """Append rows, without their line ends, and return how many of them there was room for in the queue.

        Raises OSError when the disk is full: then it has none of them.
        """
        rows = fitting(lines, self.limit_bytes - self.pending_bytes)
        if not rows:
            return 0
        data = b"\n".join(rows) + b"\n"
        number, size = self._tip
        if self._writing is None or size >= SEGMENT_BYTES:
            self._begin_file(number + 1)
            number, size = self._tip
        assert self._writing is not None
        try:
            append_whole(self._writing, data, size)
        except OSError:
            if os.fstat(self._writing).st_size != size:
                self._stop_writing()
            raise
        self._appended_bytes += len(data)
        self._appended_rows += len(rows)
        self._tip = Position(number, size + len(data))
        return len(rows)

    def _begin_file(self, number: int) -> None:
        # A file of its own for each process: the last line of an older one may be torn.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        made = open_binary(path_of(self.directory, number), flags)
        self._stop_writing()
        self._writing = made
        self._files.append(number)
        self._tip = Position(number, 0)

    def next(self) -> bytes | None:
        """Return the oldest row that waits, the same until it is acknowledged; None when there is none."""
        while True:
            end = self._block.find(b"\n")
            if end >= 0:
                self._row_bytes = end + 1
                return self._block[:end]
            # Asked before reading: a file that another follows is not appended to any more.
            later = [each for each in self._files if each > self._position.number]
            if self._fill():
                continue
            if not later:
                return None
            self._move_on(later[0])

    def _fill(self) -> bool:
        """Read on in the file; False when there is nothing more in it."""
        number, offset = self._position
        tip = self._tip
        if self._reading is None or self._reading[0] != number:
            self._stop_reading()
            if number not in self._files:
                return False
            try:
                self._reading = number, open_binary(path_of(self.directory, number), os.O_RDONLY)
            except FileNotFoundError:  # somebody has tidied up
                return False
        descriptor = self._reading[1]
        growing = number == tip.number and self._writing is not None
        size = tip.offset if growing else os.fstat(descriptor).st_size
        start = offset + len(self._block)
        os.lseek(descriptor, start, os.SEEK_SET)
        piece = os.read(descriptor, min(BLOCK_BYTES, max(0, size - start)))
        self._block += piece
        return bool(piece)

    def _move_on(self, number: int) -> None:
        """Go to the file *number*."""
        # What is left of the block is a line that a machine without power did not finish.
        self._delivered_bytes += len(self._block)
        self._block = b""
        self._position = Position(number, 0)
        self._forget()

    def _forget(self) -> None:
        """Remove the oldest of the delivered files."""
        delivered = [each for each in self._files if each < self._position.number]
        total = 0
        for count, number in enumerate(reversed(delivered), start=1):
            path = path_of(self.directory, number)
            with suppress(OSError):
                total += path.stat().st_size
            if total > REMEMBERED_BYTES or count > REMEMBERED_FILES:
                with suppress(OSError):
                    path.unlink()
                self._files.remove(number)

    def acknowledge(self) -> None:
        """Take the row that `next` gave out of the queue.

        Where that cannot be written down, a later run delivers the row again, with the same id.
        """
        number, offset = self._position
        self._position = Position(number, offset + self._row_bytes)
        self._block = self._block[self._row_bytes :]
        self._delivered_bytes += self._row_bytes
        self._delivered_rows += 1
        if self._position_file is not None:
            with suppress(OSError):
                write_position(self._position_file, self._position)

    def set_aside(self) -> bool:
        """Take the row that `next` gave out of the queue, and keep it for the next `open`; False when it is lost."""
        row = (self.next() or b"") + b"\n"
        kept = False
        if self._refused_bytes + len(row) <= self.limit_bytes:
            with suppress(OSError), (self.directory / REFUSED).open("ab") as file:
                file.write(row)
                kept = True
            self._refused_bytes += len(row)
        self.acknowledge()
        return kept

    def drop(self, unwanted: Callable[[bytes], bool]) -> int:
        """Take the waiting rows out for which *unwanted* holds, before anything is appended; return their number.

        Each file is replaced as a whole, and what was delivered of it stays, so the position holds.
        """
        dropped = 0
        for number in self._waiting():
            path = path_of(self.directory, number)
            waiting = self._read_from(number).splitlines(keepends=True)
            kept = [line for line in waiting if not unwanted(line)]
            if len(kept) < len(waiting):
                dropped += len(waiting) - len(kept)
                start = path.stat().st_size - sum(map(len, waiting))
                part = path.with_suffix(".part")
                part.write_bytes(path.read_bytes()[:start] + b"".join(kept))
                part.replace(path)
        self._stop_reading()
        self._block = b""
        self._count()
        return dropped

    def delivered(self) -> Iterator[bytes]:
        """Yield the delivered rows that are still remembered, in order, before anything else is delivered."""
        for number in [each for each in self._files if each <= self._position.number]:
            data = path_of(self.directory, number).read_bytes()
            yield from (data[: self._position.offset] if number == self._position.number else data).splitlines()

    def _stop_writing(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _stop_reading(self) -> None:
        if self._reading is not None:
            os.close(self._reading[1])
            self._reading = None

    def close(self) -> None:
        """Let go of the queue."""
        self._stop_reading()
        self._stop_writing()
        if self._position_file is not None:
            os.close(self._position_file)
            self._position_file = None
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None


def fitting(lines: Sequence[bytes], room_bytes: int) -> Sequence[bytes]:
    """Return the first of *lines*, as many as have room with their line ends."""
    if sum(map(len, lines)) + len(lines) <= room_bytes:
        return lines
    ends = accumulate(len(line) + 1 for line in lines)
    return lines[: sum(end <= room_bytes for end in ends)]


def waits_in(directory: Path) -> bool:
    """Return whether rows may wait in the queue in *directory*, without taking it."""
    position = read_position(directory)
    sizes = {number: path_of(directory, number).stat().st_size for number in numbers_in(directory)}
    return (directory / REFUSED).exists() or any(
        (number, 0) > position or (number == position.number and size > position.offset)
        for number, size in sizes.items()
        if size
    )
