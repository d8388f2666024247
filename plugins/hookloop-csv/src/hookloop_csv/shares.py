"""Makes one table of what several processes have predicted, each of them a share of the data."""

from __future__ import annotations

import csv
import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from hookloop_csv.table import Row, Table

ROWS_AT_ONCE = 1000


class Places:
    """Where in the dataset the rows of this process belong, as far as its loader tells.

    A loader tells by torch's ``DistributedSampler``, whose samples are known by their index. ``found`` has the index of
    each row, and is None once there were rows that are not one for each sample.
    """

    def __init__(self, loader: Any) -> None:
        self._order = order_of(loader)
        self.found: array[int] | None = None if self._order is None else array("q")

    def take(self, rows: int, samples: int) -> Sequence[int] | None:
        """Return the index of each of *rows*, made of a batch of *samples*, or None where it is not known."""
        if self._order is None or self.found is None:
            return None
        indices = list(islice(self._order, samples))
        if rows != len(indices):
            self.found = None
            return None
        self.found.extend(indices)
        return indices


def order_of(loader: Any) -> Iterator[int] | None:
    """Return the indices of the samples that *loader* gives this process, in its order, or None if it cannot tell."""
    from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

    if not isinstance(loader, DataLoader) or type(loader.batch_sampler) is not BatchSampler:
        return None
    sampler = loader.batch_sampler.sampler
    return iter(sampler) if isinstance(sampler, DistributedSampler) else None


def share_path(path: Path, rank: int) -> Path:
    """Return the file for the share of the process of *rank*."""
    return path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def merge(path: Path, places: Sequence[array[int] | None], *, separator: str, missing: str, counts: bool) -> None:
    """Write the rows of all shares to *path* under one header, and remove the shares.

    *places* has what `Places` found for each of them. If all did, rows stand in the order of the dataset, each index
    once, since a sampler repeats some to give everyone the same number. Otherwise they stand in the order of ranks, and
    when *counts* is true, ``sample`` counts on from rank to rank. The file appears when it is whole.
    """
    shares = [share_path(path, rank) for rank in range(len(places))]
    headers = [read_header(share, separator) for share in shares]
    parts = [read_rows(share, separator) for share in shares]
    columns = dict.fromkeys(name for header in headers for name in header)
    found = [each for each in places if each is not None]
    rows = in_order(parts, found) if len(found) == len(parts) else one_after_the_other(parts, counts)
    fresh = path.with_name(f".{path.name}-merging")
    table = Table(fresh, tuple(columns), separator=separator, missing=missing)
    try:
        table.create()
        while some := list(islice(rows, ROWS_AT_ONCE)):
            table.extend(some)
        table.close()
        fresh.replace(path)
    finally:
        table.close()
        fresh.unlink(missing_ok=True)
    for share in shares:
        share.unlink()


def in_order(parts: Sequence[Iterable[Row]], places: Sequence[array[int]]) -> Iterator[Row]:
    """Yield the rows of *parts* by their index, each index once."""
    placed = [zip(indices, rows, strict=True) for indices, rows in zip(places, parts, strict=True)]
    seen: set[int] = set()
    for index, row in heapq.merge(*placed, key=lambda pair: pair[0]):
        if index not in seen:
            seen.add(index)
            yield row


def one_after_the_other(parts: Sequence[Iterable[Row]], counts: bool) -> Iterator[Row]:
    """Yield the rows of *parts*, with ``sample`` numbered anew if *counts*."""
    for number, row in enumerate(chain.from_iterable(parts)):
        yield {**row, "sample": number} if counts else row


def read_header(path: Path, separator: str) -> list[str]:
    """Return the names of the columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def read_rows(path: Path, separator: str) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a share, as texts."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        header = next(reader, [])
        for cells in reader:
            yield dict(zip(header, cells, strict=True))
