"""A CSV file that rows are added to: each row is whole on disk at once, and never under another column's name."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from hookloop import HookloopError

log = logging.getLogger("hookloop.csv")

Row = Mapping[str, Any]

GAP = b"null"
IN_NUMBERS = b"0123456789+-.eE,"


class TableError(HookloopError):
    """A file that cannot be gone on with."""


class Echo:
    """What a csv writer writes to, and ``writerow`` returns what comes back."""

    def write(self, text: str) -> str:
        """Return *text*."""
        return text


class Table:
    """The rows of one CSV file, whose columns may grow.

    A row is a mapping; what it lacks is written as *missing*. A row with a name that has no column yet has the file
    rewritten with one more, beside the old one and then in its place. A number is written so that reading gives the
    same number; NaN and infinities are ``nan``, ``inf`` and ``-inf``.
    """

    def __init__(self, path: Path, columns: Sequence[str] = (), *, separator: str = ",", missing: str = "NA") -> None:
        self.path = path
        self._in_order: Callable[[Row], Any]  # of a row that lacks nothing
        self._set_columns(columns)
        self._first_columns = tuple(columns)
        self._separator = separator
        self._missing = missing
        self._write_row: Callable[[Iterable[Any]], Any] = csv.writer(
            Echo(), delimiter=separator, lineterminator="\n"
        ).writerow
        # *missing* beside another cell, where it may be in quotes; and whether numbers never are, by the separator.
        self._gap = self._write_row([0, missing])[2:-1].encode()
        self._plain_numbers = separator == "," or separator.encode() not in IN_NUMBERS
        self._file: FileIO | None = None  # without a buffer, which would hold rows back
        self._at_end = False
        self._end = 0
        self._last_start = 0

    def create(self) -> None:
        """Start an empty file, in the place of one that exists."""
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._at_end = FileIO(self.path, "w+"), True
        self._end = 0
        self._set_columns(self._first_columns)
        if self.columns:
            self._put(0, self._header())

    def open(self, keep: Callable[[Row], bool] = lambda row: True) -> Row | None:
        """Go on with the file, or start it; return its last row, with texts for values, if it has one.

        Rows that *keep* refuses are dropped, and so is a last row whose writing was cut off. Where no row is left, the
        columns are those that this table began with, or else those of the file. Raises TableError for what is not a
        table.
        """
        last = self._rewrite(keep) if self.path.exists() else None
        if last is None:
            self.create()
        return last

    def append(self, row: Row) -> None:
        """Add *row*. When this returns it is with the operating system, so a killed process loses none."""
        self.extend((row,))

    def extend(self, rows: Sequence[Row]) -> None:
        """Add *rows* in one write."""
        if not rows:
            return
        for row in rows:
            if not row.keys() <= self._known:
                self._make_columns(row)
        lines = self._lines_of_numbers(rows)
        if lines is not None:
            before_last = lines.rfind(b"\n", 0, -1) + 1
        else:
            each = [self._line(row) for row in rows]
            lines, before_last = b"".join(each), sum(map(len, each[:-1]))
        start = self._end
        self._put(start, lines)
        self._last_start = start + before_last

    def replace_last(self, row: Row) -> None:
        """Write *row* over the last one."""
        if not row.keys() <= self._known:
            self._make_columns(row)
        self._put(self._last_start, self._line(row))

    def close(self) -> None:
        """Close the file; `open` and `create` open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _set_columns(self, columns: Iterable[str]) -> None:
        self.columns = list(columns)
        self._known = set(self.columns)
        self._in_order = itemgetter(*self.columns) if len(self.columns) > 1 else list

    def _make_columns(self, row: Row) -> None:
        """Add a column for each name in *row* that has none."""
        before = self.columns
        self._set_columns([*before, *(name for name in row if name not in self._known)])
        try:
            if not before or self._rewrite(lambda row: True) is None:
                self._put(0, self._header())
        except BaseException:
            # The file still has the old header, and later rows must go by it.
            self._set_columns(before)
            raise

    def _header(self) -> bytes:
        return self._line(dict(zip(self.columns, self.columns, strict=True)))

    def _line(self, row: Row) -> bytes:
        """Return the line of *row*."""
        line = self._lines_of_numbers((row,))
        if line is not None:
            return line
        missing = self._missing
        text: str = self._write_row([row.get(name, missing) for name in self.columns])
        return text.encode()

    def _lines_of_numbers(self, rows: Sequence[Row]) -> bytes | None:
        """Return the lines of *rows* in a fraction of the time, or None where one has something else than numbers."""
        width = len(self.columns)
        if not self._plain_numbers or width == 1:  # an empty cell by itself is in quotes
            return None
        gaps = width * len(rows) - sum(map(len, rows))
        take = self._with_gaps if gaps else self._in_order
        try:
            cells = to_json([take(row) for row in rows], fallback=str)[2:-2]
        except ValueError:  # no text can be made of it
            return None
        cells = cells.replace(b"],[", b"\n")
        numbers = cells.replace(GAP, b"") if gaps else cells
        # Of a list in a cell, at least one bracket is left.
        if numbers.translate(None, IN_NUMBERS + b"\n") or (gaps and cells.count(GAP) != gaps):
            return None
        if self._separator != ",":
            cells = cells.replace(b",", self._separator.encode())
        return (cells.replace(GAP, self._gap) if gaps else cells) + b"\n"

    def _with_gaps(self, row: Row) -> list[Any]:
        return [row.get(name) for name in self.columns]

    def _put(self, start: int, data: bytes) -> None:
        """Write *data* from *start* on as the end of the file; what a full disk cuts short, the next writes over."""
        file = self._file
        if file is None:
            raise TableError(f"{self.path} is not open")
        if start != self._end or not self._at_end:
            file.seek(start)
        self._at_end = False
        written = file.write(data)
        while written < len(data):
            written += file.write(data[written:])
        if start + written < self._end:
            file.truncate()
        self._end = start + written
        self._at_end = True

    def _rewrite(self, keep: Callable[[Row], bool]) -> Row | None:
        """Replace the file by one with all columns and the rows to *keep*, at once; return the last of these.

        When there is none the file is left as it is.
        """
        last, start, end = None, 0, 0
        fresh = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        try:
            with self.path.open(encoding="utf-8", newline="") as old, fresh.open("wb") as new:
                rows = self._read(old)
                present = next(rows)
                self._set_columns([*present, *(name for name in self.columns if name not in present)])
                end += new.write(self._header())
                for row in rows:
                    if keep(row):
                        start, last = end, row
                        end += new.write(self._line(row))
            if last is not None:
                self.close()
                try:
                    fresh.replace(self.path)
                finally:
                    self._file, self._at_end = FileIO(self.path, "r+"), False
                self._last_start, self._end = start, end
        finally:
            fresh.unlink(missing_ok=True)
        return last

    def _read(self, file: Iterable[str]) -> Iterator[dict[str, str]]:
        """Yield the header, as a row of no values, and then each row."""
        reader = csv.reader(whole_lines(file, self.path), delimiter=self._separator)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise TableError(f"{self.path} has two columns of the same name. {WAY_OUT}")
            yield dict.fromkeys(header, "")
            for cells in reader:
                if len(cells) > len(header):
                    values = f"{len(cells)} values under {len(header)} columns"
                    raise TableError(f"{self.path}, line {reader.line_num}: {values}. {WAY_OUT}")
                yield dict(zip(header, cells, strict=False))
        except (UnicodeDecodeError, csv.Error) as error:
            raise TableError(f"{self.path} cannot be read as CSV: {error}. {WAY_OUT}") from error


WAY_OUT = "Move the file away, or name another one with the option 'file'."


def whole_lines(file: Iterable[str], path: Path) -> Iterator[str]:
    """Yield the lines of *file*, without a last one whose end is missing."""
    for line in file:
        if line.endswith(("\n", "\r")):
            yield line
        else:
            log.warning("%s ended in the middle of a row: the row is dropped", path)
